"""Speech saved as a voice: --save-voice, to_voice, and provenance of voices."""

import json
import os
from collections.abc import Generator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BarkProcessor

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.voices.provenance import PROVENANCE_KEY, VoiceProvenance
from bark_onnx.runtime import Bark, GenerationOptions, Speech, Voice
from bark_onnx.runtime.cli.speech.voice_saver import VoiceSaver
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from tests.support.command import Run, assert_fails, output_of
from tests.support.fixtures import CachedReference
from tests.support.messages import assert_one_line
from tests.support.reference import GREEDY

SOFTWARE = f"bark-onnx {version('bark-onnx')}"
SHORT = ("--semantic-max-new-tokens", 30)
KEYS = ("semantic_prompt", "coarse_prompt", "fine_prompt")


def speech(seconds: float, text: str = "Hi", **changes: Any) -> Speech:
    frames = round(seconds * 75)
    fine = np.arange(8 * frames).reshape(8, frames) % 1024
    usual = {
        "samples": np.zeros(320 * frames, np.float32),
        "sample_rate_hz": 24_000,
        "semantic_tokens": np.arange(frames * 2 // 3),
        "coarse_tokens": fine[:2],
        "fine_tokens": fine,
        "text": text,
        "voice_name": "",
        "seed": 5,
    }
    return Speech(**{**usual, **changes})


def tee(tmp_path: Path, speeches: Generator[Speech]) -> list[Speech]:
    with VoiceSaver(str(tmp_path / "me.npz"), has_speakers=False, has_lines=False) as saver:
        return list(saver.tee(speeches))


def generated(*speeches: Speech) -> Generator[Speech]:
    """A generator of speeches."""
    yield from speeches


def saved(tmp_path: Path, *speeches: Speech) -> Voice:
    assert tee(tmp_path, generated(*speeches)) == list(speeches)
    return Voice.load(tmp_path / "me.npz")


# Provenance


PROVENANCE = VoiceProvenance(
    "Grüße, 世界 ♪", 2**64 - 1, "bark-onnx 0.1.0", "suno/bark-small", "me.npz"
)


@given(st.builds(VoiceProvenance, text=..., seed=..., software=..., checkpoint=..., voice=...))
def test_provenance_survives_a_round_trip(provenance: VoiceProvenance) -> None:
    assert VoiceProvenance.from_array(provenance.to_array(), "me") == provenance


def test_provenance_survives_a_file(tmp_path: Path) -> None:
    voice = speech(1).to_voice()
    Voice(*(getattr(voice, key) for key in KEYS), provenance=PROVENANCE).save(tmp_path / "me.npz")
    assert Voice.load(tmp_path / "me.npz").provenance == PROVENANCE
    with np.load(tmp_path / "me.npz", allow_pickle=False) as file:
        assert set(file.files) == {*KEYS, PROVENANCE_KEY}
        assert json.loads(file[PROVENANCE_KEY].tobytes())["text"] == PROVENANCE.text
        assert Voice.from_arrays(file).provenance == PROVENANCE


def test_voice_of_other_software_has_no_provenance(tmp_path: Path) -> None:
    arrays = {key: getattr(speech(1).to_voice(), key) for key in KEYS}
    np.savez(tmp_path / "me.npz", **arrays, metadata=np.array("theirs"))
    assert Voice.load(tmp_path / "me.npz").provenance is None
    Voice.load(tmp_path / "me.npz").save(tmp_path / "again.npz")
    with np.load(tmp_path / "again.npz") as file:
        assert set(file.files) == set(KEYS)


def test_voice_of_a_speech_has_its_provenance(random_bark: Bark) -> None:
    speech = random_bark.speak(
        "Hello!", voice="english", seed=np.int64(3), semantic_max_new_tokens=9
    )
    assert speech.provenance is not None
    source = speech.provenance.bundle.source
    expected = VoiceProvenance("Hello!", 3, SOFTWARE, source, "v2/en_speaker_0")
    assert speech.to_voice("me").provenance == expected
    assert source
    assert speech.to_voice("me").name == "me"


def test_provenance_omits_folders_of_voice_files() -> None:
    provenance = speech(1, voice_name="/home/anna/voices/me.npz").to_voice().provenance
    assert provenance is not None
    assert provenance.voice == "me.npz"


def test_keys_of_later_versions_are_ignored() -> None:
    data = np.frombuffer(b'{"text": "Hi", "mood": "good"}', np.uint8)
    assert VoiceProvenance.from_array(data, "me") == VoiceProvenance("Hi")


@pytest.mark.parametrize(
    "array",
    [
        np.frombuffer(b"{", np.uint8),
        np.frombuffer(b"[]", np.uint8),
        np.frombuffer(b'{"seed": "five"}', np.uint8),
        np.frombuffer(b'{"text": 5}', np.uint8),
        np.frombuffer(b"[" * 100_000, np.uint8),
        np.frombuffer(b"\xff\xfe", np.uint8),
        np.array("{}"),
        np.zeros((2, 2), np.uint8),
        np.zeros(2),
    ],
)
def test_malformed_provenance_is_one_line(array: Any) -> None:
    arrays = {key: getattr(speech(1).to_voice(), key) for key in KEYS}
    with pytest.raises(VoiceError) as caught:
        Voice.from_arrays({**arrays, PROVENANCE_KEY: array}, name="me")
    assert_one_line(caught.value, '"me"', PROVENANCE_KEY, "malformed")


# The segment that is saved


def test_first_segment_as_long_as_the_history_is_saved(tmp_path: Path) -> None:
    voice = saved(tmp_path, speech(3, "a"), speech(7, "b"), speech(12, "c"))
    assert voice.provenance is not None
    assert voice.provenance.text == "b"


def test_longest_of_short_segments_is_saved(tmp_path: Path) -> None:
    voice = saved(tmp_path, speech(3, "a"), speech(5, "b"), speech(5, "c"), speech(0, "d"))
    assert voice.provenance is not None
    assert voice.provenance.text == "b"
    assert voice.fine_prompt.shape == (8, 375)


def test_interrupt_saves_the_voice_so_far(tmp_path: Path) -> None:
    def interrupted() -> Generator[Speech]:
        yield speech(3, "a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tee(tmp_path, interrupted())
    provenance = Voice.load(tmp_path / "me.npz").provenance
    assert provenance is not None
    assert provenance.text == "a"


def test_empty_speech_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(VoiceError) as caught:
        saved(tmp_path, speech(0))
    assert_one_line(caught.value, "me.npz", "speech is empty", "another seed")
    assert list(tmp_path.iterdir()) == []


# The command


def test_saved_voice_can_be_used_and_has_provenance(
    run: Run, random_bundle: Path, tmp_path: Path
) -> None:
    common = ("-m", random_bundle, "--greedy", *SHORT)
    status, out, err = run(
        "speak", "Hello [laughs]", *common, "--voice", "english", "--seed", 4, "-o", "a.wav",
        "--save-voice", "me.npz",
    )  # fmt: skip
    assert status == 0
    assert len(out.splitlines()) == 1
    assert_one_line(err.removesuffix("\n"), "me.npz: a voice of 0.60 s", "--voice me.npz")
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav", "me.npz"}
    output_of(run("speak", "Hello", *common, "--voice", "me.npz", "-o", "b.wav"))
    output_of(run("speak", "Hello", *common, "-o", "c.wav"))
    assert (tmp_path / "b.wav").read_bytes() != (tmp_path / "c.wav").read_bytes()
    checked = output_of(run("voices", "check", "me.npz", "-m", random_bundle)).splitlines()
    assert checked[:3] == [
        "me.npz: a voice of 0.60 s",
        "  tokens      30 semantic, 45 frames of coarse and fine codes",
        "  used        all of it",
    ]
    assert checked[3:6] == [
        '  text        "Hello [laughs]"',
        "  seed        4",
        "  voice       v2/en_speaker_0",
    ]
    assert checked[-1] == f"  software    {SOFTWARE}"


def test_one_segment_of_a_long_text_is_saved(run: Run, random_bundle: Path, tmp_path: Path) -> None:
    text = "One sentence. And one more."
    status, out, _ = run(
        "speak", text, "-m", random_bundle, "--greedy", *SHORT, "--max-seconds", 2, "--seed", 7,
        "--save-voice", "me.npz",
    )  # fmt: skip
    assert status == 0
    assert "4 segments" in out
    provenance = Voice.load(tmp_path / "me.npz").provenance
    assert provenance is not None
    # All are equally long; the first is saved.
    assert (provenance.text, provenance.seed, provenance.voice) == ("One sen", 7, "")


def test_silent_speech_is_one_line(run: Run, random_bundle: Path, tmp_path: Path) -> None:
    end_at_once = ("--greedy", "--min-eos-p", 1e-30)
    result = run("speak", "Hi", "-m", random_bundle, *end_at_once, "--save-voice", "me.npz")
    assert_fails(result, 1, "me.npz", "speech is empty", "another seed")
    assert [path.name for path in tmp_path.iterdir()] == ["speech.wav"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--save-voice", "me.wav"), ("me.wav", "expected .npz")),
        (("--save-voice", "me"), ("me", "expected .npz")),
        (("--save-voice", "nowhere/me.npz"), ("nowhere", "no such folder")),
        (("--save-voice", "folder.npz"), ("folder.npz is a folder", "name of a file")),
        (
            ("--save-voice", "me.npz", "--speaker", "A=english"),
            ("--save-voice", "--speaker", "alone"),
        ),
        (("--save-voice", "me.npz", "--lines"), ("--save-voice", "--lines", "alone")),
    ],
)
def test_impossible_save_voice_is_refused_before_the_model_loads(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (tmp_path / "folder.npz").mkdir()
    assert_fails(run("speak", "Hi", "-m", "no-bundle", "-o", "a.wav", *arguments), 1, *words)
    assert {path.name for path in tmp_path.iterdir()} == {"folder.npz"}


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_write_protected_folder_of_a_voice_is_refused_before_the_model_loads(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    result = run("speak", "Hi", "-m", "no-bundle", "--save-voice", "locked/me.npz")
    assert_fails(result, 1, "locked", "may not be written to")


def test_text_of_a_voice_is_printed_without_control_characters(run: Run, tmp_path: Path) -> None:
    text = "a\x1b[2Jb\nc\u202e" + "x" * 500
    speech(1, text).to_voice().save(tmp_path / "me.npz")
    out = output_of(run("voices", "check", "me.npz"))
    (line,) = [line for line in out.splitlines() if "text" in line]
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert line.endswith("…")
    assert '"a [2Jb c xxx' in line


# Transformers


def test_transformers_generates_the_same_from_a_saved_voice(
    random_bark: Bark, random_reference: CachedReference, random_checkpoint: Path, tmp_path: Path
) -> None:
    random_bark.speak("Hello", seed=1, semantic_max_new_tokens=60).to_voice().save(
        tmp_path / "me.npz"
    )
    text, tokens = "again", 25
    # As users of transformers do: the whole file passes through the processor.
    processor = BarkProcessor.from_pretrained(random_checkpoint)
    preset = processor(text, voice_preset=str(tmp_path / "me.npz"))["history_prompt"]
    theirs = Voice(*(preset[key].numpy() for key in KEYS))
    ids = TextTokenizer.from_bundle(random_bark._bundle).encode(text)
    expected = random_reference.generate(ids, theirs, **GREEDY, semantic_max_new_tokens=tokens)
    options = GenerationOptions.greedy()
    speech = random_bark.speak(
        text, voice=tmp_path / "me.npz", options=options, semantic_max_new_tokens=tokens
    )
    np.testing.assert_array_equal(speech.semantic_tokens, expected.semantic_tokens)
    np.testing.assert_array_equal(speech.coarse_tokens, expected.coarse_tokens)
    np.testing.assert_array_equal(speech.fine_tokens, expected.fine_tokens)
    without = random_bark.speak(text, options=options, semantic_max_new_tokens=tokens)
    assert speech.semantic_tokens.tolist() != without.semantic_tokens.tolist()
