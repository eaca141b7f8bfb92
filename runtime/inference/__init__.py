"""Tokens to audio for one request: the algorithm of transformers over ONNX Runtime."""
