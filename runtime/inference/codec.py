"""All codebooks to samples: one codec run per utterance."""

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import CODES
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.sampling import check_finite


def run_codec(session: Any, codes: Tokens) -> NDArray[np.float32]:
    """Samples (n,) of codes (frames, codebooks) from the onnxruntime session of the codec."""
    samples: NDArray[np.float32] = session.run(None, {CODES: codes.T[None]})[0][0]
    return samples


def generate_samples(codes: Tokens) -> Generator[Tokens, NDArray[np.float32], NDArray[np.float32]]:
    """Yield codes (frames, codebooks) for one run and receive samples; no run without frames.

    Returns:
        Samples, float32 (n,).
    """
    if not len(codes):
        return np.zeros(0, np.float32)
    samples = yield codes
    check_finite(samples, "codec")
    return samples
