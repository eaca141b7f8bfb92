"""Inputs and outputs of each graph, small ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.export.golden.files import KitFiles, rounded
from bark_onnx.export.golden.models import CausalModel
from bark_onnx.export.session import open_session
from bark_onnx.graphs import contract
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CausalStage, Stage

# Largest difference of an output, relative to its largest value, or to 1 if larger.
TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2, "int8": 2e-2, "int4": 2e-2}
_PROMPT_TOKENS = 6
_FINE_FRAMES = 12
_CODEC_FRAMES = (3, 12)


def run_graphs(bundle: Bundle, precision: str, files: KitFiles) -> list[dict[str, Any]]:
    """Run every graph of a precision on random tokens; `files` receives inputs and outputs."""
    rng = np.random.default_rng(0)
    tolerance = TOLERANCES[precision]
    runs = [
        *_causal("semantic", bundle, precision, files, rng),
        *_causal("coarse", bundle, precision, files, rng),
    ]
    fine, codec = bundle.manifest.shapes.fine, bundle.manifest.shapes.codec
    inputs = {
        contract.CODES: rng.integers(0, fine.num_logits + 1, (1, _FINE_FRAMES, fine.num_codebooks)),
        contract.CODEBOOK_INDEX: np.array(fine.num_given_codebooks + 1),
        contract.FRAME_INDICES: np.arange(2, _FINE_FRAMES),
    }
    runs.append(_run("fine", "fine", bundle, precision, files, inputs, tolerance))
    for frames in _CODEC_FRAMES:
        codes = rng.integers(0, codec.codebook_size, (1, codec.num_codebooks, frames))
        name = f"codec-{frames}"
        # The codec is float32 at every precision.
        inputs = {contract.CODES: codes}
        runs.append(_run("codec", name, bundle, precision, files, inputs, TOLERANCES["fp32"]))
    return runs


def _run(
    stage: Stage,
    name: str,
    bundle: Bundle,
    precision: str,
    files: KitFiles,
    inputs: dict[str, NDArray[Any]],
    tolerance: float,
) -> dict[str, Any]:
    path = bundle.graph(precision, stage)
    (output,) = open_session(path).run(None, inputs)
    folder = f"{precision}/graphs/{name}"
    (described,) = bundle.contract(stage, precision).outputs
    return {
        "name": name,
        "graph": path.relative_to(bundle.folder).as_posix(),
        "inputs": [files.write_array(f"{folder}/{key}", each) for key, each in inputs.items()],
        "outputs": [_output(files, f"{folder}/{described.name}", output, tolerance)],
    }


def _causal(
    stage: CausalStage, bundle: Bundle, precision: str, files: KitFiles, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """A prompt, then one token."""
    model = CausalModel(bundle, stage, precision)
    shape = getattr(bundle.manifest.shapes, stage)
    runs: list[dict[str, Any]] = []
    cache: dict[str, Any] | None = None
    for name, count in (("prompt", _PROMPT_TOKENS), ("token", 1)):
        ids = rng.integers(0, shape.input_vocabulary, count)
        history = None
        if stage == "semantic" and count > 1:
            history = rng.integers(0, shape.input_vocabulary + 1, count)
            history[-1] = shape.input_vocabulary
        past = model.length
        inputs = model.token_inputs(ids, past, history)
        graph = model.prefill_graph if count > 1 else model.decode_graph
        logits = model.run(ids, past, history)
        folder = f"{precision}/graphs/{stage}-{name}"
        tolerance = TOLERANCES[precision]
        before, cache = (
            cache,
            _output(files, f"{folder}/cache", model.cached(past + count), tolerance),
        )
        runs.append(
            {
                "name": f"{stage}-{name}",
                "graph": graph.relative_to(bundle.folder).as_posix(),
                "inputs": [
                    files.write_array(f"{folder}/{key}", each) for key, each in inputs.items()
                ],
                "cache_before": before,
                "outputs": [_output(files, f"{folder}/logits", logits[None], tolerance)],
                "cache_after": cache,
            }
        )
    return runs


def _output(files: KitFiles, name: str, array: NDArray[Any], tolerance: float) -> dict[str, Any]:
    largest = max(1.0, float(np.abs(array).max()))
    return files.write_array(name, array, tolerance=rounded(tolerance * largest))
