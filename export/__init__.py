"""The build step: a Bark checkpoint in, a bundle of ONNX graphs out. Only this part needs torch."""
