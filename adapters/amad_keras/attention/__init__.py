"""The paper in keras.ops, for every backend: the mirror of ``amad_core.attention``."""
