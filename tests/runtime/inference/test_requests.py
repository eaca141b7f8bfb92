"""Requests: each text is tokenized once, each voice read once, each provenance built once."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.voices.npz import VoiceFile
from bark_onnx.runtime import Bark, Voice
from bark_onnx.runtime.provenance.provenance import Provenance, VoiceRef
from bark_onnx.runtime.seeds import resolve_seed
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from bark_onnx.runtime.voices.library import ResolvedVoice, VoiceLibrary

NAME = "v2/en_speaker_0"
SHORT = {"seed": 0, "semantic_max_new_tokens": 3}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files of voices that were read; each is gone as soon as it was."""
    paths: list[Path] = []
    read = VoiceFile.read

    def read_and_remove(path: str | Path) -> VoiceFile:
        file = read(path)
        paths.append(file.path)
        file.path.unlink()
        return file

    monkeypatch.setattr(VoiceFile, "read", read_and_remove)
    return paths


def provenance_of(bark: Bark, text: str = "Hello", **settings: Any) -> Provenance:
    provenance = bark.speak(text, **SHORT, **settings).provenance
    assert provenance is not None
    return provenance


def test_a_text_is_tokenized_once(random_bark: Bark, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    ids = TextTokenizer._ids

    def listen(tokenizer: TextTokenizer, text: str) -> list[int]:
        texts.append(text)
        return ids(tokenizer, text)

    monkeypatch.setattr(TextTokenizer, "_ids", listen)
    random_bark.speak_batch(["Hello", "b c d"], **SHORT)
    assert texts == ["Hello", "b c d"]


@pytest.mark.parametrize(("tokens", "stream"), [(46, {}), (47, {"max_seconds": 72.0})])
def test_provenance_keeps_a_text_in_one_segment(
    random_bark: Bark, tokens: int, stream: dict[str, float]
) -> None:
    text = "a " * tokens
    assert random_bark.count_tokens(text) == tokens
    assert provenance_of(random_bark, text).stream == stream


@pytest.mark.filterwarnings("ignore:.*the rest is not generated")
def test_provenance_holds_all_of_a_truncated_text(random_bark: Bark) -> None:
    provenance = provenance_of(random_bark, "a " * 300)
    assert (provenance.text, provenance.stream) == ("a " * 300, {"max_seconds": 72.0})


def test_a_voice_of_the_bundle_is_read_once_with_its_checksum(
    bundle: Path, reads: list[Path]
) -> None:
    path = bundle / "voices" / f"{NAME}.npz"
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    found = VoiceLibrary(Bundle(bundle)).load("english-0")
    assert reads == [path]
    assert isinstance(found.voice, Voice)
    assert (found.voice.name, found.ref) == (NAME, VoiceRef(NAME, checksum))


def test_a_voice_file_is_read_once_and_named_as_given(
    bundle: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle / "voices" / "v2")
    checksum = hashlib.sha256(Path("en_speaker_0.npz").read_bytes()).hexdigest()
    found = VoiceLibrary(Bundle(bundle)).load(f".{os.sep}en_speaker_0.npz")
    assert found.ref == VoiceRef(f".{os.sep}en_speaker_0.npz", checksum)
    assert reads == [Path("en_speaker_0.npz")]


def test_provenance_names_the_voice_after_its_file_was_deleted(
    bundle: Path, reads: list[Path]
) -> None:
    spare = (bundle / "voices" / f"{NAME}.npz").read_bytes()
    (bundle / "voices" / "me.npz").write_bytes(spare)
    used = VoiceRef(NAME, hashlib.sha256(spare).hexdigest())
    with Bark.load(bundle) as bark:
        (speech,) = bark.stream("A: Hello", voice=NAME, speakers={"A": "me"}, **SHORT)  # type: ignore[arg-type]
    assert speech.provenance is not None
    assert speech.provenance.voice == used
    assert speech.provenance.speakers == {"A": VoiceRef("me", used.sha256)}
    assert len(reads) == 2


def test_a_voice_without_a_file_has_no_checksum(random_bundle: Path) -> None:
    opened = Bundle(random_bundle)
    voice = VoiceLibrary(opened).load(NAME).voice
    assert VoiceLibrary(opened).load(voice) == ResolvedVoice(voice, VoiceRef(NAME, ""))
    assert voice is not None
    arrays = {"semantic_prompt": voice.semantic_prompt, "coarse_prompt": voice.coarse_prompt}
    arrays["fine_prompt"] = voice.fine_prompt
    assert VoiceLibrary(opened).load(arrays).ref == VoiceRef("", "")
    assert VoiceLibrary(opened).load(None) == ResolvedVoice(None, None)


def test_a_seed_is_resolved_as_an_int() -> None:
    assert resolve_seed(2**70) == 2**70
    assert type(resolve_seed(np.uint64(3))) is int  # type: ignore[arg-type]
    assert len({resolve_seed(None) for _ in range(10)}) == 10
