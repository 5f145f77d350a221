"""What lies between the matrix products of a network's blocks, as kernels of our own.

`fused` is what layers call. Below it are the same kernels twice: `triton_*` for a GPU, in Triton, and `native*` for a
CPU, in C. Where neither can be had, layers compute the same by torch's operations.
"""
