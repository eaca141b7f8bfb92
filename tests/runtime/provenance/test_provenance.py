"""Provenance as JSON: read as it was written, also from older versions."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.graphs.files.dataclass_json import SchemaError
from bark_onnx.runtime.provenance.provenance import BundleRef, Provenance, VoiceRef
from tests.support.messages import assert_one_line
from tests.support.provenance import PROVENANCE

# As a version before 0.1.0 wrote it.
FORMAT_1 = (
    '{"bark-onnx":{"software":"bark-onnx 0.1.0","text":"Anna: Hi","seed":7,"bundle":{"path":"bark",'
    '"source":"suno/bark","precision":"fp32","fingerprint":"0123456789abcdef",'
    '"sample_rate_hz":24000,"provider":"cpu","onnxruntime":"1.3"},"voice":{"name":"me.npz",'
    '"sha256":"ab"},"cast":{"Anna":{"name":"v2/en_speaker_6","sha256":"cd"},"Ben":null},'
    '"generation":{"semantic_top_k":0},"reading":{"language":"de","max_seconds":5.0,'
    '"continuity":"previous","takes":2,"silence_seconds":0.0,"crossfade_seconds":0.1,"trim":true,'
    '"stop_babble":true,"peak":0.5},"sample_rate_hz":16000,"piece":3,"text_sha256":null,"format":1}}'
)


def test_format_1_is_converted() -> None:
    assert Provenance.from_json(FORMAT_1) == Provenance(
        software="bark-onnx 0.1.0",
        text="Anna: Hi",
        seed=7,
        bundle=BundleRef("bark", "suno/bark", "fp32", "0123456789abcdef", 24_000, "cpu", "1.3"),
        voice=VoiceRef("me.npz", "ab"),
        speakers={"Anna": VoiceRef("v2/en_speaker_6", "cd"), "Ben": None},
        generation={"semantic_top_k": 0},
        stream={
            "language": "de",
            "max_seconds": 5.0,
            "history": "previous",
            "attempts": 2,
            "silence_seconds": 0.0,
            "crossfade_seconds": 0.1,
            "trim": True,
            "limit_duration": True,
            "normalize_peak": 0.5,
            "seed_bits": 64,
        },
        sample_rate_hz=16_000,
        segment=3,
        format=3,
    )


def test_format_2_keeps_its_longer_seeds() -> None:
    found = Provenance.from_json(replaced('"format":3', '"format":2'))
    stream: Any = {"history": "previous", "seed_bits": 64}
    assert found == dataclasses.replace(PROVENANCE, stream=stream)


def test_provenance_is_read_as_it_was_written() -> None:
    assert Provenance.from_json(PROVENANCE.to_json()) == PROVENANCE
    assert "\n" not in PROVENANCE.to_json()


@given(st.text(max_size=50), st.integers(0, 2**70), st.floats(0.001, 10))
def test_any_text_seed_and_number_is_read_as_it_was_written(
    text: str, seed: int, number: float
) -> None:
    generation: Any = {"semantic_temperature": number}
    provenance = dataclasses.replace(PROVENANCE, text=text, seed=seed, generation=generation)
    assert Provenance.from_json(provenance.to_json()) == provenance


@pytest.mark.parametrize("comment", ["", "Recorded at home", "{}", "[1]", "7", '{"title": 3}', "{"])
def test_a_comment_of_another_program_is_not_provenance(comment: str) -> None:
    assert Provenance.from_json(comment) is None


def replaced(old: str, new: str) -> str:
    text = PROVENANCE.to_json()
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        (PROVENANCE.to_json()[:-9], ("cut off",)),
        (replaced('"format":3', '"format":4'), ("format is 4", "expected 1 to 3")),
        (replaced('"format":3', '"format":"x"'), ("format is 'x'", "expected 1 to 3")),
        (replaced('"segment":3', '"fragment":3'), ("fragment",)),
        ('{"bark-onnx":{"format":1,"reading":[]}}', ("missing",)),
        (replaced('"seed":9223372036854775808', '"seed":"x"'), ("seed", "expected int")),
        ('{"bark-onnx":7}', ("expected",)),
        (replaced("Hello", "\\ud800"), ("expected str",)),
        (replaced("me.npz", "\\u001b[2Jme.npz"), ("x1b", "not printable")),
    ],
)
def test_damaged_provenance_is_one_line(comment: str, words: tuple[str, ...]) -> None:
    with pytest.raises(SchemaError) as caught:
        Provenance.from_json(comment)
    assert_one_line(caught.value, *words)
