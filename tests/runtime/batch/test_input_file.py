"""The input of a batch in every format, and inputs that cannot be."""

import os
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.graphs.errors import BatchError
from bark_onnx.runtime.batch.input_file import InputFile, Record
from tests.support.messages import assert_one_line


def records(path: Path, content: bytes) -> list[Record]:
    path.write_bytes(content)
    return list(InputFile(path).records())


def values(path: Path, content: bytes) -> list[tuple[int, dict[str, Any]]]:
    return [(each.number, each.values) for each in records(path, content)]


def test_text_has_a_row_per_line_that_is_not_blank(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf One. \r\n\n  \nTwo, \xe2\x99\xaa.\r\nThree"
    expected = [(1, {"text": "One."}), (4, {"text": "Two, ♪."}), (5, {"text": "Three"})]
    assert values(tmp_path / "x.txt", content) == expected


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    content = b'{"text": "a", "seed": 5, "trim": true}\n\n{"id": "x", "text": "b", "voice": null}\n'
    assert values(tmp_path / "x.JSONL", content) == [
        (1, {"text": "a", "seed": 5, "trim": True}),
        (3, {"id": "x", "text": "b", "voice": None}),
    ]


def test_csv_is_read_with_quotes_line_breaks_and_empty_cells(tmp_path: Path) -> None:
    content = (
        b'\xef\xbb\xbfid,text,seed,trim\r\na,"Yes, ""please"".",5,yes\r\n\r\nb,"Two\r\nlines",,\r\n'
    )
    assert values(tmp_path / "x.csv", content) == [
        (1, {"id": "a", "text": 'Yes, "please".', "seed": 5, "trim": True}),
        (2, {"id": "b", "text": "Two\nlines", "seed": None, "trim": None}),
    ]


def test_long_text_of_csv_is_read(tmp_path: Path) -> None:
    ((_, row),) = values(tmp_path / "x.csv", b"text\n" + b"word " * 100_000)
    assert len(row["text"]) == 500_000


def test_parquet_is_read(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra [batch] is missing")
    from pyarrow.parquet import write_table

    rows = [{"id": 1, "text": "a", "temperature": None}, {"id": 2, "text": "b", "temperature": 0.5}]
    write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    found = [(each.number, each.values) for each in InputFile(tmp_path / "x.parquet").records()]
    assert found == [(1, rows[0]), (2, rows[1])]
    write_table(pa.table({"txet": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(BatchError) as caught:
        list(InputFile(tmp_path / "x.parquet").records())
    assert_one_line(caught.value, "x.parquet: the column 'txet' is unknown")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("not readable as Parquet",)),
        (b"PAR1 nothing PAR1", ("not readable as Parquet",)),
        (b"text\nHello\n", ("not readable as Parquet",)),
    ],
)
def test_damaged_parquet_is_one_line(
    tmp_path: Path, content: bytes, words: tuple[str, ...]
) -> None:
    pytest.importorskip("pyarrow", reason="the extra [batch] is missing")
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(BatchError) as caught:
        InputFile(tmp_path / "x.parquet")
    assert_one_line(caught.value, "x.parquet: ", *words)


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bark_onnx.runtime.batch.parquet.find_spec", lambda name: None)
    (tmp_path / "x.parquet").write_bytes(b"")
    with pytest.raises(BatchError) as caught:
        InputFile(tmp_path / "x.parquet")
    assert_one_line(caught.value, "pyarrow", "is missing", "cpu,batch")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.txt", b"a\nb\xff\n", ("line 2 is not UTF-8 (byte 1 is 0xff)", "iconv")),
        ("x.txt", b"a" * ((16 << 20) + 1), ("line 1: longer than 16 MiB",)),
        ("x.jsonl", b'{"text": "a"}\n{"text"\n', ("line 2: not readable as JSON",)),
        ("x.jsonl", b"[" * 100_000, ("line 1: not readable as JSON (nested too deeply)",)),
        ("x.jsonl", b'["a"]\n', ("line 1: the JSON is ['a'], expected an object",)),
        ("x.jsonl", b'{"text": "a", "x\\ny": 1}\n', ("line 1: the column 'x y' is unknown",)),
        ("x.csv", b"", ("header: the column text is missing; found none",)),
        ("x.csv", b"id;text\na;b\n", ("header: the column 'id;text' is unknown",)),
        ("x.csv", b"text,text\n", ("header: the column text is there twice",)),
        ("x.csv", b"id,text\na,Yes, please\n", ("row 1: found 3 values, expected 2", "quotes")),
        ("x.csv", b"id,text\na,b\nc\n", ("row 2: found 1 values, expected 2",)),
        ("x.csv", b'text\n"a"b\n', ("row 1: not readable as CSV",)),
        ("x.csv", b'text\na\n"b\n', ("row 2: not readable as CSV",)),
    ],
)
def test_malformed_row_is_one_line_with_its_place(
    tmp_path: Path, name: str, content: bytes, words: tuple[str, ...]
) -> None:
    with pytest.raises(BatchError) as caught:
        records(tmp_path / name, content)
    assert_one_line(caught.value, name, *words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.tsv", ("suffix '.tsv' is unknown", ".txt, .jsonl, .csv, .parquet")),
        ("missing.txt", ("no such file",)),
        ("folder.txt", ("is a folder, expected a regular file",)),
        ("pipe.txt", ("is a named pipe, expected a regular file",)),
        ("device.txt", ("is a device, expected a regular file",)),
        ("loop.txt", ("Too many levels of symbolic links",)),
        (f"{'x' * 300}.txt", ("File name too long",)),
    ],
)
def test_what_is_not_a_file_is_refused_without_waiting(
    tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "device.txt").symlink_to("/dev/zero")
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    with pytest.raises(BatchError) as caught:
        InputFile(tmp_path / name)
    assert_one_line(caught.value, *words)


def test_input_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("One.\nTwo.\n")
    found = InputFile(path).records()
    next(found)
    path.write_text("One.\nTwo.\nThree.\n")
    with pytest.raises(BatchError, match="was changed while it was read"):
        list(found)


def test_rows_are_read_as_they_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\nnot JSON\n')
    assert next(InputFile(path).records()).values == {"text": "a"}
