"""The day on a GPU, rehearsed over the fake runtime: every part runs, and false numbers are found.

`make test-fake-cuda` builds the runtime and runs these tests.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.runtime import Bark
from tests.support.fake_cuda.log import CudaLog, peak_bytes
from tests.support.fake_cuda.running import open_log

ROOT = Path(__file__).parents[2]
SIZE = "heads-of-64"
TEST = "tests/integration/test_cuda.py::test_a_kept_prefix_stays_while_other_sequences_step"


@pytest.fixture(scope="module")
def log() -> CudaLog:
    return open_log()


@pytest.fixture(scope="module")
def day(log: CudaLog, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, int]:
    """Parts of the day by name, the page, and the status."""
    folder = tmp_path_factory.mktemp("day")
    options = ["--size", SIZE, "--batch", 1, "--batch", 3, "--seconds", 0.5, "--soak-seconds", 3]
    options += ["--tests", f"{TEST}[0-1]", "--output", folder, "--minutes", 120]
    command = [sys.executable, ROOT / "benchmarks" / "gpu_day.py", *options]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    parts = json.loads((folder / "gpu-day.json").read_text())["parts"]
    by_name = {part["part"]: part for part in parts}
    return by_name, (folder / "gpu-day.txt").read_text(), done.returncode


def holds(part: dict[str, Any]) -> dict[str, bool]:
    """Whether each compared finding is as expected."""
    findings = part["findings"]
    return {each["name"]: each["holds"] for each in findings if each["holds"] is not None}


def test_every_part_is_done_but_the_one_that_needs_pytorch_for_the_gpu(day: Any) -> None:
    parts, page, status = day
    undone = [name for name, part in parts.items() if part["outcome"] != "done"]
    assert undone == [f"transformers, {SIZE}"]
    assert parts[undone[0]]["output"][-1].endswith("finds no GPU")
    assert status == 1
    assert f"transformers, {SIZE}: failed" in page


@pytest.mark.parametrize("name", ["placement", "kernels", "threads", "bundles", "soak"])
def test_what_the_host_decides_is_as_expected(day: Any, name: str) -> None:
    part = day[0][name]
    assert part["findings"]
    found = holds(part)
    # The process may grow while the arenas of its first requests do.
    found.pop("growth of the process, MB", None)
    assert all(found.values()), part["findings"]


def test_a_gpu_that_computes_nothing_is_found_in_steps_and_tests(day: Any) -> None:
    parts, page, _ = day
    steps = holds(parts["steps"])
    errors = [is_right for name, is_right in steps.items() if "error" in name]
    assert len(errors) == 20
    assert not any(errors)
    assert all(is_right for name, is_right in steps.items() if "replayed" in name)
    assert not all(holds(parts["tests"]).values())
    assert "error: 1 (expected: below 0.01)" in page


def test_every_stage_is_timed_in_every_setting(day: Any) -> None:
    timings = [part for name, part in day[0].items() if name.startswith("timings, ")]
    assert len(timings) == 4
    names = [{finding["name"] for finding in part["findings"]} for part in timings]
    assert all(each == names[0] for each in names)
    for expected in ("ms, semantic, step of 3 sequences", "ms, codec, 16 sequences, 502 frames"):
        assert any(name.startswith(expected) for name in names[0])


def test_memory_by_stage_is_that_of_the_log(day: Any, log: CudaLog, gpu_bundle: Path) -> None:
    found = {
        each["name"]: each["value"]
        for name, part in day[0].items()
        if name.startswith("memory of")
        for each in part["findings"]
    }
    assert len(found) == 20
    for batch in (1, 16):
        loaded, low = (f"MB, {SIZE}, {batch} sequences, {x}" for x in ("all loaded", "low memory"))
        assert 0 < found[f"{low}, coarse"] < found[f"{loaded}, coarse"]
        assert found[f"{low}, loaded"] < found[f"{loaded}, loaded"]
        assert found[f"{loaded}, loaded"] <= found[f"{loaded}, codec"]
    log.take()
    with Bark.load(gpu_bundle, provider="cuda", max_batch_size=1) as bark:
        bark.speak("Hello", seed=0, semantic_max_new_tokens=25)
    megabytes = peak_bytes(log.take()) / 2**20
    assert megabytes == pytest.approx(
        found[f"MB, {SIZE}, 1 sequences, all loaded, codec"], rel=0.05
    )


def test_counts_of_calls_are_those_that_the_expectation_was_made_of(
    log: CudaLog, tmp_path: Path
) -> None:
    script, output = ROOT / "benchmarks" / "gpu_counts.py", tmp_path / "counts.json"
    options = ["--layers", "12", "--sequences", "1", "--seconds", "1", "--output", str(output)]
    subprocess.run([sys.executable, str(script), *options], check=True, capture_output=True)
    found = {row["stage"]: row for row in json.loads(output.read_text())["rows"]}
    counts = json.loads((ROOT / "benchmarks" / "gpu" / "counts.json").read_text())
    for row in counts["rows"]:
        if (row["layers"], row["sequences"]) != (12, 1) or row["stage"] == "codec":
            continue
        stage, seconds = row["stage"], counts["audio_seconds"]
        assert found[stage]["nodes"] == row["nodes"], "they have changed: make gpu-counts"
        ratio = row["replays"] / seconds
        assert found[stage]["replays"] == pytest.approx(ratio, rel=0.1), "make gpu-counts"
        for call in ("copies_in", "copies_out"):
            each = row[call] / max(row["replays"], 1)
            measured = found[stage][call] / max(found[stage]["replays"], 1)
            assert measured == pytest.approx(each, rel=0.15), "make gpu-counts"
