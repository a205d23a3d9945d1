"""Keras's shapes of the loss: a ``keras.losses.Loss``, and a layer that learns a projection."""
