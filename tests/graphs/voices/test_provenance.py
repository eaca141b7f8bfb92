"""Provenance in a voice's file."""

import json
from pathlib import Path

import numpy as np
import pytest

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.voices.provenance import VoiceProvenance
from bark_onnx.graphs.voices.voice import Voice
from tests.support.messages import assert_one_line

ARRAYS = {
    "semantic_prompt": np.arange(5),
    "coarse_prompt": np.zeros((2, 4), np.int64),
    "fine_prompt": np.zeros((8, 4), np.int64),
}
# As a version before 0.1.0 wrote it.
OLD = (
    b'{"text": "Gr\\u00fc\\u00dfe", "seed": 7, "software": "bark-onnx 0.1.0", '
    b'"checkpoint": "suno/bark", "voice": "me.npz"}'
)


def test_the_provenance_of_an_older_file_is_read_and_saved_under_the_new_key(
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "old.npz", **ARRAYS, origin_json=np.frombuffer(OLD, np.uint8))
    voice = Voice.load(tmp_path / "old.npz")
    expected = VoiceProvenance("Grüße", 7, "bark-onnx 0.1.0", "suno/bark", "me.npz")
    assert voice.provenance == expected
    voice.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as file:
        assert set(file.files) == {*ARRAYS, "provenance_json"}
        assert json.loads(file["provenance_json"].tobytes()) == json.loads(OLD)
    assert Voice.load(tmp_path / "new.npz").provenance == expected


@pytest.mark.parametrize("key", ["provenance_json", "origin_json"])
def test_malformed_provenance_names_its_key(key: str) -> None:
    with pytest.raises(VoiceError) as caught:
        Voice.from_arrays({**ARRAYS, key: np.zeros(3)}, name="me")
    assert_one_line(caught.value, f'Voice "me": {key} is malformed', "expected uint8", "without it")
