"""Rows of a batch: values of columns, ids, seeds, and errors that are the row's own."""

import dataclasses
from typing import Any

import pytest

from bark_onnx.graphs.errors import BatchError
from bark_onnx.runtime import GenerationOptions, StreamOptions
from bark_onnx.runtime.batch.row import (
    COLUMNS,
    MAX_SEED,
    Row,
    RowDefaults,
    check_columns,
    derive_seed,
    make_row,
    parse_cell,
    split_options,
)
from tests.support.messages import assert_one_line


def row_of(defaults: RowDefaults = RowDefaults(), **values: Any) -> Row:  # noqa: B008
    return make_row(7, {"text": "Hello", **values}, defaults, "x.jsonl, line 7")


def test_columns_are_those_of_a_row_and_every_option_that_changes_the_sound() -> None:
    options = {field.name for field in dataclasses.fields(GenerationOptions)}
    options |= {field.name for field in dataclasses.fields(StreamOptions)}
    expected = {"id", "text", "voice", "seed", "temperature", "top_k", "top_p", "do_sample"}
    assert set(COLUMNS) == expected | (options - {"concurrency", "seed_bits"})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["text", "txet"], ("'txet' is unknown", "expected text, and any of id, voice, seed")),
        (["id", "voice"], ("column text is missing", "found id, voice")),
        ([], ("column text is missing", "found none")),
        (["text", "id", "text"], ("column text is there twice",)),
        (["text", "concurrency"], ("'concurrency' is unknown",)),
    ],
)
def test_columns_that_cannot_be_are_named(names: list[str], words: tuple[str, ...]) -> None:
    with pytest.raises(BatchError) as caught:
        check_columns(names, "x.csv, header")
    assert_one_line(caught.value, "x.csv, header: ", *words)


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("text", "12", "12"),
        ("id", "007", "007"),
        ("seed", "12", 12),
        ("seed", "twelve", "twelve"),
        ("seed", "9" * 5000, "9" * 5000),
        ("trim", "True", True),
        ("do_sample", "no", False),
        ("trim", "maybe", "maybe"),
        ("temperature", "0.7", 0.7),
        ("semantic_top_k", "50", 50),
        ("semantic_top_k", "50.5", "50.5"),
        ("history", "first", "first"),
        ("language", "de", "de"),
    ],
)
def test_cells_of_text_become_values_of_their_columns(name: str, cell: str, value: object) -> None:
    assert parse_cell(name, cell) == value
    assert type(parse_cell(name, cell)) is type(value)


def test_row_without_further_columns_has_its_number_as_id_and_a_seed_from_that() -> None:
    row = row_of()
    assert row == Row(7, "000007", "Hello", None, derive_seed(0, "000007"), {})
    assert row_of(id="000007") == row
    assert 0 <= row.seed < 2**53


def test_seed_of_a_row_depends_on_the_id_and_the_seed_of_the_batch_alone() -> None:
    assert row_of(id="a").seed == row_of(id="a", text="Other", voice="me").seed
    assert row_of(id="a").seed != row_of(id="b").seed
    assert row_of(RowDefaults(seed=1), id="a").seed != row_of(id="a").seed
    assert derive_seed(0, "a") == 7_298_224_460_787_257  # files of earlier versions stay the same


def test_values_of_a_row_come_before_those_of_the_batch() -> None:
    defaults = RowDefaults(voice="german", seed=3)
    row = row_of(
        defaults, id=12, voice="me.npz", seed=5, temperature=0.5, trim=True, history="first"
    )
    assert (row.id, row.voice, row.seed, row.error) == ("12", "me.npz", 5, None)
    assert split_options(row.options) == ({"temperature": 0.5}, {"trim": True, "history": "first"})
    assert row_of(defaults, voice=None).voice == "german"
    assert repr(row_of(temperature=1, top_k=50, trim=False).options) == (
        "{'temperature': 1.0, 'top_k': 50, 'trim': False}"
    )


@pytest.mark.parametrize("value", [None, "", True, 1.5, [1], "\ud800"])
def test_id_that_cannot_be_is_an_error_of_the_input(value: object) -> None:
    with pytest.raises(BatchError) as caught:
        row_of(id=value)
    assert_one_line(caught.value, "x.jsonl, line 7: the id is ", "expected ")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"text": None}, ("The text is None", "expected a string")),
        ({"text": 3}, ("The text is 3", "expected a string")),
        ({"text": "\ud800"}, ("The text is not valid Unicode",)),
        ({"voice": 3}, ("voice is 3", "expected a name, a language or a path")),
        ({"voice": "\ud800"}, ("The voice is not valid Unicode",)),
        ({"seed": -1}, ("seed is -1", "from 0")),
        ({"seed": "x"}, ("seed is 'x'", "from 0")),
        ({"seed": "9" * 5000}, ("seed is '999", "…")),
        ({"seed": True}, ("seed is True",)),
        ({"seed": MAX_SEED + 1}, (f"from 0 to {MAX_SEED}",)),
        ({"temperature": [1]}, ("temperature is [1]", "expected a number")),
        ({"temperature": float("nan")}, ("temperature is nan",)),
        ({"language": "\ud800"}, ("language is ",)),
    ],
)
def test_value_that_cannot_be_is_the_error_of_its_row(
    values: dict[str, Any], words: tuple[str, ...]
) -> None:
    row = row_of(**values)
    assert row.id == "000007"
    assert_one_line(row.error, *words)
    assert len(str(row.error)) < 600
    for value in (row.text, row.voice):
        assert value is None or value.encode()
