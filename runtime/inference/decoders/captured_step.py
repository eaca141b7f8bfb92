"""What a captured decode step reads and writes: always the same addresses."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.decoders.device_outputs import DeviceOutputs


@dataclass(frozen=True)
class CapturedStep:
    """Inputs, outputs and run options of the decode steps of one batch size."""

    tokens: Any  # OrtValue on the device, as `packed` makes it
    history: Any  # OrtValue on the device, or None
    outputs: DeviceOutputs
    binding: Any
    run_options: Any


def packed(tokens: Tokens, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Token ids, positions and `seqlens_k` of a step behind each other, for one copy to the device.

    `seqlens_k` is int32, in half of its part.
    """
    parts = np.zeros((3, len(tokens)), np.int64)
    parts[0], parts[1] = tokens, ends
    parts[2].view(np.int32)[: len(tokens)] = ends
    return parts
