"""bark-onnx batch: rows to files on one machine, whatever fails and wherever a run ended."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile

from bark_onnx.graphs.errors import EngineError
from bark_onnx.graphs.files.atomic_write import atomic_write
from bark_onnx.runtime import Bark
from bark_onnx.runtime.batch.row import derive_seed
from bark_onnx.runtime.longform.window import SegmentTask
from tests.support.command import ENTRY_POINT, Run, assert_fails, output_of

SHORT = ("--semantic-max-new-tokens", 15)
ROWS = (
    {"id": "one", "text": "One, to begin with."},
    {"id": "two", "text": "The second one.", "voice": "v2/en_speaker_0", "seed": 5},
    {"id": "a/b", "text": "Greedy.", "do_sample": False, "fine_temperature": 1.0},
    {"id": "long", "text": "First sentence. Then another one. And a third.", "max_seconds": 2},
)


def write_rows(path: Path, rows: Any = ROWS) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.fixture
def batch(run: Run, random_bundle: Path, tmp_path: Path) -> Run:
    """Runs `bark-onnx batch rows.jsonl -o out` with the random bundle."""
    write_rows(tmp_path / "rows.jsonl")
    words = ("batch", "rows.jsonl", "-m", random_bundle, "-o", "out", *SHORT)
    return lambda *arguments: run(*words, *arguments)


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def sounds(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.wav"))}


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    """What changes if a file is written again."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*.wav")
    }


def test_every_row_has_a_file_and_an_entry(batch: Run, tmp_path: Path) -> None:
    out = output_of(batch())
    assert out.startswith("out: 4 of 4 rows generated, ")
    entries = manifest(tmp_path / "out")
    assert [each["id"] for each in entries] == ["one", "two", "a/b", "long"]
    assert [each["file"] for each in entries] == ["one.wav", "two.wav", "a%2Fb.wav", "long.wav"]
    assert [each["voice"] for each in entries] == [None, "v2/en_speaker_0", None, None]
    assert [each["seed"] for each in entries] == [
        *(derive_seed(0, "one"), 5, derive_seed(0, "a/b"), derive_seed(0, "long")),
    ]
    for each in entries:
        info = soundfile.info(tmp_path / "out" / each["file"])
        assert info.duration == pytest.approx(each["seconds"], abs=1e-3)
        assert each["error"] is None
    assert entries[2]["options"] == {"do_sample": False, "fine_temperature": 1.0}


def test_each_file_equals_that_of_speak_with_the_settings_of_its_row(
    batch: Run, run: Run, random_bundle: Path, tmp_path: Path
) -> None:
    output_of(batch("--concurrency", 3))
    found = sounds(tmp_path / "out")
    cases = (
        ("one.wav", ROWS[0], ("--seed", derive_seed(0, "one"))),
        ("two.wav", ROWS[1], ("--seed", 5, "--voice", "v2/en_speaker_0")),
        (
            "a%2Fb.wav",
            ROWS[2],
            ("--seed", derive_seed(0, "a/b"), "--no-do-sample", "--fine-temperature", 1),
        ),
        ("long.wav", ROWS[3], ("--seed", derive_seed(0, "long"), "--max-seconds", 2)),
    )
    for name, row, settings in cases:
        words = ("speak", row["text"], "-m", random_bundle, *SHORT, *settings)
        output_of(run(*words, "-o", "alone.wav"))
        assert hash((tmp_path / "alone.wav").read_bytes()) == hash(found[name]), name


def test_second_run_generates_nothing(
    batch: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_of(batch())
    before, entries = identities(tmp_path / "out"), manifest(tmp_path / "out")
    monkeypatch.setattr(Bark, "submit_segment", None)
    assert output_of(batch()).startswith("out: 0 of 4 rows generated, 4 kept, 0.00 s of audio")
    assert identities(tmp_path / "out") == before
    assert manifest(tmp_path / "out") == entries


def test_json_summary_counts_rows(batch: Run) -> None:
    found = json.loads(output_of(batch("--json", "--format", "flac")))
    assert (found["rows"], found["kept"], found["generated"], found["failed"]) == (4, 0, 4, 0)
    assert found["seconds"] > 0
    assert found["manifests"][0] == "out/manifest.jsonl"


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("x.txt", "Hello.\n\nGood night.\n", ["000001", "000003"]),
        ("x.csv", 'text,seed,trim\n"Yes, please.",3,no\nNo.,,\n', ["000001", "000002"]),
        ("x.csv", "id,text,top_k\n7,Seven.,50\nx,Ix.,\n", ["7", "x"]),
    ],
)
def test_formats_of_text_are_read(
    run: Run, random_bundle: Path, tmp_path: Path, name: str, content: str, ids: list[str]
) -> None:
    (tmp_path / name).write_text(content)
    output_of(run("batch", name, "-m", random_bundle, "-o", "out", *SHORT))
    assert [each["id"] for each in manifest(tmp_path / "out")] == ids
    assert sorted(sounds(tmp_path / "out")) == [f"{row_id}.wav" for row_id in ids]


def test_parquet_is_read_and_written(run: Run, random_bundle: Path, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra [batch] is missing")
    from pyarrow.parquet import read_table, write_table

    rows = [{"id": 1, "text": "Hello.", "seed": None}, {"id": 2, "text": "", "seed": 5}]
    write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    status, _, _ = run("batch", "x.parquet", "-m", random_bundle, "-o", "out", *SHORT)
    assert status == 1
    found = read_table(tmp_path / "out" / "manifest.parquet").to_pylist()
    expected = manifest(tmp_path / "out")
    assert found == [each | {"options": json.dumps(each["options"])} for each in expected]


def test_summary_names_the_extra_where_pyarrow_is_missing(
    batch: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bark_onnx.runtime.batch.parquet.find_spec", lambda name: None)
    assert "; for manifest.parquet: pip install " in output_of(batch())
    assert not (tmp_path / "out" / "manifest.parquet").exists()


# Rows that fail


BAD = (
    ({"id": "empty", "text": " "}, "The text is empty"),
    ({"id": "voice", "text": "Hello", "voice": "nope"}, 'Voice "nope" not found'),
    ({"id": "path", "text": "Hello", "voice": "no/such.npz"}, "no/such.npz: no such file"),
    ({"id": "seed", "text": "Hello", "seed": -1}, "seed is -1"),
    ({"id": "number", "text": 3}, "The text is 3"),
    ({"id": "option", "text": "Hello", "temperature": 0}, "temperature is 0"),
    ({"id": "word", "text": "Hello", "history": "next"}, "history is 'next'"),
    ({"id": "both", "text": "Hello", "crossfade_seconds": 1, "silence_seconds": 1}, "only one"),
    ({"id": "language", "text": "Hello", "language": "tlh"}, "language is 'tlh'"),
    ({"id": "list", "text": "Hello", "trim": [1]}, "trim is [1]"),
)


def test_rows_that_fail_have_their_reason_and_the_others_their_files(
    batch: Run, tmp_path: Path
) -> None:
    write_rows(tmp_path / "rows.jsonl", [ROWS[0], *(row for row, _ in BAD), ROWS[1]])
    status, out, err = batch()
    assert status == 1
    assert out.startswith("out: 2 of 12 rows generated, 10 failed, ")
    entries = {each["id"]: each for each in manifest(tmp_path / "out")}
    for row, words in BAD:
        assert words in entries[row["id"]]["error"]
        assert entries[row["id"]]["file"] is entries[row["id"]]["sha256"] is None
    assert sorted(sounds(tmp_path / "out")) == ["one.wav", "two.wav"]
    assert "bark-onnx: row 2 (empty): The text is empty" in err
    assert err.count("\n") == 10


def test_failures_beyond_the_first_ones_are_counted(batch: Run, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"text": ""}] * 13)
    status, _, err = batch()
    assert (status, err.count("\n")) == (1, 11)
    assert err.endswith("bark-onnx: 3 further rows failed\n")


def test_failed_row_is_generated_again_by_the_next_run(
    batch: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = Bark.submit_segment

    def fail(self: Bark, task: SegmentTask, on_progress: Any) -> Any:
        if "second" in task.segment.text:
            raise EngineError("it broke")
        return submit(self, task, on_progress)

    with monkeypatch.context() as patched:
        patched.setattr(Bark, "submit_segment", fail)
        status, _, err = batch()
    assert (status, err) == (1, "bark-onnx: row 2 (two): it broke\n")
    before = identities(tmp_path / "out")
    assert output_of(batch()).startswith("out: 1 of 4 rows generated, 3 kept, ")
    after = identities(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert [each["error"] for each in manifest(tmp_path / "out")] == [None] * 4


def test_engine_that_died_ends_the_run_and_fails_no_row(
    batch: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: Bark, *_: object) -> Any:
        self.close()
        raise EngineError("it broke")

    monkeypatch.setattr(Bark, "submit_segment", die)
    assert_fails(batch(), 1, "The engine was closed")
    assert manifest(tmp_path / "out") == []


# What cannot be


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"id": "x", "text": "a"}, {"id": "x", "text": "b"}], ("line 2: the id 'x'", "line 1")),
        ([{"id": "X", "text": "a"}, {"id": "x", "text": "b"}], ("'x' differs from 'X'", "case")),
        ([{"id": 1, "text": "a"}, {"id": "1", "text": "b"}], ("line 2: the id '1' is also",)),
        ([{"text": "a"}, {"text": "b", "speaker": 1}], ("line 2: the column 'speaker'",)),
        ([{"id": "", "text": "a"}], ("line 1: the id is ''",)),
        ([], ("rows.jsonl has no rows",)),
    ],
)
def test_input_that_cannot_be_is_one_line_before_anything_is_generated(
    batch: Run, tmp_path: Path, rows: Any, words: tuple[str, ...]
) -> None:
    write_rows(tmp_path / "rows.jsonl", rows)
    assert_fails(batch(), 1, "rows.jsonl", *words)
    assert sounds(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--concurrency", 0), 1, ("--concurrency is 0",)),
        (("--seed", -1), 1, ("--seed is -1",)),
        (("--temperature", -1), 1, ("--temperature is -1",)),
        (("--sample-rate", 5), 1, ("--sample-rate is 5",)),
        (("--format", "opus", "--sample-rate", 44_100), 1, ("opus cannot have 44100 Hz",)),
        (("--workers", 2), 1, ("--workers is for a cluster",)),
        (("--workers", 0, "--ray", "auto"), 2, ("0 is not in the range x>=1",)),
        (("--ray", "ray://host:1"), 1, ("--ray is 'ray://host:1'", "HOST:PORT")),
        (("-m", "no/such/bundle"), 1, ("no/such/bundle: no such folder",)),
        (("-o", ""), 1, ("--output is empty",)),
        (("-o", "no/such/out"), 1, ("no/such/out: cannot be written (No such file",)),
        (("-o", "rows.jsonl"), 1, ("rows.jsonl is a file, expected a folder",)),
        (("-o", "."), 1, ("has files that are not of a batch",)),
    ],
)
def test_options_that_cannot_be_are_one_line(
    batch: Run, tmp_path: Path, arguments: tuple[object, ...], status: int, words: tuple[str, ...]
) -> None:
    assert_fails(batch(*arguments), status, *words)
    assert [path.name for path in tmp_path.iterdir() if not path.is_dir()] == ["rows.jsonl"]


def test_ray_that_is_missing_is_one_line_with_the_extra(
    batch: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "bark_onnx.runtime.cluster.row_pool", raising=False)
    assert_fails(batch("--ray", "auto"), 1, "is missing", "cpu,ray")


def test_settings_that_differ_from_those_of_the_folder_are_an_error(batch: Run) -> None:
    output_of(batch())
    words = ("out was begun with coarse_temperature the default, found 0.5",)
    assert_fails(batch("--coarse-temperature", 0.5), 1, *words)
    assert_fails(batch("--format", "flac"), 1, "the format wav, found flac")


def test_rows_that_changed_are_generated_again_with_force_alone(batch: Run, tmp_path: Path) -> None:
    output_of(batch())
    before = sounds(tmp_path / "out")
    write_rows(tmp_path / "rows.jsonl", [ROWS[0] | {"text": "Another one."}, *ROWS[1:]])
    assert_fails(batch(), 1, "the text of the row 'one' changed", "--force")
    assert sounds(tmp_path / "out") == before
    assert output_of(batch("--force")).startswith("out: 1 of 4 rows generated, 3 kept, ")
    after = sounds(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {"one.wav"}
    assert manifest(tmp_path / "out")[0]["text"] == "Another one."


def test_rows_of_another_input_with_other_ids_join_the_folder(batch: Run, tmp_path: Path) -> None:
    output_of(batch())
    write_rows(tmp_path / "rows.jsonl", [{"id": "new", "text": "New."}])
    assert output_of(batch()).startswith("out: 1 of 1 rows generated, ")
    ids = [each["id"] for each in manifest(tmp_path / "out")]
    assert ids == ["new", "one", "two", "a/b", "long"]


def test_full_disk_ends_the_run_and_keeps_the_rows_before(
    batch: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []

    def fill(path: Path) -> Any:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return atomic_write(path)

    with monkeypatch.context() as patched:
        patched.setattr("bark_onnx.runtime.batch.folder.atomic_write", fill)
        result = batch("--concurrency", 1)
    assert_fails(result, 1, "two.wav: cannot be written (No space left on device)")
    assert [each["id"] for each in manifest(tmp_path / "out")] == ["one"]
    assert output_of(batch()).startswith("out: 3 of 4 rows generated, 1 kept, ")


def test_temporary_file_that_cannot_be_written_fails_no_row(
    batch: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("bark_onnx.runtime.audio.files.atomic_sound_file.PartialFile", refuse)
        status, out, err = batch()
    assert (status, out) == (1, "")
    assert "cannot be written (No space left on device)" in err
    assert manifest(tmp_path / "out") == []


# Interrupts and kills


def start(folder: Path, bundle: Path, *arguments: object) -> subprocess.Popen[str]:
    words = ("batch", "rows.jsonl", "-m", bundle, "-o", "out", *SHORT, *arguments)
    return subprocess.Popen(
        [ENTRY_POINT, *map(str, words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_sounds(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    while process.poll() is None and len(list(folder.glob("*.wav"))) < count:
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_keeps_the_rows_that_are_complete(
    random_bundle: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"text": f"Row {n}."} for n in range(500)])
    process = start(tmp_path, random_bundle, "--concurrency", 3)
    wait_for_sounds(process, tmp_path / "out", 4)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, ""), err
    entries = manifest(tmp_path / "out")
    assert err == (
        f"bark-onnx: interrupted; {len(entries)} of 500 rows are in out, and the same command goes "
        "on with the others\n"
    )
    assert sorted(each["file"] for each in entries) == sorted(sounds(tmp_path / "out"))
    assert 4 <= len(entries) < 500


def test_second_command_in_the_same_folder_is_refused(random_bundle: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"text": f"Row {n}."} for n in range(500)])
    process = start(tmp_path, random_bundle)
    wait_for_sounds(process, tmp_path / "out", 1)
    other = start(tmp_path, random_bundle)
    out, err = other.communicate(timeout=60)
    assert_fails((other.returncode, out, err), 1, "out: another batch writes to it")
    process.kill()
    process.communicate()
