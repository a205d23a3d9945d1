"""What stands around the loss in training: the mirror of ``amad_core.training``."""
