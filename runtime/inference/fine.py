"""The first codebooks to all of them: overlapping windows, one codebook after the other.

Source: `BarkFineModel.generate` of transformers.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import CODEBOOK_INDEX, CODES, FRAME_INDICES
from bark_onnx.graphs.generation_config import GenerationSettings, Sampling
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.inference.sampling import sample_tokens


@dataclass(frozen=True)
class FinePass:
    """One run of the fine transformer: one codebook of one window."""

    codes: Tokens  # (frames, codebooks), written to after the run
    codebook: int  # to predict
    frames: Tokens  # (read,), whose logits are wanted


def run_fine_pass(session: Any, wanted: FinePass) -> NDArray[np.float32]:
    """Logits (read, codes), from the onnxruntime session of the fine graph."""
    feeds = {
        CODES: wanted.codes[None],
        CODEBOOK_INDEX: np.array(wanted.codebook),
        FRAME_INDICES: wanted.frames,
    }
    logits: NDArray[np.float32] = session.run(None, feeds)[0][0]
    return logits


def generate_fine(
    coarse_codes: Tokens,
    voice: Voice | None,
    settings: GenerationSettings,
    sampling: Sampling,
    rng: np.random.Generator,
) -> Generator[FinePass, NDArray[np.float32], Tokens]:
    """Fill in the remaining codebooks; yields each pass and receives its logits.

    Args:
        coarse_codes: (frames, coarse codebooks).
        voice: whose frames come before.
        settings: of the checkpoint.
        sampling: temperature, and whether to sample at all.
        rng: where draws come from.

    Returns:
        Codes, int64 (frames, codebooks).
    """
    fine = settings.fine
    window, step = fine.max_fine_input_length, fine.max_fine_history_length
    given = coarse_codes.shape[1]
    if not len(coarse_codes):
        return np.zeros((0, fine.n_fine_codebooks), np.int64)
    codes, heard = _with_history(coarse_codes, voice, settings)
    spoken = len(codes)  # frames that are no padding
    if spoken < window:
        padding = np.full((window - spoken, codes.shape[1]), settings.codebook_size)
        codes = np.concatenate([codes, padding])
    for index in range(_windows(len(coarse_codes), heard, settings)):
        begin = min(index * step, len(codes) - window)
        load_state = min(heard + index * step, len(codes) - step)
        view = codes[begin : begin + window]  # written in place
        for codebook in range(given, fine.n_fine_codebooks):
            # What is predicted for padding is read by later codebooks, so only the last skips it.
            is_last = codebook == fine.n_fine_codebooks - 1
            end = min(spoken - begin, window) if is_last else window
            frames = np.arange(load_state - begin, end)
            logits = yield FinePass(view, codebook, frames)
            view[frames, codebook] = _choose(logits, sampling, rng)
    return codes[heard:spoken]


def fine_passes(frames: int, voice: Voice | None, settings: GenerationSettings) -> int:
    """How many passes `generate_fine` yields."""
    fine = settings.fine
    heard = 0 if voice is None else voice.fine_prompt.shape[1]
    windows = _windows(frames, min(heard, fine.max_fine_history_length), settings)
    return windows * (fine.n_fine_codebooks - settings.coarse.n_coarse_codebooks)


def _windows(frames: int, heard: int, settings: GenerationSettings) -> int:
    """Windows that cover `frames` after `heard` frames of a voice."""
    fine = settings.fine
    beyond = frames - (fine.max_fine_input_length - heard)
    return 1 + max(0, math.ceil(beyond / fine.max_fine_history_length)) if frames else 0


def _with_history(
    coarse_codes: Tokens, voice: Voice | None, settings: GenerationSettings
) -> tuple[Tokens, int]:
    """All codebooks, unknown codes marked, after the voice's frames; and how many those are."""
    fine = settings.fine
    codes = np.full((len(coarse_codes), fine.n_fine_codebooks), settings.codebook_size)
    codes[:, : coarse_codes.shape[1]] = coarse_codes
    if voice is None:
        return codes, 0
    history = voice.fine_prompt.T[-fine.max_fine_history_length :]
    return np.concatenate([history, codes]), len(history)


def _choose(
    logits: NDArray[np.float32], sampling: Sampling, rng: np.random.Generator
) -> NDArray[np.int64]:
    if not sampling.do_sample:
        best: NDArray[np.int64] = logits.argmax(axis=-1)
        return best
    return sample_tokens(logits, sampling.temperature, rng)
