"""The first codebooks to all of them: overlapping windows, one codebook at a time.

Source: `BarkFineModel.generate` of transformers.
"""

import math
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import CODEBOOK_INDEX, CODES, FRAME_INDICES
from bark_onnx.graphs.generation_config import GenerationSettings, Sampling
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.inference.sampling import check_finite, sample_tokens


@dataclass(frozen=True)
class FinePass:
    """One run of the fine transformer: one codebook of one window."""

    codes: Tokens  # (window, codebooks), written to after the run
    codebook: int  # index of the predicted codebook
    frames: Tokens  # (frames,), indices of the frames whose logits are returned


def kind_of_fine_pass(fine_pass: FinePass) -> Hashable:
    """Passes of one kind can share a run: they predict the same codebook of the same frames."""
    return fine_pass.codebook, fine_pass.codes.shape, fine_pass.frames.tobytes()


def run_fine_passes(session: Any, passes: Sequence[FinePass]) -> NDArray[np.float32]:
    """Logits (passes, frames, codes), from the onnxruntime session of the fine graph.

    Args:
        session: Session of the fine graph.
        passes: Passes of one kind.
    """
    inputs = {
        CODES: np.stack([each.codes for each in passes]),
        CODEBOOK_INDEX: np.array(passes[0].codebook),
        FRAME_INDICES: passes[0].frames,
    }
    logits: NDArray[np.float32] = session.run(None, inputs)[0]
    return logits


def warm_up_fine(session: Any, settings: GenerationSettings) -> None:
    """Run a window, so that the provider compiles what it needs."""
    fine, coarse = settings.fine, settings.coarse
    codes = np.zeros((fine.max_fine_input_length, fine.n_fine_codebooks), np.int64)
    run_fine_passes(session, [FinePass(codes, coarse.n_coarse_codebooks, np.arange(1))])


def generate_fine(
    coarse_codes: Tokens,
    voice: Voice | None,
    settings: GenerationSettings,
    sampling: Sampling,
    rng: np.random.Generator,
) -> Generator[FinePass, NDArray[np.float32], Tokens]:
    """Fill in the remaining codebooks: yield each pass and receive its logits.

    Args:
        coarse_codes: Codes (frames, coarse codebooks).
        voice: Voice whose last frames precede them.
        settings: Settings of the checkpoint.
        sampling: Temperature, and whether to sample at all.
        rng: Random generator for sampling.

    Returns:
        Codes, int64 (frames, codebooks).
    """
    fine = settings.fine
    window, step = fine.max_fine_input_length, fine.max_fine_history_length
    n_coarse = coarse_codes.shape[1]
    if not len(coarse_codes):
        return np.zeros((0, fine.n_fine_codebooks), np.int64)
    codes, n_history = _with_history(coarse_codes, voice, settings)
    n_frames = len(codes)  # before padding
    if n_frames < window:
        padding = np.full((window - n_frames, codes.shape[1]), settings.codebook_size)
        codes = np.concatenate([codes, padding])
    for index in range(_windows(len(coarse_codes), n_history, settings)):
        begin = min(index * step, len(codes) - window)
        fill_start = min(n_history + index * step, len(codes) - step)
        view = codes[begin : begin + window]  # written in place
        for codebook in range(n_coarse, fine.n_fine_codebooks):
            # Later codebooks read the predictions for padding, so only the last one skips it.
            is_last = codebook == fine.n_fine_codebooks - 1
            end = min(n_frames - begin, window) if is_last else window
            frames = np.arange(fill_start - begin, end)
            logits = yield FinePass(view, codebook, frames)
            check_finite(logits, "fine")
            view[frames, codebook] = _sample_codes(logits, sampling, rng)
    return codes[n_history:n_frames]


def fine_passes(frames: int, voice: Voice | None, settings: GenerationSettings) -> int:
    """Number of passes that `generate_fine` yields."""
    fine = settings.fine
    n_history = 0 if voice is None else voice.fine_prompt.shape[1]
    windows = _windows(frames, min(n_history, fine.max_fine_history_length), settings)
    return windows * (fine.n_fine_codebooks - settings.coarse.n_coarse_codebooks)


def _windows(frames: int, n_history: int, settings: GenerationSettings) -> int:
    """Number of windows that cover `frames` after `n_history` frames of a voice."""
    fine = settings.fine
    beyond = frames - (fine.max_fine_input_length - n_history)
    return 1 + max(0, math.ceil(beyond / fine.max_fine_history_length)) if frames else 0


def _with_history(
    coarse_codes: Tokens, voice: Voice | None, settings: GenerationSettings
) -> tuple[Tokens, int]:
    """Codes (history + frames, codebooks), unknown ones marked; and the length of the history."""
    fine = settings.fine
    codes = np.full((len(coarse_codes), fine.n_fine_codebooks), settings.codebook_size)
    codes[:, : coarse_codes.shape[1]] = coarse_codes
    if voice is None:
        return codes, 0
    history = voice.fine_prompt.T[-fine.max_fine_history_length :]
    return np.concatenate([history, codes]), len(history)


def _sample_codes(
    logits: NDArray[np.float32], sampling: Sampling, rng: np.random.Generator
) -> NDArray[np.int64]:
    if not sampling.do_sample:
        best: NDArray[np.int64] = logits.argmax(axis=-1)
        return best
    return sample_tokens(logits, sampling.temperature, rng)
