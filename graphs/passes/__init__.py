"""Rewrites of exported graphs, one file per pass, built on onnx_ir's pass classes."""
