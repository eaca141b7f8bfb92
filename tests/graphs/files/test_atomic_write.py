"""Atomic writes of files and folders, and errors of the system as one line."""

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.files.atomic_write import atomic_folder, atomic_write, wrap_os_errors
from bark_onnx.graphs.files.partial_file import PartialFile, follow_links, is_special
from tests.support.messages import assert_one_line

WRITE = "from pathlib import Path; from bark_onnx.graphs.files.atomic_write import atomic_write\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_until(path: Path, error: BaseException) -> None:
    with atomic_write(path) as file:
        file.write(b"half of it")
        raise error


def write(path: Path, data: bytes = b"new") -> None:
    with atomic_write(path) as file:
        file.write(data)


def in_another_process(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITE + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_file_is_renamed_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("what was there")
    with atomic_write(path) as file:
        file.write(b"all of it")
        assert path.read_text() == "what was there"
        (hidden,) = set(names(tmp_path)) - {"a.txt"}
        assert hidden.startswith("."), "patterns such as * would match it"
    assert path.read_text() == "all of it"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_old_file_is_kept_when_the_block_raises(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("what was there")
    with pytest.raises(type(error)):
        write_until(path, error)
    assert path.read_text() == "what was there"
    assert names(tmp_path) == ["a.txt"]


def test_two_writers_of_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_write(path) as first, atomic_write(path) as second:
        for _ in range(1000):
            first.write(b"first ")
            second.write(b"second ")
        assert len(names(tmp_path)) == 2
    assert path.read_bytes() == b"first " * 1000  # the last to finish
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("letters", [1, 255])
def test_name_may_be_as_long_as_the_system_allows(tmp_path: Path, letters: int) -> None:
    write(tmp_path / ("a" * letters))
    assert names(tmp_path) == ["a" * letters]


def test_target_of_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("old")
    (tmp_path / "middle").symlink_to("folder/a.txt")
    (tmp_path / "link").symlink_to("middle")
    write(tmp_path / "link")
    assert (tmp_path / "folder" / "a.txt").read_text() == "new"
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "folder") == ["a.txt"]


def test_target_of_a_dangling_link_is_created(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a.txt")
    write(tmp_path / "link")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_circular_links_are_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        write(tmp_path / "a")


def test_link_of_another_user_in_a_shared_folder_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "a.txt").symlink_to(tmp_path / "victim")
    assert follow_links(shared / "a.txt") == tmp_path / "victim"
    lstat = Path.lstat
    stranger = os.geteuid() + 1
    monkeypatch.setattr(
        Path, "lstat", lambda path: os.stat_result((*lstat(path)[:4], stranger, *lstat(path)[5:]))
    )
    with pytest.raises(PermissionError, match="another user"):
        write(shared / "a.txt")
    assert not (tmp_path / "victim").exists()


def test_planted_file_or_link_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "victim").write_text("untouched")
    tokens = iter(["planted", "free"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(tokens))
    write(tmp_path / "probe")  # takes the first name for another target
    (hidden,) = [PartialFile(tmp_path / "a.txt")]
    prefix = hidden.path.name.removesuffix("free.partial")
    hidden.close()
    (tmp_path / f"{prefix}planted.partial").symlink_to("victim")
    monkeypatch.setattr("secrets.token_hex", lambda _: "planted")
    with pytest.raises(FileExistsError):
        write(tmp_path / "a.txt")
    assert (tmp_path / "victim").read_text() == "untouched"


def test_named_pipe_receives_the_bytes_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    os.mkfifo(path)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    write(path, b"x" * 200_000)
    reader.join()
    assert found == [b"x" * 200_000]
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert names(tmp_path) == ["a.txt"]


def test_device_stays_a_device() -> None:
    write(Path(os.devnull))
    assert is_special(Path(os.devnull))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write(Path("/dev/full"))


def test_socket_is_an_error_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a")
        with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
            write(Path("a"))
    assert stat.S_ISSOCK((tmp_path / "a").stat().st_mode)


def test_replaced_file_keeps_its_mode_and_a_new_one_has_that_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    (tmp_path / "private").touch(0o600)
    write(tmp_path / "private")
    write(tmp_path / "new")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["private"] == 0o600
    assert modes["new"] == modes["ordinary"]


def test_write_protected_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="write-protected"):
        write(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


# Leftovers


def test_leftover_of_a_killed_process_is_removed_by_the_next_writer_of_the_target(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.txt"
    code = f"with atomic_write(Path({str(path)!r})): print('open', flush=True); input()"
    killed, live = in_another_process(code), in_another_process(code)
    for process in (killed, live):
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
    killed.kill()
    killed.communicate()
    assert len(names(tmp_path)) == 2
    write(tmp_path / "other.txt")
    assert len(names(tmp_path)) == 3, "the leftover is another target's"
    write(path)
    assert len(names(tmp_path)) == 3, "that of the live process stays"
    live.communicate(b"\n")
    assert live.returncode == 0
    assert names(tmp_path) == ["a.txt", "other.txt"]


def test_leftover_folder_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    code = (
        "from bark_onnx.graphs.files.atomic_write import atomic_folder\n"
        f"with atomic_folder(Path({str(tmp_path / 'a')!r})) as folder:\n"
        "    (folder / 'file').touch(); print('open', flush=True); input()"
    )
    process = in_another_process(code)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    with atomic_folder(tmp_path / "a") as folder:
        assert len(names(tmp_path)) == 2, "that of the live process stays"
        (folder / "mine").touch()
    process.kill()
    process.communicate()
    with atomic_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == []


def test_only_copy_of_a_folder_is_no_leftover(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "a") as folder:
        former = folder.with_name(f"{folder.stem}-former{folder.suffix}")
        former.mkdir()
        (former / "bark.json").touch()
        write(tmp_path / "a")  # looks for leftovers while there is no target
        assert names(former) == ["bark.json"]
        (tmp_path / "a").unlink()


def test_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").touch()
    (tmp_path / "link").symlink_to("real")
    with atomic_folder(tmp_path / "link") as folder:
        (folder / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path) == ["link", "real"]
    assert names(tmp_path / "real") == ["new"]


@pytest.mark.parametrize("name", ["", ".", "..", "../working"])
def test_working_folder_is_refused_before_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    with pytest.raises(OSError, match="the working folder"), atomic_folder(Path(name)):
        pytest.fail("the block has begun")
    assert names(tmp_path) == ["working"]


# Errors of the system


def test_system_error_becomes_one_line_with_its_reason(tmp_path: Path) -> None:
    missing = tmp_path / "a.txt"
    with pytest.raises(VoiceError) as caught, wrap_os_errors(VoiceError, "a.txt: cannot be read"):
        missing.read_text()
    assert_one_line(caught.value, "a.txt: cannot be read (No such file or directory)")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_other_errors_pass_unless_listed() -> None:
    with pytest.raises(KeyError), wrap_os_errors(VoiceError, "a.txt: cannot be read"):
        raise KeyError("key")
    with (
        pytest.raises(VoiceError) as caught,
        wrap_os_errors(VoiceError, "a.txt: cannot be read", errors=(OSError, KeyError)),
    ):
        raise KeyError("key")
    assert_one_line(caught.value, "a.txt: cannot be read ('key')")
