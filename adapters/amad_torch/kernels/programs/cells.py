"""Tiles of maps: all heads of some cells of one vector, in one program.

A vector is a whole map, or a query row of one (eq. 12); ``[B, R, H, n]`` lies in memory as
``sample, head, row * n + cell``. Guarded by tests/kernels/interpreted/test_from_maps.py.
"""

import triton
import triton.language as tl


@triton.jit
def counted(
    mask, mask_sample, mask_query, mask_key, sample, flat, keys, inside, MASKED: tl.constexpr
):
    """Of the cells ``flat`` of a sample those that are ``inside`` and count."""
    if MASKED:
        place = sample * mask_sample + (flat // keys) * mask_query + (flat % keys) * mask_key
        inside = inside & (tl.load(mask + place, mask=inside, other=0) != 0)
    return inside


@triton.jit
def tile(maps, sample_stride, head_stride, sample, flat, kept, heads, HEADS: tl.constexpr):
    """``[HEADS, CELLS]``; 0 in padded heads and in cells that are not ``kept``, which stay unread.

    So neither adds to a product, a norm or a sum, whatever lies there.
    """
    head = tl.arange(0, HEADS)
    place = head.to(tl.int64)[:, None] * head_stride + flat[None, :]
    wanted = (head < heads)[:, None] & kept[None, :]
    return tl.load(maps + sample * sample_stride + place, mask=wanted, other=0.0)
