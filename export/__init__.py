"""The build step: a Bark checkpoint in, a bundle of ONNX graphs out. The only part that needs torch."""
