"""The first codebooks to all of them: overlapping windows, one codebook at a time.

Source: `BarkFineModel.generate` of transformers.
"""

import math
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import (
    CODEBOOK_INDEX,
    CODES,
    FRAME_INDICES,
    LOGITS,
    GraphContract,
)
from bark_onnx.graphs.drawn_codes import (
    DRAWN_CODES,
    LARGEST_CODES,
    NOT_FINITE,
    TEMPERATURES,
    UNIFORMS,
)
from bark_onnx.graphs.generation_config import GenerationSettings, Sampling
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.inference.draws import check_drawn
from bark_onnx.runtime.inference.sampling import is_finite, sample_tokens


@dataclass(frozen=True)
class CodeDraw:
    """How the codes of a pass are drawn."""

    temperature: float
    uniforms: NDArray[np.float64] | None  # (frames,), random numbers; None takes the largest logits


@dataclass(frozen=True)
class FinePass:
    """One run of the fine transformer: one codebook of one window."""

    codes: Tokens  # (window, codebooks), written to after the run
    codebook: int  # index of the predicted codebook
    frames: Tokens  # (frames,), indices of the frames whose codes are drawn
    draw: CodeDraw | None = None  # None: the sequence receives the logits


@dataclass(frozen=True)
class FineModel:
    """The fine transformer."""

    session: Any  # of onnxruntime
    draws: bool = False  # whether the graph draws the codes


def fine_model(session: Any, contract: GraphContract) -> FineModel:
    """The model of a graph, from its session and its contract."""
    return FineModel(session, any(tensor.name == UNIFORMS for tensor in contract.inputs))


def kind_of_fine_pass(fine_pass: FinePass) -> Hashable:
    """Passes of one kind can share a run: they predict the same codebook of the same frames."""
    return fine_pass.codebook, fine_pass.codes.shape, fine_pass.frames.tobytes()


def run_fine_passes(model: FineModel, passes: Sequence[FinePass]) -> list[NDArray[Any]]:
    """What each pass receives: codes (frames,), or logits (frames, codes) if it draws none.

    Args:
        model: The fine transformer.
        passes: Passes of one kind.
    """
    inputs = {
        CODES: np.stack([each.codes for each in passes]),
        CODEBOOK_INDEX: np.array(passes[0].codebook),
        FRAME_INDICES: passes[0].frames,
    }
    draws = [each.draw for each in passes if each.draw is not None]
    if model.draws and len(draws) == len(passes):
        return _run_draws(model.session, inputs, draws)
    if model.draws:
        inputs |= _draw_inputs([CodeDraw(1.0, None)] * len(passes), passes[0].frames)
    (logits,) = model.session.run([LOGITS], inputs)
    return [
        row if each.draw is None else draw_codes(row, each.draw)
        for row, each in zip(logits, passes, strict=True)
    ]


def draw_codes(logits: NDArray[np.float32], draw: CodeDraw) -> NDArray[np.int64]:
    """Draw a code (frames,) from each row of logits (frames, codes).

    They are `NOT_FINITE` if a logit is not.
    """
    if not is_finite(logits):
        return np.full(len(logits), NOT_FINITE)
    if draw.uniforms is None:
        largest: NDArray[np.int64] = logits.argmax(axis=-1)
        return largest
    return sample_tokens(logits, draw.temperature, draw.uniforms)


def _run_draws(
    session: Any, inputs: dict[str, NDArray[Any]], draws: Sequence[CodeDraw]
) -> list[NDArray[Any]]:
    """Codes that the graph draws; the logits stay where they are."""
    inputs |= _draw_inputs(draws, inputs[FRAME_INDICES])
    names = [LARGEST_CODES if draw.uniforms is None else DRAWN_CODES for draw in draws]
    wanted = sorted(set(names))
    found = dict(zip(wanted, session.run(wanted, inputs), strict=True))
    return [found[name][row].astype(np.int64) for row, name in enumerate(names)]


def _draw_inputs(draws: Sequence[CodeDraw], frames: Tokens) -> dict[str, NDArray[Any]]:
    unused = np.zeros(len(frames))
    uniforms = [unused if draw.uniforms is None else draw.uniforms for draw in draws]
    temperatures = [1.0 if draw.uniforms is None else draw.temperature for draw in draws]
    return {UNIFORMS: np.stack(uniforms), TEMPERATURES: np.array(temperatures, np.float32)}


def warm_up_fine(model: FineModel, settings: GenerationSettings) -> None:
    """Run a window, so that the provider compiles what it needs."""
    fine, coarse = settings.fine, settings.coarse
    codes = np.zeros((fine.max_fine_input_length, fine.n_fine_codebooks), np.int64)
    run_fine_passes(model, [FinePass(codes, coarse.n_coarse_codebooks, np.arange(1))])


def generate_fine(
    coarse_codes: Tokens,
    voice: Voice | None,
    settings: GenerationSettings,
    sampling: Sampling,
    rng: np.random.Generator,
) -> Generator[FinePass, NDArray[np.int64], Tokens]:
    """Fill in the remaining codebooks: yield each pass and receive its codes.

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
            uniforms = rng.random(len(frames)) if sampling.do_sample else None
            draw = CodeDraw(sampling.temperature, uniforms)
            found = yield FinePass(view, codebook, frames, draw)
            check_drawn(int(found.min()), "fine")
            view[frames, codebook] = found
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
