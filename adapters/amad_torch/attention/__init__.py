"""The paper in PyTorch: the mirror of ``amad_core.attention``, file by file."""
