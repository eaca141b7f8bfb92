"""All codebooks to samples: one codec run per utterance."""

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import CODES
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.sampling import check_finite

# Lengths that a GPU runs: one that has run before needs no new plans of convolutions. The decoder
# is causal, so that frames behind an utterance do not change it.
FRAME_BUCKETS = (64, 128, 256, 384, 512, 768, 1024, 1536, 2048)
# The first convolution begins with a reflection of the frames that follow, so that an utterance
# shorter than its kernel (7 frames) sees the frames behind it.
_MIN_PADDED_FRAMES = 16


def bucket(frames: int) -> int:
    """Frames that a run of an utterance is padded to.

    The smallest of `FRAME_BUCKETS` that holds it; beyond, a multiple of the largest. A very short
    utterance is not padded.
    """
    if frames < _MIN_PADDED_FRAMES:
        return frames
    largest = FRAME_BUCKETS[-1]
    fitting = (size for size in FRAME_BUCKETS if frames <= size)
    return next(fitting, -(-frames // largest) * largest)


def run_codec(
    session: Any, utterances: Sequence[Tokens], *, padded: int
) -> Sequence[NDArray[np.float32]]:
    """Samples (n,) of each utterance, from the onnxruntime session of the codec.

    Args:
        session: Session of the codec.
        utterances: Codes (frames, codebooks).
        padded: Frames of the run, at least those of the longest utterance.
    """
    codes = np.zeros((len(utterances), utterances[0].shape[1], padded), np.int64)
    for row, utterance in zip(codes, utterances, strict=True):
        row[:, : len(utterance)] = utterance.T
    audio: NDArray[np.float32] = session.run(None, {CODES: codes})[0]
    samples_per_frame = audio.shape[1] // padded
    pairs = zip(audio, utterances, strict=True)
    return [row[: len(utterance) * samples_per_frame] for row, utterance in pairs]


def warm_up_codec(session: Any, settings: GenerationSettings) -> None:
    """Run a short utterance, so that the provider compiles what it needs."""
    codes = np.zeros((FRAME_BUCKETS[0], settings.fine.n_fine_codebooks), np.int64)
    run_codec(session, [codes], padded=len(codes))


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
