"""The day on a GPU with scripted parts: it stops at nothing, and its page names what differs."""

import json
import subprocess
import sys
import time
from pathlib import Path
from shutil import which

import pytest
from gpu.day import Day, Finding, Notes, read_findings
from gpu.page import compared_rates, page
from gpu.parts import DAY_SECONDS, TIMINGS, Part, parts_of
from gpu.runner import PartResult, run_parts

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DAY = Day(("bark-small", "bark"), (1, 16), 5.0, 120.0, ())

SCRIPTS = {
    "scripted_good": "notes.check('answer', 42, 42)",
    "scripted_false": "notes.below('error', 3.0, 1.0)",
    "scripted_error": "notes.add('before', 1)\n    raise RuntimeError('an illegal address')",
    "scripted_crash": "import os\n    os.abort()",
    "scripted_hang": (
        "import subprocess\n    import time\n    notes.add('before', 1)\n"
        "    subprocess.Popen(['sleep', '60'])\n    time.sleep(60)"
    ),
    "scripted_argument": "import os\n    notes.add(arguments[0], os.environ['OF_A_PART'])",
}


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of scripted parts, where a part's process finds them."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    for name, body in SCRIPTS.items():
        (folder / f"{name}.py").write_text(f"def run(day, notes, *arguments):\n    {body}\n")
    paths = [str(folder), *(path for path in sys.path if path)]
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))


def run(folder: Path, *parts: Part, seconds: float = DAY_SECONDS) -> list[PartResult]:
    return run_parts(parts, DAY, folder, seconds=seconds, progress=lambda result: None)


@pytest.mark.usefixtures("scripts")
def test_a_part_that_fails_crashes_or_hangs_keeps_its_findings_and_the_next_one_runs(
    tmp_path: Path,
) -> None:
    started = time.monotonic()
    error, crash, hang, good = run(
        tmp_path,
        Part("error", "scripted_error", 30),
        Part("crash", "scripted_crash", 30),
        Part("hang", "scripted_hang", 30),
        Part("good", "scripted_good", 30),
        seconds=45,
    )
    assert time.monotonic() - started < 45
    assert (error.outcome, crash.outcome) == ("failed", "failed")
    assert "an illegal address" in error.output[-1]
    assert crash.output[-1] == "ended by SIGABRT"
    assert hang.outcome == "out of time"
    assert [result.findings for result in (error, hang)] == [(Finding("before", 1),)] * 2
    assert (good.outcome, good.findings) == ("done", (Finding("answer", 42, "42", True),))


@pytest.mark.usefixtures("scripts")
def test_a_part_receives_its_arguments_and_its_environment(tmp_path: Path) -> None:
    part = Part("one", "scripted_argument", 60, ("its argument",), {"OF_A_PART": "here"})
    (result,) = run(tmp_path, part)
    assert result.findings == (Finding("its argument", "here"),)


@pytest.mark.usefixtures("scripts")
def test_parts_without_time_are_reported_as_not_begun(tmp_path: Path) -> None:
    first, second = run(
        tmp_path, Part("hang", "scripted_hang", 1), Part("good", "scripted_good", 1), seconds=1.5
    )
    assert (first.outcome, second.outcome) == ("out of time", "not begun")
    assert "no time was left" in page([first, second], "a test")


def test_all_parts_fit_into_the_day_and_have_names_of_their_own() -> None:
    parts = parts_of(DAY)
    assert sum(part.limit_seconds for part in parts) <= DAY_SECONDS
    assert len({part.name for part in parts}) == len(parts)
    assert sum(part.name.startswith("timings, ") for part in parts) == len(TIMINGS)
    for part in parts:
        path = BENCHMARKS / f"{part.module.replace('.', '/')}.py"
        assert "def run(" in path.read_text()


def test_findings_of_a_file_that_was_cut_off_are_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "findings.jsonl"
    notes = Notes(path)
    notes.check("whole", 1, 2)
    assert notes.attempt("fails", lambda: 1 / 0) is None
    path.write_text(path.read_text() + '{"name": "cut o')
    found = list(read_findings(path))
    assert [(each.name, each.holds) for each in found] == [("whole", False), ("fails", False)]
    assert found[1].value == "ZeroDivisionError: division by zero"


def result(part: str, *findings: Finding) -> PartResult:
    return PartResult(part, "done", 1.0, findings, ())


def test_the_page_names_only_what_differs() -> None:
    text = page(
        [result("steps", Finding("good", 1, "1", True), Finding("bad", 0.25, "below 0.01", False))],
        "a test",
    )
    assert "  bad: 0.25 (expected: below 0.01)" in text
    assert "good" not in text
    assert "1 of 2 differ" in text


def test_the_page_is_short_whatever_differs() -> None:
    bad = [Finding(f"{index}", "x" * 500, "y" * 500, False) for index in range(100)]
    text = page([result("steps", *bad), result("tests", *bad)], "a test")
    assert len(text.splitlines()) < 40
    assert max(map(len, text.splitlines())) <= 110
    assert "and 88 more, in the JSON" in text


def test_rates_are_related_to_those_of_transformers_and_to_the_aims() -> None:
    def rate(part: str, sequences: int, value: float) -> PartResult:
        name = f"audio seconds a second, bark-small, {sequences} sequences"
        return result(f"{part} bark-small", Finding(name, value))

    found = compared_rates(
        [rate("speech of", 1, 8.0), rate("speech of", 16, 120.0), rate("transformers,", 1, 1.0)]
    )
    single, best = found.findings
    assert (single.value, single.holds) == (8.0, False)
    assert (best.value, best.holds) == (120.0, True)
    assert "8 (expected: at least 10)" in page([found], "a test")


def test_the_command_refuses_a_part_that_is_unknown() -> None:
    command = [sys.executable, str(BENCHMARKS / "gpu_day.py"), "--part", "sleep"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--part sleep names none of: system, bundles" in done.stderr


@pytest.mark.skipif(which("nvidia-smi") is not None, reason="expects a machine without a GPU")
def test_the_command_writes_one_json_and_one_page_and_ends_with_1_where_there_is_no_gpu(
    tmp_path: Path,
) -> None:
    arguments = ["--size", "tiny", "--part", "kernels", "--part", "system", "--output", tmp_path]
    command = [sys.executable, str(BENCHMARKS / "gpu_day.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    found = json.loads((tmp_path / "gpu-day.json").read_text())
    assert [part["part"] for part in found["parts"]] == ["system", "kernels", "rates"]
    text = (tmp_path / "gpu-day.txt").read_text()
    assert text in done.stdout
    assert "driver: None (expected: 580 or newer)" in text
    assert "kernels: failed" in text
