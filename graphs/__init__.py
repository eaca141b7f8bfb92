"""What a Bark graph is: its contract, its manifest, its settings. Knows neither torch nor ONNX Runtime."""
