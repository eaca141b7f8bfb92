"""suno/bark itself against the token ids that transformers' integration tests state."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bark_onnx.runtime import Bark, GenerationOptions, Speech
from tests.conftest import SHARED, export, needs_shared_data

CHECKPOINT = os.environ.get("BARK_CHECKPOINT", "")

pytestmark = [
    needs_shared_data,
    pytest.mark.skipif(
        not CHECKPOINT, reason="BARK_CHECKPOINT names no folder with the checkpoint suno/bark"
    ),
]


@pytest.fixture(scope="module")
def reference() -> dict[str, object]:
    return json.loads((SHARED / "reference.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def speech(reference: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Speech:
    bundle = export(Path(CHECKPOINT), tmp_path_factory.mktemp("real") / "bark", voices="none")
    return Bark.load(bundle).speak(
        reference["text"],
        voice=SHARED / "voices" / f"{reference['voice']}.npz",
        options=GenerationOptions.greedy(),
    )


def test_semantic_tokens_are_the_stated_ones(
    speech: Speech, reference: dict[str, dict[str, list[int]]]
) -> None:
    expected = reference["semantic"]["first_10"]
    assert speech.semantic_tokens[: len(expected)].tolist() == expected


def test_coarse_tokens_are_the_stated_ones(
    speech: Speech, reference: dict[str, dict[str, list[int]]]
) -> None:
    expected = reference["coarse"]["first_16"]
    # Ids as sampled: the codebooks take turns, the first from 10000, the second from 11024.
    sampled = (speech.coarse_tokens + np.array([[10_000], [11_024]])).T.ravel()
    assert sampled[: len(expected)].tolist() == expected


def test_fine_tokens_are_the_stated_ones(
    speech: Speech, reference: dict[str, dict[str, list[list[int]]]]
) -> None:
    expected = np.array(reference["fine"]["first_10_frames"])  # one row per codebook
    assert expected.shape == (8, 10)
    np.testing.assert_array_equal(speech.fine_tokens[:, :10], expected)
