"""The large passes of the loss, as Triton programs for a GPU: plain tensors in, plain tensors out.

What is small, ``[B, Ht, Hs]``, stays in torch, in the rooms that call these. ``programs`` is what
runs on the GPU, the rest puts tensors into its shapes. Nothing here is imported unless
:func:`~amad_torch.kernels.availability.serves` says so: Triton is optional.
"""
