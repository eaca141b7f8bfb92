"""Files that others wrote: what is no regular file is refused before it is opened."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bark_onnx.graphs.errors import BundleError, CheckpointError
from bark_onnx.graphs.files.dataclass_json import load_json, read_json
from bark_onnx.graphs.files.regular_file import check_readable, file_size, is_folder, read_file
from tests.support.messages import assert_one_line
from tests.support.permissions import permissions_bind


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # names of sockets are short


MAKE: dict[str, Callable[[Path], object]] = {
    "named pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "socket": _socket,
}


@pytest.mark.parametrize("kind", MAKE)
def test_special_file_is_refused_and_not_opened(tmp_path: Path, kind: str):
    path = tmp_path / "bark.json"
    MAKE[kind](path)
    for read in (
        lambda: file_size(path, BundleError, remedy="get it again"),
        lambda: read_file(path, BundleError, max_bytes=9, remedy="get it again"),
        lambda: check_readable(path, BundleError, remedy="get it again"),
        lambda: load_json(path, BundleError, remedy="get it again"),
    ):
        with pytest.raises(BundleError) as caught:
            read()
        assert_one_line(caught.value, f"{path} is a {kind}, expected a regular file; get it again")


def test_file_of_another_owner_is_named_with_the_reason(tmp_path: Path):
    path = tmp_path / "secret" / "bark.json"
    path.parent.mkdir()
    path.write_text("{}")
    path.chmod(0)
    words = (str(path), "cannot be read (Permission denied)", "check the owner and the permissions")
    with permissions_bind():
        for read in (
            lambda: read_file(path, BundleError, max_bytes=9, remedy=""),
            lambda: check_readable(path, BundleError, remedy=""),
        ):
            with pytest.raises(BundleError) as caught:
                read()
            assert_one_line(caught.value, *words)
        path.parent.chmod(0)
        for reach in (
            lambda: file_size(path, BundleError, remedy=""),
            lambda: is_folder(path, BundleError),
        ):
            with pytest.raises(BundleError) as caught:
                reach()
            assert_one_line(caught.value, *words)
    path.parent.chmod(0o700)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b"])
def test_path_that_the_system_refuses_is_one_short_line(tmp_path: Path, name: str):
    with pytest.raises(BundleError) as caught:
        file_size(tmp_path / name, BundleError, remedy="")
    assert_one_line(caught.value, "cannot be read", "check the path")
    assert len(str(caught.value)) < 500


def test_missing_file_is_left_to_the_caller(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        file_size(tmp_path / "bark.json", BundleError, remedy="")
    assert not is_folder(tmp_path / "nowhere", BundleError)
    assert is_folder(tmp_path, BundleError)


def test_large_file_is_refused_before_it_is_read(tmp_path: Path):
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError) as caught:
        read_json(path)
    assert_one_line(caught.value, f"{path} has {1 << 40} bytes", "expected at most 16777216")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000])
def test_json_that_python_cannot_parse_is_refused(tmp_path: Path, content: str):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(CheckpointError) as caught:
        read_json(path)
    assert_one_line(caught.value, f"{path}: not readable as JSON", "download it again")
