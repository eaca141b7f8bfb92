"""A CUDA runtime without a GPU, over which ONNX Runtime's real CUDA provider runs.

Device memory is host memory and kernels do nothing, so numbers are meaningless. What the host does
is real: where nodes are placed, what is captured and replayed, what is copied, launched and waited
for. Every call is a line of a log.
"""
