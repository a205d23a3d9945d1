"""AMAD in Keras on each of its backends."""
