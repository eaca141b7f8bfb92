"""Cases of a kit as JSON."""

import dataclasses
import hashlib
import math
from typing import Any

import numpy as np

from bark_onnx.export.golden.files import KitFiles, rounded
from bark_onnx.export.golden.texts import Case, resolve
from bark_onnx.graphs.bundle.bundle import Bundle

_TOLERANCE = 2e-3  # of samples
_SHOWN = 8  # samples at the beginning and at the end
_STEP = 40  # between the samples that a kit shows


def describe(case: Case, files: KitFiles, precision: str, bundle: Bundle) -> dict[str, Any]:
    """The JSON of a case; `files` receives samples."""
    assert case.prompt is not None
    input_ids, history_ids = case.prompt
    return {
        "name": case.name,
        "text": case.text,
        "voice": case.voice.name if case.voice else None,
        "seed": case.seed,
        "options": case.options,
        "resolved": dataclasses.asdict(resolve(case.options, bundle.manifest.generation)),
        "text_ids": case.ids.tolist(),
        "prompt": {"input_ids": input_ids.tolist(), "history_ids": history_ids.tolist()},
        "semantic_end": case.trace.end,
        "semantic_tokens": case.semantic.tolist(),
        "coarse_windows": case.trace.coarse_windows,
        "coarse_tokens": case.coarse.T.tolist(),
        "fine_windows": case.trace.fine_windows,
        "fine_tokens": case.fine.T.tolist(),
        "uniforms": {"count": case.uniforms.count, "first": case.uniforms.first},
        "closest": {
            stage: rounded(margin.closest) if math.isfinite(margin.closest) else None
            for stage, margin in case.trace.margins.items()
        },
        "samples": _samples(case, files, precision, bundle.manifest.shapes.codec.sample_rate_hz),
    }


def _samples(case: Case, files: KitFiles, precision: str, rate_hz: int) -> dict[str, Any]:
    samples = case.samples
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return {
        "sample_rate_hz": rate_hz,
        "count": len(samples),
        "sha256": hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest(),
        "tolerance": _TOLERANCE,
        "rms": math.sqrt(power),
        "first": samples[:_SHOWN].tolist(),
        "last": samples[-_SHOWN:].tolist(),
        "step": _STEP,
        "every_step": files.write_array(
            f"{precision}/cases/{case.name}", samples[::_STEP], tolerance=_TOLERANCE
        ),
    }
