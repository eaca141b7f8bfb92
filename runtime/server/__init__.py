"""`bark-onnx serve`: a loaded bundle behind OpenAI's speech API. Needs the extra [serve]."""
