"""The parts of `bark-onnx speak`: input text, sinks, summaries."""
