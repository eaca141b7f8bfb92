"""The folder of a batch: locks, settings, and what a killed process leaves."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.graphs.errors import BatchError
from bark_onnx.graphs.files.lock_file import LockFile
from bark_onnx.runtime.batch.entry import Entry
from bark_onnx.runtime.batch.folder import BatchFolder
from bark_onnx.runtime.batch.row import Row, RowDefaults, make_row
from bark_onnx.runtime.batch.settings import BatchSettings
from tests.support.messages import assert_one_line

SETTINGS = BatchSettings(
    fingerprint="0" * 16,
    precision="fp32",
    provider="cpu",
    audio_format="wav",
    sample_rate_hz=24_000,
    metadata=True,
)
SOUND = b"RIFF sound"


def row(row_id: str, text: str = "Hello") -> Row:
    return make_row(1, {"id": row_id, "text": text}, RowDefaults(), "x")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def lines(folder: Path) -> list[bytes]:
    return (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_row_is_found_once_it_is_in_the_folder(path: Path) -> None:
    with BatchFolder(path, SETTINGS) as folder:
        assert folder.find("a") is None
        entry = folder.add(row("a"), SOUND, 1.5)
        assert (
            entry
            == folder.find("a")
            == Entry.of(
                row("a"), file="a.wav", seconds=1.5, sha256=hashlib.sha256(SOUND).hexdigest()
            )
        )
    with BatchFolder(path, SETTINGS) as folder:
        assert folder.find("a") == entry
        assert entry.is_of(row("a"))
        assert not entry.is_of(row("a", "Other"))
    assert (path / "a.wav").read_bytes() == SOUND
    assert names(path) == ["a.wav", "manifest.jsonl"]


def test_manifest_has_the_last_entry_of_each_row_in_the_order_of_the_input(path: Path) -> None:
    with BatchFolder(path, SETTINGS) as folder:
        folder.add(row("other input"), SOUND, 1.0)
        folder.add_failure(row("b"), "it broke")
        folder.add(row("a"), SOUND, 1.0)
        folder.add(row("b"), SOUND, 1.0)
        folder.finish(["a", "b"])
    assert [Entry.from_line(line).id for line in lines(path)] == ["a", "b", "other input"]
    assert all(Entry.from_line(line).error is None for line in lines(path))


def test_manifest_is_also_parquet(path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra [batch] is missing")
    from pyarrow.parquet import read_table

    with BatchFolder(path, SETTINGS) as folder:
        folder.add(dataclasses.replace(row("a"), options={"trim": True}), SOUND, 1.5)
        folder.add_failure(row("b"), "it broke")
        folder.finish(["a", "b"])
    first, second = read_table(path / "manifest.parquet").to_pylist()
    expected = "id", "file", "text", "voice", "seed", "seconds", "sha256", "error", "options"
    assert tuple(first) == expected
    assert (first["file"], first["seconds"], first["options"]) == ("a.wav", 1.5, '{"trim": true}')
    assert (second["file"], second["error"]) == (None, "it broke")


def test_failure_removes_the_file_of_a_row_that_has_changed(path: Path) -> None:
    with BatchFolder(path, SETTINGS) as folder:
        folder.add(row("a"), SOUND, 1.0)
        folder.add_failure(row("a", ""), "it broke")
    assert names(path) == ["manifest.jsonl"]


def test_row_whose_file_is_gone_is_not_found(path: Path) -> None:
    with BatchFolder(path, SETTINGS) as folder:
        folder.add(row("a"), SOUND, 1.0)
        (path / "a.wav").unlink()
        assert folder.find("a") is None


@pytest.mark.parametrize("former", [False, True])
def test_sound_of_a_process_that_was_killed_before_it_had_its_name_is_kept(
    path: Path, former: bool
) -> None:
    with BatchFolder(path, SETTINGS) as folder:
        folder.add(row("a"), SOUND, 1.0)
    digest = hashlib.sha256(SOUND).hexdigest()
    (path / "a.wav").rename(path / ".bark-onnx-batch" / "sounds" / digest)
    if former:
        (path / "a.wav").write_bytes(b"of another text")
    with BatchFolder(path, SETTINGS) as folder:
        assert folder.find("a") is not None
    assert (path / "a.wav").read_bytes() == SOUND


def test_half_a_line_is_cut_off_and_what_follows_is_whole(path: Path) -> None:
    with BatchFolder(path, SETTINGS) as folder:
        folder.add(row("a"), SOUND, 1.0)
        folder.add(row("b"), SOUND, 1.0)
    manifest = path / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-40])
    with BatchFolder(path, SETTINGS) as folder:
        assert folder.find("a") is not None
        assert folder.find("b") is None
        folder.add(row("b"), SOUND, 1.0)
    assert [Entry.from_line(line).id for line in lines(path)] == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\x00\x00\n",
        b"{}\n",
        b'{"id": "b", "file": "../../x", "text": "", "voice": null, "seed": 1, "seconds": 1.0, '
        b'"sha256": "' + b"0" * 64 + b'", "error": null}\n',
        b'{"id": "b", "file": "b.wav", "text": "", "voice": null, "seed": 1, "seconds": 1.0, '
        b'"sha256": "../lock", "error": null}\n',
    ],
)
def test_damaged_line_is_a_warning_and_its_row_is_not_found(path: Path, line: bytes) -> None:
    with BatchFolder(path, SETTINGS) as folder:
        folder.add(row("a"), SOUND, 1.0)
    manifest = path / "manifest.jsonl"
    manifest.write_bytes(line + manifest.read_bytes())
    with pytest.warns(UserWarning, match="1 line is damaged") as caught:
        folder = BatchFolder(path, SETTINGS)
    assert_one_line(caught[0].message, "manifest.jsonl", "generated again")
    with folder:
        assert folder.find("a") is not None
        assert folder.find("b") is None
        folder.finish(["a"])
    assert [Entry.from_line(each).id for each in lines(path)] == ["a"]


def test_line_that_cannot_be_written_leaves_whole_lines(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(file: Any, data: bytes) -> None:
        file.write(data[:20])
        raise OSError(28, "No space left on device")

    with BatchFolder(path, SETTINGS) as folder:
        folder.add(row("a"), SOUND, 1.0)
        with monkeypatch.context() as patched:
            patched.setattr("bark_onnx.runtime.batch.manifest.write_all", write_half)
            with pytest.raises(BatchError) as caught:
                folder.add(row("b"), SOUND, 1.0)
        assert_one_line(caught.value, "manifest.jsonl: cannot be written (No space left on device)")
        folder.add(row("c"), SOUND, 1.0)
    assert [Entry.from_line(line).id for line in lines(path)] == ["a", "c"]
    assert names(path) == ["a.wav", "c.wav", "manifest.jsonl"]


def test_two_runs_do_not_write_to_one_folder(path: Path) -> None:
    with BatchFolder(path, SETTINGS):
        with pytest.raises(BatchError) as caught:
            BatchFolder(path, SETTINGS)
        assert_one_line(caught.value, "out: another batch writes to it")
    BatchFolder(path, SETTINGS).__exit__(None, None, None)


def test_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from bark_onnx.graphs.files.lock_file import LockFile\n"
        "lock = LockFile(Path(sys.argv[1])); print('locked', flush=True); signal.pause()"
    )
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(BlockingIOError):
        LockFile(path)
    process.kill()
    process.communicate()
    with LockFile(path):
        pass


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fingerprint": "1" * 16}, ("the bundle 0000000000000000, found 1111111111111111",)),
        ({"audio_format": "flac"}, ("the format wav, found flac",)),
        ({"sample_rate_hz": 8000}, ("the sample rate 24000, found 8000",)),
        ({"metadata": False}, ("metadata True, found False",)),
        (
            {"generation": {"fine_temperature": 0.5}},
            ("fine_temperature the default, found 0.5", "choose another folder"),
        ),
    ],
)
def test_settings_of_a_run_that_goes_on_are_those_of_the_first(
    path: Path, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    BatchFolder(path, SETTINGS).__exit__(None, None, None)
    with pytest.raises(BatchError) as caught:
        BatchFolder(path, dataclasses.replace(SETTINGS, **change))
    assert_one_line(caught.value, "out was begun with ", *words)
    BatchFolder(path, SETTINGS).__exit__(None, None, None)


def make_foreign(path: Path) -> None:
    path.mkdir()
    (path / "000001.wav").write_bytes(b"of the user")


def make_link(path: Path) -> None:
    (path / ".bark-onnx-batch").parent.mkdir()
    (path / ".bark-onnx-batch").symlink_to(path.parent)


def make_linked_manifest(path: Path) -> None:
    BatchFolder(path, SETTINGS).__exit__(None, None, None)
    (path / "manifest.jsonl").unlink()
    (path / "manifest.jsonl").symlink_to("/dev/zero")


def make_piped_manifest(path: Path) -> None:
    BatchFolder(path, SETTINGS).__exit__(None, None, None)
    (path / "manifest.jsonl").unlink()
    os.mkfifo(path / "manifest.jsonl")


def make_damaged_settings(path: Path) -> None:
    BatchFolder(path, SETTINGS).__exit__(None, None, None)
    (path / ".bark-onnx-batch" / "settings.json").write_text("{}")


def make_locked_link(path: Path) -> None:
    BatchFolder(path, SETTINGS).__exit__(None, None, None)
    (path / ".bark-onnx-batch" / "lock").unlink()
    (path / ".bark-onnx-batch" / "lock").symlink_to(path / "elsewhere")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_foreign, ("has files that are not of a batch",)),
        (make_link, (".bark-onnx-batch is a link",)),
        (make_linked_manifest, ("manifest.jsonl is a link",)),
        (make_piped_manifest, ("manifest.jsonl is a named pipe",)),
        (make_damaged_settings, ("settings.json: audio_format is missing", "damaged")),
        (make_locked_link, ("out: cannot be written (Too many levels of symbolic links)",)),
        (lambda path: path.write_text("x"), ("out is a file, expected a folder",)),
        (lambda path: path.symlink_to("nowhere"), ("out: cannot be written",)),
    ],
)
def test_folder_that_cannot_be_used_is_one_line(
    path: Path, make: Any, words: tuple[str, ...]
) -> None:
    make(path)
    with pytest.raises(BatchError) as caught:
        BatchFolder(path, SETTINGS)
    assert_one_line(caught.value, *words)
    assert not (path / "elsewhere").exists()


def test_link_and_folder_under_the_name_of_a_file_are_not_followed(path: Path) -> None:
    with BatchFolder(path, SETTINGS) as folder:
        (path / "a.wav").symlink_to(path.parent / "victim")
        folder.add(row("a"), SOUND, 1.0)
        (path / "b.wav").mkdir()
        with pytest.raises(BatchError, match=r"b\.wav is a folder"):
            folder.add(row("b"), SOUND, 1.0)
    assert not (path.parent / "victim").exists()
    assert (path / "a.wav").read_bytes() == SOUND
