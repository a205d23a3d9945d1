"""What is accepted, and how no is said: standard library only.

The adapters import these files, so that the same mistake is answered with the same words in every
framework. Shapes are plain sequences; ``None`` stands for a length that a graph does not know yet,
and agrees with every other.
"""
