"""Exports Bark checkpoints to bundles of ONNX graphs. The only part that requires torch."""
