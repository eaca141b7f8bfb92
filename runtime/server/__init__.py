"""`bark-onnx serve`: a loaded bundle behind OpenAI's speech API. Needs the extra [serve].

Knows nothing of stages and tokens: `speaking.py` alone hands texts to the engine.
"""
