"""The paper in TensorFlow: the mirror of ``amad_core.attention``, file by file."""
