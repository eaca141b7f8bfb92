"""Parsed JSON becomes a dataclass, or an error that names the location."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.graphs.files.dataclass_json import SchemaError, from_json_dict
from bark_onnx.graphs.ranges import Between
from tests.support.messages import assert_one_line


@dataclass(frozen=True)
class Codebook:
    size: int
    rate_hz: float


@dataclass(frozen=True)
class Codec:
    name: str
    causal: bool
    codebooks: tuple[Codebook, ...]
    axes: tuple[int | str, ...]
    by_stage: dict[str, tuple[Codebook, ...]]
    temperature: float | None = None
    tags: dict[str, str] = field(default_factory=dict)
    window: Annotated[int, Between(1, 60)] = 1
    top_p: Annotated[float, Between(0.0, 1.0, excludes_minimum=True)] = 1.0


CODEC = {
    "name": "encodec",
    "causal": True,
    "codebooks": [{"size": 1024, "rate_hz": 75}],
    "axes": ["batch", 8],
    "by_stage": {"fine": [{"size": 1024, "rate_hz": 75.0}]},
}

codebooks = st.builds(Codebook, st.integers(), st.floats(allow_nan=False, allow_infinity=False))
codecs = st.builds(
    Codec,
    name=st.text(),
    causal=st.booleans(),
    codebooks=st.lists(codebooks).map(tuple),
    axes=st.lists(st.integers() | st.text()).map(tuple),
    by_stage=st.dictionaries(st.text(), st.lists(codebooks).map(tuple)),
    temperature=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    tags=st.dictionaries(st.text(), st.text()),
)


@given(codecs)
def test_dataclass_round_trips_through_json(codec: Codec):
    data = json.loads(json.dumps(dataclasses.asdict(codec)))
    assert from_json_dict(Codec, data, "codec") == codec


def test_missing_keys_get_their_defaults():
    codec = from_json_dict(Codec, CODEC, "codec")
    assert (codec.temperature, codec.tags) == (None, {})


def test_whole_number_becomes_a_float_for_a_float_field():
    rate = from_json_dict(Codec, CODEC, "codec").codebooks[0].rate_hz
    assert isinstance(rate, float)
    assert rate == 75.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": 1}, ["codec.names is unknown", "expected one of", "by_stage"]),
        ({"name": 7}, ["codec.name is 7", "expected str"]),
        ({"causal": 1}, ["codec.causal is 1", "expected bool"]),
        ({"codebooks": {}}, ["codec.codebooks is {}", "expected a list"]),
        ({"codebooks": [3]}, ["codec.codebooks[0] is 3", "expected an object"]),
        ({"codebooks": [{"size": True, "rate_hz": 1}]}, ["codebooks[0].size", "true", "int"]),
        ({"codebooks": [{"size": 1.0, "rate_hz": 1}]}, ["codebooks[0].size", "1.0", "int"]),
        ({"codebooks": [{"size": 1, "rate_hz": True}]}, ["codebooks[0].rate_hz", "true", "float"]),
        ({"codebooks": [{"size": 1}]}, ["codebooks[0].rate_hz is missing"]),
        ({"axes": [None]}, ["codec.axes[0] is null", "int or str"]),
        ({"by_stage": []}, ["codec.by_stage is []", "expected an object"]),
        ({"by_stage": {"fine": [1]}}, ["codec.by_stage.fine[0] is 1"]),
        ({"temperature": "warm"}, ["codec.temperature", "'warm'", "float or null"]),
        ({"tags": {"key": 1}}, ["codec.tags.key is 1", "expected str"]),
        ({"tags": {"a\nb": 1}}, [r"codec.tags.'a\nb' is 1"]),
        ({"tags": {"key": "\ud800"}}, ["codec.tags.key is", "expected valid Unicode"]),
        ({"tags": {"\ud800": ""}}, ["codec.tags has the key", "expected valid Unicode"]),
        ({"temperature": 10**400}, ["codec.temperature is 1000", "float or null"]),
        ({"temperature": math.inf}, ["codec.temperature is inf", "float or null"]),
        ({"window": 0}, ["codec.window is 0, expected from 1 to 60"]),
        ({"window": 10**400}, ["codec.window is 1000", "000, expected from 1 to 60"]),
        ({"window": 1.5}, ["codec.window is 1.5, expected int"]),
        ({"top_p": 0}, ["codec.top_p is 0.0, expected more than 0.0 and at most 1.0"]),
        ({"top_p": math.nan}, ["codec.top_p is nan, expected a finite number"]),
        ({"top_p": 10**400}, ["codec.top_p is 1000", "expected a finite number"]),
    ],
)
def test_error_names_the_location_and_what_was_found_and_expected(changes, words):
    with pytest.raises(SchemaError) as caught:
        from_json_dict(Codec, {**CODEC, **changes}, "codec")
    assert_one_line(caught.value, *words)


@pytest.mark.parametrize("key", list(CODEC))
def test_key_without_default_is_required(key: str):
    data = {name: value for name, value in CODEC.items() if name != key}
    with pytest.raises(SchemaError, match=f"^codec.{key} is missing$"):
        from_json_dict(Codec, data, "codec")


@pytest.mark.parametrize("data", [None, [], "codec", 3])
def test_value_is_refused_when_it_is_not_an_object(data: object):
    with pytest.raises(SchemaError, match=r"^codec is .*, expected an object$"):
        from_json_dict(Codec, data, "codec")


def test_long_value_is_shortened_in_the_error():
    with pytest.raises(SchemaError) as caught:
        from_json_dict(Codec, {**CODEC, "causal": "x" * 1000}, "codec")
    assert len(str(caught.value)) < 100
