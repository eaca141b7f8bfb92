"""bark-onnx voices check: descriptions and anomalies of voice files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark_onnx.runtime import Voice
from bark_onnx.runtime.voices.inspection import HistoryLimits, voice_warnings
from tests.conftest import SHARED, needs_shared_data
from tests.support.command import Run, assert_fails, output_of
from tests.support.messages import assert_one_line
from tests.support.presets import preset_arrays, write_presets
from tests.support.sizes import SETTINGS


def voice(tokens: int, frames: int, **changes: Any) -> Voice:
    fine = np.arange(8 * frames).reshape(8, frames) % 1024
    arrays = {"semantic_prompt": np.arange(tokens), "coarse_prompt": fine[:2], "fine_prompt": fine}
    return Voice(**{**arrays, **changes})


def test_presets_are_described(run: Run, tmp_path: Path) -> None:
    write_presets(tmp_path, ["announcer", "v2/de_speaker_3"])
    arrays = preset_arrays("v2/de_speaker_3")
    tokens, frames = len(arrays["semantic_prompt"]), arrays["fine_prompt"].shape[1]
    out = output_of(run("voices", "check", "v2/de_speaker_3.npz", "announcer.npz"))
    assert out.splitlines() == [
        f"v2/de_speaker_3.npz: a voice of {frames / 75:.2f} s",
        f"  tokens      {tokens} semantic, {frames} frames of coarse and fine codes",
        f"  used        {'the last 6.83 s' if frames > 512 else 'all of it'}",
        "  language    German (de)",
        "announcer.npz: a voice of 10.00 s",
        "  tokens      499 semantic, 750 frames of coarse and fine codes",
        "  used        the last 6.83 s",
    ]


@needs_shared_data
def test_suno_presets_have_no_warnings() -> None:
    for path in (SHARED / "voices").rglob("*.npz"):
        assert voice_warnings(Voice.load(path), HistoryLimits()) == [], path


def test_default_limits_are_those_of_the_checkpoint() -> None:
    assert HistoryLimits.of(SETTINGS) == HistoryLimits()


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (voice(100, 200), ("tokens last 2.00 s", "frames 2.67 s", "Suno's own code refuses")),
        (voice(200, 100), ("tokens last 4.01 s", "frames 1.33 s")),
        (voice(1, 1), ("1 semantic tokens and 1 frames", "at least 2")),
        (voice(1, 100), ("1 semantic tokens", "too short")),
        (voice(100, 150, coarse_prompt=np.ones((2, 150), int)), ("coarse_prompt", "fine_prompt")),
    ],
)
def test_anomaly_is_a_one_line_warning_with_status_0(
    run: Run, tmp_path: Path, odd: Voice, words: tuple[str, ...]
) -> None:
    (warning,) = voice_warnings(odd, HistoryLimits())
    assert_one_line(warning, *words)
    odd.save(tmp_path / "odd.npz")
    assert f"  warning     {warning}" in output_of(run("voices", "check", "odd.npz")).splitlines()


@pytest.mark.parametrize(("tokens", "frames"), [(2, 3), (100, 146), (100, 154), (309, 464)])
def test_lengths_that_suno_code_accepts_cause_no_warning(tokens: int, frames: int) -> None:
    assert voice_warnings(voice(tokens, frames), HistoryLimits()) == []


def test_each_malformed_file_is_one_line_with_status_1(run: Run, tmp_path: Path) -> None:
    write_presets(tmp_path, ["good"])
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    status, out, err = run("voices", "check", "bad.npz", "good.npz", "gone.npz")
    assert status == 1
    assert out.startswith("good.npz: a voice of ")
    first, second = err.splitlines()
    assert_one_line(first, "bark-onnx: bad.npz", "not a voice")
    assert_one_line(second, "bark-onnx: gone.npz", "no such file")


def test_tokens_unknown_to_the_bundle_are_refused(
    run: Run, random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice(100, 150, semantic_prompt=np.full(100, 10_000)).save(tmp_path / "me.npz")
    output_of(run("voices", "check", "me.npz"))
    result = run("voices", "check", "me.npz", "-m", random_bundle)
    assert_fails(result, 1, "me.npz", "semantic_prompt holds 10000")
    monkeypatch.setenv("BARK_ONNX_MODEL", str(random_bundle))
    assert_fails(run("voices", "check", "me.npz"), 1, "semantic_prompt holds 10000")


def test_check_requires_a_file_and_a_valid_bundle(run: Run, tmp_path: Path) -> None:
    assert_fails(run("voices", "check"), 2, "FILE", "voices check --help")
    assert_fails(run("voices", "check", "a.npz", "-m", tmp_path), 1, "no bark.json")
