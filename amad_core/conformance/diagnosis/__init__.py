"""Which known mistakes reproduce what a port answered, and what else gives it away."""
