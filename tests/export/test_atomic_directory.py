"""The folder of an export: complete or absent, and never in place of other files."""

import errno
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import bark_onnx.export.bundle as bundle_module
from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.graphs.errors import ExportError
from tests.support.exporting import EXPORT, assert_export_fails, contents, export_quietly
from tests.support.messages import assert_one_line


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip tracing and comparing graphs."""
    monkeypatch.setattr(bundle_module, "trace_stage", lambda *_: None)
    monkeypatch.setattr(bundle_module, "save_graph", write_a_graph)
    monkeypatch.setattr(bundle_module, "compare_stage", lambda *_: ())


def write_a_graph(_graph: object, path: Path) -> None:
    path.write_bytes(b"a graph")
    path.with_name(f"{path.name}.data").write_bytes(b"its weights")


# The target


@pytest.mark.usefixtures("fast")
def test_bundle_appears_with_nothing_beside_it(checkpoint: Checkpoint, tmp_path: Path) -> None:
    export_quietly(checkpoint, tmp_path / "new" / "folder" / "bundle")
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["bundle"]
    assert (tmp_path / "new" / "folder" / "bundle" / "bark.json").is_file()


@pytest.mark.usefixtures("fast")
def test_bundle_permissions_follow_the_umask(checkpoint: Checkpoint, tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        export_quietly(checkpoint, tmp_path / "bundle")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)
    assert (tmp_path / "bundle").stat().st_mode & 0o777 == 0o750


@pytest.mark.usefixtures("fast")
def test_bundle_is_replaced_only_with_force(checkpoint: Checkpoint, tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    export_quietly(checkpoint, target)
    (target / "voices" / "mine.npz").write_bytes(b"a voice of the user's")
    before = contents(target)
    assert_export_fails(checkpoint, target, str(target), "already holds a bundle", "--force")
    assert contents(target) == before
    export_quietly(checkpoint, target, force=True, voices="none")
    assert "voices/v2/en_speaker_0.npz" not in contents(target)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("force", [False, True])
def test_folder_with_other_files_is_never_replaced(
    checkpoint: Checkpoint, tmp_path: Path, force: bool
) -> None:
    target = tmp_path / "photographs"
    target.mkdir()
    (target / "holiday.jpg").write_bytes(b"irreplaceable")
    assert_export_fails(
        checkpoint, target, str(target), "other files", "does not exist yet", force=force
    )
    assert contents(tmp_path) == {"photographs/holiday.jpg": b"irreplaceable"}


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("force", [False, True])
def test_file_is_never_replaced(checkpoint: Checkpoint, tmp_path: Path, force: bool) -> None:
    (tmp_path / "notes").write_text("irreplaceable")
    assert_export_fails(
        checkpoint, tmp_path / "notes", "is a file", "expected a folder", force=force
    )
    assert_export_fails(
        checkpoint, tmp_path / "notes" / "bundle", "notes", "choose another", force=force
    )
    assert contents(tmp_path) == {"notes": b"irreplaceable"}


@pytest.mark.usefixtures("fast")
def test_empty_folder_is_used(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    export_quietly(checkpoint, tmp_path / "bundle")
    assert "bark.json" in contents(tmp_path / "bundle")


@pytest.mark.usefixtures("fast")
@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_parent_is_named_when_it_cannot_be_written(checkpoint: Checkpoint, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert_export_fails(
        checkpoint, closed / "bundle", str(closed), "cannot be written", "choose another folder"
    )


# Interrupted exports


INTERRUPTIONS = [
    RuntimeError("a bug"),
    KeyboardInterrupt(),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
]


def raiser(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("error", INTERRUPTIONS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["trace_stage", "save_graph", "compare_stage", "_record_files"])
def test_failed_export_leaves_the_target_unchanged(
    checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: BaseException,
    force: bool,
) -> None:
    if force:
        export_quietly(checkpoint, tmp_path / "bundle")
    before = contents(tmp_path)

    def fail_late(_graph: object, path: Path) -> None:
        write_a_graph(_graph, path)
        if path.stem == "coarse":
            raise error

    monkeypatch.setattr(bundle_module, step, fail_late if step == "save_graph" else raiser(error))
    with pytest.raises((type(error), ExportError)) as caught:
        export_quietly(checkpoint, tmp_path / "bundle", force=force)
    if isinstance(error, OSError):
        assert isinstance(caught.value, ExportError)
        assert_one_line(caught.value, "No space left on device", "free some space", "left behind")
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"] * force


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("error", INTERRUPTIONS[1:], ids=lambda error: type(error).__name__)
def test_old_bundle_stays_when_the_new_one_cannot_be_renamed(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    target = tmp_path / "bundle"
    export_quietly(checkpoint, target)
    before = contents(tmp_path)
    rename = Path.rename

    def rename_all_but_the_new_one(path: Path, destination: Path) -> Path:
        if Path(destination) == target and (path / "bark.json").is_file() and not failed:
            failed.append(path)
            raise error
        return rename(path, destination)

    failed: list[Path] = []
    monkeypatch.setattr(Path, "rename", rename_all_but_the_new_one)
    with pytest.raises((type(error), ExportError)):
        export_quietly(checkpoint, target, force=True)
    assert failed
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_full_disk_leaves_nothing_behind(random_checkpoint: Path, tmp_path: Path) -> None:
    # Files are limited to 300 kB, as on a full disk: the tokenizer fits, weights do not.
    done = subprocess.run(
        [*EXPORT, str(random_checkpoint), str(tmp_path / "bundle"), "--no-verify"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )
    assert done.returncode == 1, done.stderr
    assert "semantic: writing" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert_one_line(last, "bark-export: ", str(tmp_path / "bundle"), "cannot be written")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_full_disk_raises_one_line_while_writing_the_demo_checkpoint(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [*EXPORT, "random", str(tmp_path / "bundle"), "--no-verify"],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert_one_line(done.stderr.splitlines()[-1], "bark-export: ", "cannot be written")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("number", "step"),
    [(signal.SIGTERM, "semantic: tracing"), (signal.SIGINT, "semantic: comparing")],
)
def test_signal_during_export_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, step: str
) -> None:
    scratch, place = tmp_path / "scratch", tmp_path / "place"
    scratch.mkdir()
    place.mkdir()
    process = subprocess.Popen(
        [*EXPORT, "random", str(place / "bundle")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
        # A shell that runs the tests in the background lets them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if step in line:
            break
    assert list(place.iterdir()), "the export has not started"
    time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    # Python may end by SIGINT itself although the interrupt was caught: a shell reads the same.
    assert process.returncode in (128 + number, -number), err
    assert out == ""
    assert_one_line(err.splitlines()[-1], "bark-export: interrupted", "nothing was left behind")
    assert "Traceback" not in err
    assert list(place.iterdir()) == []
    assert list(scratch.glob("bark-onnx-*")) == []
