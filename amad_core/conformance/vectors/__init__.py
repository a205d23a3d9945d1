"""Golden vectors: the loss as files, so that a port in any language can be checked."""
