"""Names of files from ids, however hostile."""

import string
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.runtime.batch.file_names import file_name, key_of

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


@pytest.mark.parametrize(
    ("row_id", "name"),
    [
        ("LJ001-0001", "LJ001-0001.wav"),
        ("a.b_c", "a.b_c.wav"),
        ("a/b", "a%2Fb.wav"),
        ("a\\b", "a%5Cb.wav"),
        ("..", "%2E..wav"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.wav"),
        (".hidden", "%2Ehidden.wav"),
        ("con", "%63on.wav"),
        ("NUL.x", "%4EUL.x.wav"),
        ("console", "console.wav"),
        ("a b%20", "a%20b%2520.wav"),
        ("größe", "gr%C3%B6%C3%9Fe.wav"),
        ("a\x00\n", "a%00%0A.wav"),
        ("~", "%7E.wav"),
    ],
)
def test_name_of_an_id(row_id: str, name: str) -> None:
    assert file_name(row_id, "wav") == name


@given(IDS)
def test_every_name_is_one_of_a_file_in_its_folder_on_every_system(row_id: str) -> None:
    name = file_name(row_id, "wav")
    assert set(name) <= {*string.ascii_letters, *string.digits, *"%.-_"}
    assert len(name) <= 124
    assert not name.startswith(".")
    assert PurePosixPath(name).name == name
    windows = PureWindowsPath(name)
    assert windows.name == name
    assert not windows.is_reserved()


@given(IDS, IDS)
def test_ids_that_differ_have_names_that_differ(one: str, other: str) -> None:
    assert (file_name(one, "wav") == file_name(other, "wav")) == (one == other)


def test_long_id_is_cut_and_stays_unique() -> None:
    one, other = (file_name("x" * 200 + end, "wav") for end in "ab")
    assert one != other
    assert one.startswith("x" * 100)


def test_names_are_compared_as_file_systems_do_that_ignore_case() -> None:
    assert key_of(file_name("A/b", "wav")) == key_of(file_name("a/B", "wav"))
