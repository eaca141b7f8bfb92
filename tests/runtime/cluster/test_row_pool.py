"""Batches on Ray: workers and the command are killed, and the folder is that of one machine."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import BatchError
from bark_onnx.runtime import GenerationOptions, StreamOptions
from bark_onnx.runtime.batch.row import Row, RowDefaults, make_row
from bark_onnx.runtime.batch.speaker import FinishedRow, SpeakerSettings

pytest.importorskip("ray", reason="the extra [ray] is missing")

from bark_onnx.runtime.cluster.attempts import Attempts
from bark_onnx.runtime.cluster.row_pool import RayPool
from bark_onnx.runtime.cluster.row_worker import RowWorker, to_table

SHORT = ("--semantic-max-new-tokens", "20")
ON_RAY = ("--ray", "local", "--workers", "2", "--threads", "1", "--concurrency", "2")
WORKER = "ray::MapWorker"
SETTINGS = SpeakerSettings(
    bundle="demo",
    audio_format="wav",
    sample_rate_hz=24_000,
    metadata=True,
    generation=GenerationOptions(semantic_max_new_tokens=20),
    stream=StreamOptions(),
    concurrency=2,
)


def start(folder: Path, output: str, *arguments: str) -> subprocess.Popen[str]:
    words = ("batch", "rows.jsonl", "-m", "demo", "-o", output, *SHORT, *arguments)
    return subprocess.Popen(
        [sys.executable, "-m", "bark_onnx.runtime", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def descendants(process: subprocess.Popen[str]) -> dict[int, str]:
    """Titles of the processes that a command has started, by id."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    known, found = {process.pid}, {}
    for _ in range(4):
        for pid, parent, title in rows:
            if int(parent) in known:
                known.add(int(pid))
                found[int(pid)] = title
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """The sounds, and the manifest, but for Parquet, which is compared by its rows."""
    return {path.name: path.read_bytes() for path in folder.glob("*.[wj]*")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with rows, and with what one machine makes of them."""
    shutil.copy(Bundle("demo").folder / "voices" / "v2" / "en_speaker_1.npz", tmp_path / "me.npz")
    rows: list[dict[str, Any]] = [
        {"id": f"row {n}", "text": f"Good morning. The {n} days are warm."} for n in range(24)
    ]
    rows[3]["voice"] = "me.npz"
    rows[5]["voice"] = "no/such.npz"
    rows[7]["text"] = ""
    rows[9] |= {"voice": "v2/en_speaker_0", "seed": 5, "trim": True, "temperature": 0.5}
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    process = start(tmp_path, "alone")
    _, err = process.communicate()
    assert process.returncode == 1, err
    return tmp_path


def wait_for_sounds(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    while process.poll() is None and len(list(folder.glob("*.wav"))) < count:
        time.sleep(0.05)


def test_batch_whose_workers_are_killed_equals_that_of_one_machine(folder: Path) -> None:
    process, numbers = start(folder, "out", *ON_RAY), random.Random(0)
    started: dict[int, str] = {}
    for count in (1, 6, 12):
        wait_for_sounds(process, folder / "out", count)
        found = descendants(process)
        started |= found
        workers = [pid for pid, title in found.items() if title.startswith(WORKER)]
        assert workers, "no worker is there to be killed"
        os.kill(numbers.choice(workers), signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == 1, err
    assert out.startswith("out: 22 of 24 rows generated, 2 failed, "), out
    lines = sorted(err.splitlines())
    assert len(lines) == 2, err
    assert lines[0].startswith("bark-onnx: row 6 (row 5): no/such.npz: no such file")
    assert lines[1].startswith("bark-onnx: row 8 (row 7): The text is empty")
    found_files, alone = contents(folder / "out"), contents(folder / "alone")
    assert found_files.keys() == alone.keys()
    assert [name for name in alone if alone[name] != found_files[name]] == []
    from pyarrow.parquet import read_table

    tables = [read_table(folder / name / "manifest.parquet") for name in ("out", "alone")]
    assert tables[0].equals(tables[1])
    time.sleep(1)
    assert [title for pid, title in started.items() if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_batch_that_began_on_ray_goes_on_without(folder: Path, number: signal.Signals) -> None:
    process = start(folder, "out", *ON_RAY)
    wait_for_sounds(process, folder / "out", 3)
    process.send_signal(number)
    _, err = process.communicate()
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert err.splitlines()[-1].startswith("bark-onnx: interrupted; "), err
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").glob("*.wav")}
    assert 3 <= len(before) < 22
    process = start(folder, "out")
    out, err = process.communicate()
    assert process.returncode == 1, err
    assert f", {len(before)} kept, 2 failed, " in out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents(folder / "out") == contents(folder / "alone")


def test_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "Hello"}')
    process = start(tmp_path, "out", "--ray", "127.0.0.1:9")
    out, err = process.communicate()
    assert (process.returncode, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("bark-onnx: No Ray cluster answers at 127.0.0.1:9 (")
    assert not (tmp_path / "out").exists()


# Parts, without a cluster


def row(number: int, text: str = "Hello.", **values: Any) -> Row:
    return make_row(number, {"text": text, **values}, RowDefaults(), "x")


class FakeRay:
    """Calls actors' methods at once."""

    @staticmethod
    def get(value: Any) -> Any:
        return value


class FakeActor:
    def __init__(self, target: Any) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.target, name)
        return type("Method", (), {"remote": staticmethod(method)})


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> RowWorker:
    monkeypatch.setattr("bark_onnx.runtime.cluster.row_worker.ray", FakeRay)
    monkeypatch.setattr("bark_onnx.runtime.cluster.row_worker.use_global_thread_pool", lambda: None)
    return RowWorker(SETTINGS, {"bundle": "demo"}, FakeActor(Attempts()))


def test_results_of_a_table_have_the_order_of_its_rows(worker: RowWorker) -> None:
    texts = ("Good morning. " * 8, "", "Hello.", "Good night.", "", "Warm.", "")
    rows = [row(number, text) for number, text in enumerate(texts, 1)]
    voices = {3: (Bundle("demo").folder / "voices/v2/en_speaker_1.npz").read_bytes()}
    rows[2] = row(3, "Hello.", voice="somewhere/me.npz")
    found = [values for table in worker(to_table(rows, voices)) for values in table.to_pylist()]
    assert [values["number"] for values in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [bool(values["sound"]) for values in found] == [bool(text) for text in texts]
    assert b'"name":"somewhere/me.npz"' in found[2]["sound"]
    again = [values for table in worker(to_table(rows, voices)) for values in table.to_pylist()]
    assert again == found


def test_table_that_ended_three_workers_is_refused(worker: RowWorker) -> None:
    for _ in range(3):
        assert list(worker(to_table([row(1)], {})))
    with pytest.raises(Exception, match="3 workers ended while they generated these rows"):
        next(worker(to_table([row(1)], {})))


class ScriptedPool(RayPool):
    """A pool whose turns are scripted: rows that end, by the size of the tables."""

    def __init__(self, turns: Sequence[set[int]]) -> None:
        self.settings = SETTINGS
        self.sizes: list[int] = []
        self._workers = 2
        self._turns = iter(turns)

    def _generate(
        self, waiting: dict[int, Row], voices: Mapping[int, bytes], table_rows: int, on_row: Any
    ) -> str | None:
        self.sizes.append(table_rows)
        for number in next(self._turns) & waiting.keys():
            on_row(FinishedRow(waiting.pop(number), b"sound"))
        return None


def test_row_that_ends_its_workers_fails_alone(tmp_path: Path) -> None:
    pool = ScriptedPool([{1, 2}, {3, 4}])
    finished: list[FinishedRow] = []
    pool.speak([row(number) for number in range(1, 41)][:5], finished.append, tmp_path)
    assert pool.sizes == [1, 1]
    assert [(each.row.number, each.error) for each in finished if each.error] == [
        (5, "No worker could generate the row (3 of them ended)")
    ]
    assert len(finished) == 5


def test_cluster_on_which_no_row_can_be_generated_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="No worker of the Ray cluster generated a row"):
        ScriptedPool([set(), set()]).speak([row(1), row(2)], print, tmp_path)
