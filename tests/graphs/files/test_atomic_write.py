"""Atomic writes of files, and errors of the system as one line."""

from pathlib import Path

import pytest

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.files.atomic_write import atomic_write, wrap_os_errors
from tests.support.messages import assert_one_line


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def write_until(path: Path, error: BaseException) -> None:
    with atomic_write(path) as partial:
        partial.write_text("half of it")
        raise error


def test_file_is_renamed_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("what was there")
    with atomic_write(path) as partial:
        partial.write_text("all of it")
        assert path.read_text() == "what was there"
        assert partial.name.startswith("."), "patterns such as * would match it"
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
