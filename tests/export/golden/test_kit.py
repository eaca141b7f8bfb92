"""Conformance kits of other bundles than the demo, and the folder that they are written to."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bark_onnx.export.golden.kit as kit_module
from bark_onnx.export.golden.cases import early_end
from bark_onnx.export.golden.files import KitFiles
from bark_onnx.export.golden.kit import kit_folder, write_kit
from bark_onnx.export.golden.models import chunks
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import ExportError
from bark_onnx.runtime import Bark, Voice
from tests.conftest import MakeOnce
from tests.support.exporting import Run, assert_run_fails, contents
from tests.support.kits import read_array, read_kit
from tests.support.messages import assert_one_line


def make_kit(bundle: Path, target: Path) -> None:
    target.mkdir()
    write_kit(Bundle(bundle), target, lambda step: None)


@pytest.fixture(scope="module", params=["fused", "standard"])
def kit(request: pytest.FixtureRequest, make_once: MakeOnce) -> tuple[Path, Path]:
    """A bundle with a voice, random weights and either attention; and its kit."""
    name = "random_bundle" if request.param == "fused" else "standard_bundle"
    bundle = request.getfixturevalue(name)
    return bundle, make_once(f"kits/{name}", lambda target: make_kit(bundle, target))


def test_runtime_repeats_the_kit_of_a_random_model(kit: tuple[Path, Path]) -> None:
    bundle, folder = kit
    cases = read_kit(folder, "fp32/cases.json")["cases"]
    assert len(cases) == 6
    with Bark.load(bundle, provider="cpu") as bark:
        for case in cases:
            speech = bark.speak(
                case["text"], voice=case["voice"], seed=case["seed"], **case["options"]
            )
            assert speech.semantic_tokens.tolist() == case["semantic_tokens"], case["name"]
            assert speech.coarse_tokens.tolist() == case["coarse_tokens"], case["name"]
            assert speech.fine_tokens.tolist() == case["fine_tokens"], case["name"]
            every = read_array(folder, case["samples"]["every_step"])
            samples = speech.samples[:: case["samples"]["step"]]
            np.testing.assert_allclose(samples, every, rtol=0, atol=1e-4)


def test_windows_of_the_fine_stage_slide_in_every_kit(kit: tuple[Path, Path]) -> None:
    (slide,) = (
        case for case in read_kit(kit[1], "fp32/cases.json")["cases"] if case["name"] == "slide"
    )
    assert len(slide["fine_windows"]) == 2
    assert len(slide["coarse_windows"]) > 10


def test_cache_after_the_prompt_is_that_before_the_token(kit: tuple[Path, Path]) -> None:
    runs = {run["name"]: run for run in read_kit(kit[1], "fp32/graphs.json")["runs"]}
    for stage in ("semantic", "coarse"):
        prompt, token = runs[f"{stage}-prompt"], runs[f"{stage}-token"]
        assert prompt["cache_before"] is None
        assert token["cache_before"] == prompt["cache_after"]
        before, after = (
            read_array(kit[1], token[name]) for name in ("cache_before", "cache_after")
        )
        length = before.shape[3]
        assert after.shape[3] == length + 1
        np.testing.assert_allclose(after[:, :, :, :length], before, rtol=0, atol=1e-6)


def test_bundle_without_voices_has_a_kit_with_a_made_one(random_bundle: Path) -> None:
    (voice,) = kit_module._voices(SilentBundle(random_bundle))
    assert voice.name == "kit"
    assert isinstance(voice, Voice)
    voice.check(Bundle(random_bundle).manifest.generation)


class SilentBundle(Bundle):
    def voice_names(self) -> list[str]:
        return []


# The folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run no text."""
    monkeypatch.setattr(kit_module, "say_cases", lambda *_: [])


def export_with_kit(run: Run, tmp_path: Path, golden: Path, *options: Any) -> tuple[int, str, str]:
    arguments = ("--no-verify", "--golden", golden, *options)
    return run("random", tmp_path / "bundle", *arguments)


@pytest.mark.usefixtures("quick")
def test_export_writes_a_kit_beside_the_bundle(run: Run, tmp_path: Path) -> None:
    status, _, err = export_with_kit(run, tmp_path, tmp_path / "kit")
    assert status == 0
    assert "kit: fp32: graphs" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "kit"]
    assert {"kit.json", "fp32/graphs.json", "fp32/cases.json"} <= contents(tmp_path / "kit").keys()
    before = contents(tmp_path / "kit")
    failed = export_with_kit(run, tmp_path, tmp_path / "kit")
    assert_run_fails(failed, 1, f"{tmp_path / 'kit'} already holds a kit", "--force")
    assert contents(tmp_path / "kit") == before
    assert export_with_kit(run, tmp_path, tmp_path / "kit", "--force")[0] == 0


def test_folder_with_other_files_is_refused_before_the_export(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "photographs"
    other.mkdir()
    (other / "holiday.jpg").write_bytes(b"irreplaceable")
    failed = export_with_kit(run, tmp_path, other, "--force")
    assert_run_fails(failed, 1, str(other), "other files", "does not exist yet")
    assert contents(tmp_path) == {"photographs/holiday.jpg": b"irreplaceable"}


@pytest.mark.parametrize("golden", ["bundle", "bundle/kit", "."])
def test_kit_and_bundle_lie_in_folders_of_their_own(run: Run, tmp_path: Path, golden: str) -> None:
    failed = export_with_kit(run, tmp_path, tmp_path / golden)
    assert_run_fails(failed, 1, "--golden", "lie in each other", "beside the bundle")
    assert not contents(tmp_path)


def fail_halfway(target: Path) -> None:
    with kit_folder(target, target.with_name("bundle"), force=False) as folder:
        assert folder is not None
        (folder / "half").touch()
        raise ExportError("the disk is full")


def test_failed_kit_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the disk is full"):
        fail_halfway(tmp_path / "kit")
    assert not list(tmp_path.iterdir())


def test_program_reports_a_missing_bundle_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bark_onnx.export.golden", tmp_path / "none", tmp_path / "kit"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert_one_line(done.stderr.rstrip(), "bark_onnx.export.golden: ", "no such folder")
    assert not list(tmp_path.iterdir())


# Parts


def test_arrays_are_little_endian_and_in_c_order(tmp_path: Path) -> None:
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    described = KitFiles(tmp_path).write_array("folder/name", array)
    assert described == {
        "name": "name",
        "dtype": "int32",
        "shape": [3, 2],
        "file": "folder/name.bin",
    }
    data = (tmp_path / "folder" / "name.bin").read_bytes()
    assert data == np.array([0, 3, 1, 4, 2, 5], "<i4").tobytes()


def test_lists_of_numbers_take_one_line(tmp_path: Path) -> None:
    data = {"a": [1, 2.5, -3e-7], "b": [[1, 2], []], "c": ["1", "[\n 1,\n 2\n]"]}
    KitFiles(tmp_path).write_json("a.json", data)
    assert '"a": [1, 2.5, -3e-07]' in (tmp_path / "a.json").read_text()
    assert read_kit(tmp_path, "a.json") == data


@pytest.mark.parametrize(
    ("probabilities", "tokens"),
    [
        ([1e-9] * 10 + [1e-3] + [1e-9] * 10 + [0.9], 10),  # at the largest step before the end
        ([1e-9, 0.5, 1e-9, 1e-9, 1e-9, 1e-2, 0.9], 0),  # no step is larger: at once
        ([0.9], 0),
    ],
)
def test_early_end_is_before_the_end(probabilities: list[float], tokens: int) -> None:
    threshold = early_end(probabilities)
    assert 0 < threshold <= 1
    assert next(i for i, each in enumerate(probabilities) if each > threshold) == tokens


def test_long_prompts_run_in_nearly_equal_parts() -> None:
    assert chunks(1) == [(0, 1)]
    assert chunks(300) == [(0, 300)]
    assert chunks(301) == [(0, 150), (150, 301)]
    assert chunks(887) == [(0, 295), (295, 591), (591, 887)]
