"""The conformance kit of the demo is current, and the runtime repeats it."""

import hashlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark_onnx.export.golden.kit import write_kit
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime import Bark, segment_seed
from tests.conftest import MakeOnce, export
from tests.support.kits import (
    DEMO_KIT,
    assert_kits_agree,
    has_exact_int8_products,
    read_array,
    read_kit,
)

CHECKPOINT = Path(__file__).parents[2] / "export" / "demo" / "checkpoint"
KIT = read_kit(DEMO_KIT, "kit.json")
PRECISIONS = ("fp32", "int8")
NAMES = ("plain", "voice", "slide", "early-end", "sampled", "suno")
needs_exact_int8 = pytest.mark.skipif(
    not has_exact_int8_products(),
    reason="this processor has no VNNI, and without it int8 products saturate",
)
BY_PRECISION = [pytest.param("fp32"), pytest.param("int8", marks=needs_exact_int8)]
CASES = {
    (precision, case["name"]): case
    for precision in PRECISIONS
    for case in read_kit(DEMO_KIT, f"{precision}/cases.json")["cases"]
}


@pytest.fixture(scope="module")
def demo_bundle(make_once: MakeOnce) -> Path:
    """The demo in the precisions of its kit."""
    return make_once(
        "bundles/demo-kit", lambda target: export(CHECKPOINT, target, precisions=PRECISIONS)
    )


@pytest.fixture(scope="module")
def made_again(demo_bundle: Path, make_once: MakeOnce) -> Path:
    """The kit of the demo, made now."""

    def make(folder: Path) -> None:
        folder.mkdir()
        write_kit(Bundle(demo_bundle), folder, lambda step: None)

    return make_once("kits/demo", make)


@pytest.fixture(scope="module")
def barks(demo_bundle: Path) -> Iterator[dict[str, Bark]]:
    found = {
        "fp32": Bark.load(demo_bundle, provider="cpu", precision="fp32"),
        "int8": Bark.load("demo", provider="cpu", precision="int8"),
    }
    yield found
    for bark in found.values():
        bark.close()


def options_of(case: dict[str, Any]) -> dict[str, Any]:
    return {"voice": case["voice"], "seed": case["seed"], **case["options"]}


def test_kit_is_small_and_has_every_kind_of_text() -> None:
    sizes = [path.stat().st_size for path in DEMO_KIT.rglob("*") if path.is_file()]
    assert sum(sizes) < 2_000_000
    assert set(CASES) == {(precision, name) for precision in PRECISIONS for name in NAMES}
    for precision in PRECISIONS:
        plain, voice, slide, early, sampled, suno = (CASES[precision, name] for name in NAMES)
        assert plain["voice"] is None
        assert voice["voice"] == "v2/en_speaker_0"
        assert len(slide["fine_windows"]) > 1
        prompts = [window["prompt"] for window in slide["coarse_windows"]]
        assert any(first[:20] != second[:20] for first, second in pairwise(prompts))
        assert early["semantic_end"] == "min_eos_p"
        assert 0 < len(early["semantic_tokens"]) < len(voice["semantic_tokens"])
        assert plain["uniforms"]["count"] == 0
        for case in (sampled, suno):
            drawn = len(case["semantic_tokens"]) + 2 * len(case["coarse_tokens"][0])
            assert case["uniforms"]["count"] > drawn
    assert CASES["fp32", "plain"]["semantic_end"] == "token"


def test_kit_is_current_where_no_graph_runs(made_again: Path) -> None:
    assert_kits_agree(made_again, DEMO_KIT, ["kit.json"])


@pytest.mark.parametrize("precision", BY_PRECISION)
def test_kit_is_current(made_again: Path, precision: str) -> None:
    names = [f"{precision}/graphs.json", f"{precision}/cases.json"]
    assert_kits_agree(made_again, DEMO_KIT, names)
    files = {path.relative_to(made_again) for path in made_again.rglob("*.bin")}
    assert files == {path.relative_to(DEMO_KIT) for path in DEMO_KIT.rglob("*.bin")}


@pytest.mark.parametrize("precision", BY_PRECISION)
@pytest.mark.parametrize("name", NAMES)
def test_runtime_repeats_the_kit(barks: dict[str, Bark], precision: str, name: str) -> None:
    case = CASES[precision, name]
    speech = barks[precision].speak(case["text"], **options_of(case))
    assert speech.semantic_tokens.tolist() == case["semantic_tokens"]
    assert speech.coarse_tokens.tolist() == case["coarse_tokens"]
    assert speech.fine_tokens.tolist() == case["fine_tokens"]
    expected = case["samples"]
    assert (len(speech.samples), speech.sample_rate_hz) == (
        expected["count"],
        expected["sample_rate_hz"],
    )
    every = read_array(DEMO_KIT, expected["every_step"])
    close = {"rtol": 0, "atol": expected["tolerance"]}
    np.testing.assert_allclose(speech.samples[:: expected["step"]], every, **close)
    np.testing.assert_allclose(speech.samples[:8], expected["first"], **close)
    np.testing.assert_allclose(speech.samples[-8:], expected["last"], **close)


@pytest.mark.parametrize("name", NAMES)
def test_runtime_repeats_a_kit_of_this_machine_to_the_last_bit(
    barks: dict[str, Bark], made_again: Path, name: str
) -> None:
    """Other processors: the kit that they make is the one that their runtime repeats."""
    for precision, bark in barks.items():
        cases = read_kit(made_again, f"{precision}/cases.json")["cases"]
        (case,) = (case for case in cases if case["name"] == name)
        speech = bark.speak(case["text"], **options_of(case))
        assert speech.fine_tokens.tolist() == case["fine_tokens"]
        digest = hashlib.sha256(speech.samples.astype("<f4").tobytes()).hexdigest()
        assert digest == case["samples"]["sha256"]


@pytest.mark.parametrize("name", NAMES)
def test_decisions_of_the_fp32_kit_are_clear(name: str) -> None:
    """No rounding error of another processor changes a token."""
    case = CASES["fp32", name]
    least = {"semantic": 1e-3, "coarse": 1e-3, "fine": 5e-5}
    if case["options"]["semantic_do_sample"]:
        least = {"semantic": 1e-4, "coarse": 1e-5, "fine": 1e-6}
    assert all(case["closest"][stage] >= distance for stage, distance in least.items())


def test_options_voices_and_seeds_of_the_kit_are_those_of_the_runtime(
    barks: dict[str, Bark],
) -> None:
    bark = barks["int8"]
    for text in KIT["texts"]:
        assert bark.count_tokens(text["text"]) == len(text["ids"])
    for voice in KIT["voices"]:
        ours = bark.voice(voice["name"])
        assert ours is not None
        for key in ("semantic_prompt", "coarse_prompt", "fine_prompt"):
            assert getattr(ours, key).tolist() == voice[key]
    for row in KIT["segment_seeds"]:
        seed = segment_seed(int(row["seed"]), row["index"], row["attempt"])
        assert str(seed) == row["segment_seed"]
    for row in KIT["random"]:
        drawn = np.random.default_rng(int(row["seed"])).random(len(row["uniforms"]))
        assert drawn.tolist() == row["uniforms"]
