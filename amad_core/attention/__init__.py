"""The paper: similarity, alignment, divergence, the loss and its gradient, one file a stage."""
