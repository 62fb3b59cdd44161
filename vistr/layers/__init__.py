"""Layers with one contract and the same numbers on every device: channels last, `[N, H, W, C]`.

MindSpore's own CPU convolutions are far from what the machine can do, so on a CPU a convolution is a gather of
rows followed by one matrix product. On a GPU the native kernels serve. `backend` says which is in use.
"""
