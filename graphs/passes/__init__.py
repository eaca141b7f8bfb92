"""Rewrites of exported graphs, one pass per module, built on onnx_ir's pass classes."""
