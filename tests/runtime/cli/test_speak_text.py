"""bark-onnx speak: its input text."""

import subprocess
from pathlib import Path

import pytest

from tests.support.command import ENTRY_POINT, Run, assert_fails, output_of
from tests.support.fake_bark import FakeBark


def test_argument_is_generated_unchanged(run: Run, fake: type[FakeBark]) -> None:
    output_of(run("speak", "  Grüße, 世界! ", "-m", "bundle"))
    assert fake.planned[0][0] == "  Grüße, 世界! "


def test_dash_reads_standard_input(run: Run, fake: type[FakeBark]) -> None:
    output_of(run("speak", "-", "-m", "bundle", stdin="Grüße\nzweite Zeile\n".encode()))
    assert fake.planned[0][0] == "Grüße\nzweite Zeile\n"


@pytest.mark.parametrize("flag", ["-i", "--input"])
def test_input_file_is_read(run: Run, fake: type[FakeBark], tmp_path: Path, flag: str) -> None:
    (tmp_path / "text.txt").write_bytes("Grüße\n".encode())
    output_of(run("speak", flag, "text.txt", "-m", "bundle"))
    assert fake.planned[0][0] == "Grüße\n"


def test_neither_or_both_texts_are_refused(run: Run, fake: type[FakeBark], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Hello")
    assert_fails(run("speak", "-m", "bundle"), 1, "No text", '"-"', "--input")
    assert_fails(run("speak", "Hi", "-i", "text.txt", "-m", "bundle"), 1, "both", "--input")
    assert not fake.loaded


def test_file_that_is_not_utf_8_is_refused(run: Run, fake: type[FakeBark], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes("Grüße".encode("latin-1"))
    result = run("speak", "-i", "text.txt", "-m", "bundle")
    assert_fails(result, 1, "text.txt is not UTF-8", "byte 2", "0xfc", "iconv")
    assert not fake.loaded


def test_standard_input_that_is_not_utf_8_is_refused(run: Run, fake: type[FakeBark]) -> None:
    result = run("speak", "-", "-m", "bundle", stdin=b"Gr\xfc\xdfe")
    assert_fails(result, 1, "standard input is not UTF-8", "byte 2", "0xfc")
    assert not fake.loaded


def test_argument_that_is_not_utf_8_is_refused(random_bundle: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [ENTRY_POINT, b"speak", b"Gr\xfc\xdfe", b"-m", random_bundle, b"-o", tmp_path / "a.wav"],
        capture_output=True,
    )
    assert_fails((done.returncode, done.stdout.decode(), done.stderr.decode()), 1, "UTF-8")


def test_unreadable_file_is_named(run: Run, fake: type[FakeBark], tmp_path: Path) -> None:
    result = run("speak", "-i", "nowhere.txt", "-m", "bundle")
    assert_fails(result, 1, "nowhere.txt", "cannot be read", "No such file")
    (tmp_path / "folder").mkdir()
    result = run("speak", "-i", "folder", "-m", "bundle")
    assert_fails(result, 1, "folder", "cannot be read", "Is a directory")


def test_blank_argument_with_lines_is_refused(run: Run, tmp_path: Path) -> None:
    result = run("speak", " \n ", "-m", "nowhere", "--lines", "-o", "out/")
    assert_fails(result, 1, "text is empty", "at least one word")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "   ", "\n\t\n", "\u200b"])
def test_blank_text_is_refused(run: Run, random_bundle: Path, tmp_path: Path, text: str) -> None:
    assert_fails(run("speak", text, "-m", random_bundle), 1, "text is empty", "at least one word")
    assert list(tmp_path.iterdir()) == []
