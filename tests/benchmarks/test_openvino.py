"""OpenVINO models of the benchmarks generate the tokens of the fp32 graphs."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from bark_onnx.runtime import Bark, GenerationOptions
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.models import StageModels

pytest.importorskip("openvino", reason="openvino is missing: install the extra [bench]")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts() -> Any:
    """Modules of the benchmarks, which are not a package."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        import openvino_models
        import openvino_stages

        yield openvino_models, openvino_stages


def models(
    scripts: Any, precision: str, checkpoint: Path, bundle: Path, folder: Path
) -> dict[str, Any]:
    """Open the stages of a checkpoint at one precision."""
    writer, opener = scripts
    target = folder / precision
    writer.write_models(checkpoint, bundle, target, precision)
    shapes = Bark.load(bundle)._models.manifest.shapes
    return {
        stage: opener.open_stage(target, stage, shapes, precision=precision, threads=2)
        for stage in ("semantic", "coarse", "fine", "codec")
    }


@pytest.fixture(scope="module")
def exact(
    scripts: Any,
    random_checkpoint: Path,
    random_bundle: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("openvino")
    return models(scripts, "f32", random_checkpoint, random_bundle, folder)


@pytest.fixture(scope="module")
def rounded(
    scripts: Any,
    random_checkpoint: Path,
    random_bundle: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("openvino")
    return models(scripts, "int8", random_checkpoint, random_bundle, folder)


def steps(vocabulary: int, *, with_history: bool) -> list[StepInput]:
    """A prompt, single tokens, several tokens after a cache, and a cropped cache."""
    rng = np.random.default_rng(0)
    made = []
    for count, start in ((300, 0), (1, 300), (1, 301), (40, 302), (50, 200), (1, 250), (257, 0)):
        history = rng.integers(0, vocabulary, count) if with_history and start == 0 else None
        made.append(StepInput(rng.integers(0, vocabulary, count), start, history))
    return made


@pytest.mark.parametrize("stage", ["semantic", "coarse"])
def test_logits_in_f32_equal_those_of_the_graphs(
    stage: Any, exact: dict[str, Any], random_bark: Bark
) -> None:
    vocabulary = getattr(random_bark._models.manifest.shapes, stage).input_vocabulary
    with random_bark._models.acquire(stage) as decoder:
        for step in steps(vocabulary, with_history=stage == "semantic"):
            expected = decoder.prefill(0, step).copy()
            found = exact[stage].prefill(0, step).copy()
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
            assert (
                exact[stage].lengths[0]
                == decoder.lengths[0]
                == step.past_length + len(step.input_ids)
            )
        ids = np.array([7])
        np.testing.assert_allclose(exact[stage].decode(ids), decoder.decode(ids), rtol=0, atol=1e-3)


@pytest.mark.parametrize("voice", [None, "v2/en_speaker_0"])
def test_greedy_tokens_in_f32_equal_those_of_the_graphs(
    voice: str | None, exact: dict[str, Any], random_bark: Bark, random_bundle: Path
) -> None:
    with patch.object(StageModels, "_open", lambda _, stage: exact[stage]):
        openvino = Bark.load(random_bundle, max_batch_size=1)
    options = GenerationOptions.greedy()
    expected = random_bark.speak("Hello, my dog is cute", voice=voice, options=options)
    found = openvino.speak("Hello, my dog is cute", voice=voice, options=options)
    assert len(expected.semantic_tokens) > 0
    np.testing.assert_array_equal(found.semantic_tokens, expected.semantic_tokens)
    np.testing.assert_array_equal(found.coarse_tokens, expected.coarse_tokens)
    np.testing.assert_array_equal(found.fine_tokens, expected.fine_tokens)
    np.testing.assert_allclose(found.samples, expected.samples, rtol=0, atol=1e-4)


@pytest.mark.parametrize("stage", ["semantic", "coarse"])
def test_int8_logits_are_near_those_of_the_graphs_but_not_equal(
    stage: Any, rounded: dict[str, Any], random_bark: Bark
) -> None:
    vocabulary = getattr(random_bark._models.manifest.shapes, stage).input_vocabulary
    with random_bark._models.acquire(stage) as decoder:
        for step in steps(vocabulary, with_history=stage == "semantic"):
            expected = decoder.prefill(0, step).copy()
            distance = np.linalg.norm(rounded[stage].prefill(0, step) - expected)
            assert 1e-3 < distance / np.linalg.norm(expected) < 0.15
