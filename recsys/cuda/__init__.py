"""What a CUDA card does: rows of ALS half-sweeps, by kernels of our own.

The host side takes NumPy or CuPy as its array module, from a `Backend`: the tests run it, and the
kernels themselves, without a card. CuPy is imported where a card is asked for, and nowhere else.
"""
