"""Speaks in an environment that has only the extra [cpu]: run by `make test-torch-free`."""

import importlib.util
import sys
import time

started = time.perf_counter()
from bark_onnx.runtime import Bark, GenerationOptions  # noqa: E402

imported = time.perf_counter() - started

for package in ("torch", "transformers", "onnx", "optimum"):
    assert importlib.util.find_spec(package) is None, f"{package} is installed"
speech = Bark.load(sys.argv[1]).speak("Hello, my dog is cute", options=GenerationOptions.greedy())
assert speech.seconds > 1, speech
assert speech.samples.std() > 0.01, speech
print(f"{speech} without torch; import took {imported:.2f} s")
