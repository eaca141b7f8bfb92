"""Speaks in an environment that has only the extra [cpu]: run by `make test-torch-free`."""

import sys
import time
from importlib.metadata import distributions

started = time.perf_counter()
from bark_onnx.runtime import Bark, GenerationOptions  # noqa: E402

imported = time.perf_counter() - started

# By distribution: a folder `optimum` is part of every install, for optimum's commands.
unwanted = {"torch", "transformers", "onnx", "optimum"} & {each.name for each in distributions()}
assert not unwanted, f"{unwanted} is installed"
speech = Bark.load(sys.argv[1]).speak("Hello, my dog is cute", options=GenerationOptions.greedy())
assert speech.seconds > 1, speech
assert speech.samples.std() > 0.01, speech
print(f"{speech} without torch; import took {imported:.2f} s")
