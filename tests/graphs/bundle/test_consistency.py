"""Numbers of bark.json that do not fit each other, each in range on its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.graphs.bundle.consistency import check_settings, check_shapes
from bark_onnx.graphs.bundle.manifest import Manifest
from tests.support.manifests import assert_refused, rewrite_manifest
from tests.support.sizes import SETTINGS, SHAPES


def test_numbers_of_suno_fit() -> None:
    check_settings(SETTINGS)
    check_shapes(SHAPES, SETTINGS)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("generation.semantic.text_encoding_offset", 129_595, "at most 129594"),
        ("generation.semantic.semantic_rate_hz", 7.4, "at least 7.5"),
        ("generation.semantic.semantic_rate_hz", 751.0, "at most 750.0"),
        ("generation.semantic.sampling.temperature", 0.0, "at least 1e-06"),
        ("generation.coarse.sampling.temperature", 0.0, "at least 1e-06"),
        ("generation.coarse.n_coarse_codebooks", 9, "at most 8"),
        ("generation.fine.max_fine_history_length", 1024, "at most 1023"),
        ("shapes.semantic.context_length", 1023, "at least 1024"),
        ("shapes.semantic.input_vocabulary", 129_599, "at least 129600"),
        ("shapes.semantic.first_logit_id", 1, "0"),
        ("shapes.semantic.num_logits", 10_000, "10001"),
        ("shapes.coarse.context_length", 945, "at least 946"),
        ("shapes.coarse.first_logit_id", 9_999, "10000"),
        ("shapes.coarse.num_logits", 2_047, "at least 2048"),
        ("shapes.coarse.input_vocabulary", 12_095, "at least 12096"),
        ("shapes.fine.context_length", 1023, "at least 1024"),
        ("shapes.fine.input_vocabulary", 1024, "at least 1025"),
        ("shapes.fine.num_logits", 1023, "1024"),
        ("shapes.fine.num_codebooks", 7, "at least 8"),
        ("shapes.fine.num_given_codebooks", 3, "at most 2"),
        ("shapes.codec.num_codebooks", 7, "8"),
        ("shapes.codec.codebook_size", 1023, "at least 1024"),
        ("shapes.codec.sample_rate_hz", 48_000, "24000"),
        ("shapes.codec.samples_per_frame", 300, "at least 316"),
        ("shapes.codec.samples_per_frame", 640, "at most 324"),
    ],
)
def test_number_that_does_not_fit_is_refused(
    small_bundle: Path, key: str, value: float, expected: str
) -> None:
    rewrite_manifest(small_bundle, set_to(key, value))
    words = (f"bark.json: {key} is {value}, expected {expected} (", "; export or download")
    assert_refused(small_bundle, *words)


@pytest.mark.parametrize(
    "key",
    [
        "generation.semantic.max_new_tokens",
        "generation.semantic.max_input_semantic_length",
        "generation.coarse.max_coarse_input_length",
        "generation.coarse.max_coarse_history",
        "generation.coarse.sliding_window_len",
        "generation.fine.max_fine_history_length",
        "generation.fine.max_fine_input_length",
    ],
)
@pytest.mark.parametrize("value", [0, -1, 16_385])
def test_length_out_of_range_is_named(small_bundle: Path, key: str, value: int) -> None:
    rewrite_manifest(small_bundle, set_to(key, value))
    words = (f"bark.json: {key} is {value}, expected from 1 to 16384; export or download",)
    assert_refused(small_bundle, *words)


def test_tokens_beyond_the_vocabulary_are_refused(small_bundle: Path) -> None:
    rewrite_manifest(small_bundle, set_to("generation.coarse.coarse_infer_token", 12_096))
    words = ("shapes.coarse.input_vocabulary is 12096", "at least 12097", "largest token id")
    assert_refused(small_bundle, *words)


def test_greedy_checkpoint_may_have_a_temperature_of_zero(small_bundle: Path) -> None:
    rewrite_manifest(
        small_bundle,
        lambda data: data["generation"]["coarse"]["sampling"].update(
            temperature=0.0, do_sample=False
        ),
    )
    assert Manifest.read(small_bundle).generation.coarse.sampling.temperature == 0.0


def set_to(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        *parents, name = key.split(".")
        for parent in parents:
            data = data[parent]
        data[name] = value

    return change
