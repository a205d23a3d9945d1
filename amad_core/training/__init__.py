"""What stands around the loss in training: masks, layers, outputs, weights over the steps."""
