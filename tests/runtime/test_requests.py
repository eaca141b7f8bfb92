"""What is known of a request is known once: its tokens, its voice, and what a recipe says of it."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark_onnx.graphs.voice_file import VoiceFile
from bark_onnx.runtime import Bark, Voice
from bark_onnx.runtime.audio.recipe import Recipe, VoiceUsed
from bark_onnx.runtime.bundle import Bundle, LoadedVoice
from bark_onnx.runtime.seeds import settle_seed
from bark_onnx.runtime.text.tokenizer import TextTokenizer

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


def recipe_of(bark: Bark, text: str = "Hello", **settings: Any) -> Recipe:
    recipe = bark.speak(text, **SHORT, **settings).recipe
    assert recipe is not None
    return recipe


def test_a_text_is_tokenized_once(demo: Bark, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    ids = TextTokenizer._ids

    def listen(tokenizer: TextTokenizer, text: str) -> list[int]:
        texts.append(text)
        return ids(tokenizer, text)

    monkeypatch.setattr(TextTokenizer, "_ids", listen)
    demo.speak_batch(["Hello", "b c d"], **SHORT)
    assert texts == ["Hello", "b c d"]


@pytest.mark.parametrize(("tokens", "reading"), [(46, {}), (47, {"max_seconds": 72.0})])
def test_a_recipe_keeps_a_text_together_that_is_split_otherwise(
    demo: Bark, tokens: int, reading: dict[str, float]
) -> None:
    text = "a " * tokens
    assert demo.count_tokens(text) == tokens
    assert recipe_of(demo, text).reading == reading


@pytest.mark.filterwarnings("ignore:.*the rest is not spoken")
def test_a_recipe_has_all_of_a_text_that_is_cut(demo: Bark) -> None:
    recipe = recipe_of(demo, "a " * 300)
    assert (recipe.text, recipe.reading) == ("a " * 300, {"max_seconds": 72.0})


def test_a_voice_of_the_bundle_is_read_once_with_its_checksum(
    bundle: Path, reads: list[Path]
) -> None:
    path = bundle / "voices" / f"{NAME}.npz"
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    found = Bundle(bundle).load_voice("english-0")
    assert reads == [path]
    assert isinstance(found.voice, Voice)
    assert (found.voice.name, found.used) == (NAME, VoiceUsed(NAME, checksum))


def test_a_file_is_read_once_and_named_as_it_was_given(
    bundle: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle / "voices" / "v2")
    checksum = hashlib.sha256(Path("en_speaker_0.npz").read_bytes()).hexdigest()
    found = Bundle(bundle).load_voice(f".{os.sep}en_speaker_0.npz")
    assert found.used == VoiceUsed(f".{os.sep}en_speaker_0.npz", checksum)
    assert reads == [Path("en_speaker_0.npz")]


def test_a_recipe_tells_the_voice_that_speaks_though_its_file_has_gone(
    bundle: Path, reads: list[Path]
) -> None:
    spare = (bundle / "voices" / f"{NAME}.npz").read_bytes()
    (bundle / "voices" / "me.npz").write_bytes(spare)
    used = VoiceUsed(NAME, hashlib.sha256(spare).hexdigest())
    with Bark.load(bundle) as bark:
        (speech,) = bark.stream("A: Hello", voice=NAME, cast={"A": "me"}, **SHORT)  # type: ignore[arg-type]
    assert speech.recipe is not None
    assert speech.recipe.voice == used
    assert speech.recipe.cast == {"A": VoiceUsed("me", used.sha256)}
    assert len(reads) == 2


def test_a_voice_without_a_file_has_no_checksum(demo_bundle: Path) -> None:
    opened = Bundle(demo_bundle)
    voice = opened.voice(NAME)
    assert opened.load_voice(voice) == LoadedVoice(voice, VoiceUsed(NAME, ""))
    assert voice is not None
    arrays = {"semantic_prompt": voice.semantic_prompt, "coarse_prompt": voice.coarse_prompt}
    arrays["fine_prompt"] = voice.fine_prompt
    assert opened.load_voice(arrays).used == VoiceUsed("", "")
    assert opened.load_voice(None) == LoadedVoice(None, None)


def test_a_seed_is_settled_as_an_int() -> None:
    assert settle_seed(2**70) == 2**70
    assert type(settle_seed(np.uint64(3))) is int  # type: ignore[arg-type]
    assert len({settle_seed(None) for _ in range(10)}) == 10
