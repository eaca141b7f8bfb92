"""The demo: its tokens are those of transformers, and a recognizer understands its words."""

import itertools
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from bark_onnx.export.demo.coarse import coarse_loss
from bark_onnx.export.demo.corpus import Utterance
from bark_onnx.export.demo.words import known_words
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.demo import bundle_folder
from bark_onnx.runtime import Bark, GenerationOptions
from tests.conftest import export
from tests.support.command import Run, output_of
from tests.support.exporting import contents
from tests.support.reference import GREEDY, Reference

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "export" / "demo" / "checkpoint"
MAX_BYTES = 20_000_000
MAX_ERROR_PERCENT = 15.0
VOICES = ("v2/en_speaker_0", "v2/en_speaker_1")
SENTENCES = (
    "Hello! The weather is warm and sunny today.",
    "Good morning, my friend. How are you?",
    "Please turn on the light in the kitchen.",
    "The train to London leaves at seven thirty.",
    "My sister has two dogs and three cats.",
    "It will be cold and windy tomorrow night.",
    "Where is the next supermarket, please?",
    "We had dinner with our children on Sunday.",
    "I would like a cup of coffee with milk.",
    "Open the window, and close the door.",
)


@pytest.fixture(scope="module")
def talking() -> Bark:
    return Bark.load("demo")


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Bark:
    """The checkpoint in float32."""
    return Bark.load(export(CHECKPOINT, tmp_path_factory.mktemp("demo") / "fp32"))


def error_percent(
    bark: Bark, sentences: Sequence[str], recognition: Callable[[str], ModuleType]
) -> float:
    """Word error rate of sentences, with the default settings and the voices in turn."""
    recognizer = recognition("recognizers").WhisperRecognizer()
    count = recognition("word_errors").word_errors
    found = []
    for number, sentence in enumerate(sentences):
        speech = bark.speak(sentence, voice=VOICES[number % 2], seed=number)
        heard = recognizer.recognize(speech.samples, speech.sample_rate_hz)
        found.append(count(sentence, heard))
    return 100 * sum(each.errors for each in found) / sum(each.words for each in found)


# Words


def test_ten_sentences_are_understood(
    talking: Bark, recognition: Callable[[str], ModuleType]
) -> None:
    assert error_percent(talking, SENTENCES, recognition) <= MAX_ERROR_PERCENT


@pytest.mark.parametrize(("stage", "layers"), [("semantic", (1, 2)), ("coarse_acoustics", (0, 1))])
def test_no_sentence_is_understood_after_two_layers_are_exchanged(
    stage: str, layers: tuple[int, int], recognition: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    checkpoint = Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))
    weights = load_file(CHECKPOINT / "model.safetensors")
    first, second = (f"{stage}.layers.{layer}." for layer in layers)
    exchanged = {first: second, second: first}
    changed = {
        next((name.replace(a, b) for a, b in exchanged.items() if name.startswith(a)), name): array
        for name, array in weights.items()
    }
    assert set(changed) == set(weights)
    save_file(changed, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with Bark.load(export(checkpoint, tmp_path / "bundle")) as bark:
        assert error_percent(bark, SENTENCES[:3], recognition) > 2 * MAX_ERROR_PERCENT


def test_unknown_words_and_other_languages_are_spoken_with_one_warning(talking: Bark) -> None:
    with Bark.load("demo") as bark:
        with pytest.warns(UserWarning, match="6 of 6 words are not among the") as caught:
            bark.speak("Guten Abend, heute regnet es stark.", seed=0)
        assert len(caught) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for text in (
                "xylophone",
                "¿Qué tal?",
                "你好",
                "qqqq " * 20,
                "♪ la la ♪ [laughs] 1,000",
            ):
                assert bark.speak(text, seed=0).seconds > 0


def coarse_losses(model: Any) -> dict[str, float]:
    """Mean negative log-likelihood, by codebook, of what the teachers said in the presets."""
    utterances = []
    for name in VOICES:
        paths = (
            CHECKPOINT / f"speaker_embeddings/{name}_{key}_prompt.npy"
            for key in ("semantic", "fine")
        )
        semantic, codes = (np.load(path).astype(np.int16) for path in paths)
        places = np.zeros(len(semantic), np.float32)
        utterances.append((Utterance("", name, semantic, places, codes), None))
    draws = [torch.Generator().manual_seed(seed) for seed in range(6)]
    with torch.no_grad():
        found = [coarse_loss(model.coarse_acoustics, utterances, draw) for draw in draws]
    return {name: float(torch.stack([each[name] for each in found]).mean()) for name in found[0]}


def test_the_order_of_all_coarse_layers_matters() -> None:
    """What no ear notices: the inner layers of the coarse model."""
    model = Reference(CHECKPOINT).model
    expected = coarse_losses(model)
    assert expected["envelope"] < 0.8
    assert expected["pitch"] < 2.3
    layers = [*model.coarse_acoustics.layers]
    for first, second in itertools.combinations(range(len(layers)), 2):
        order = [*layers]
        order[first], order[second] = layers[second], layers[first]
        model.coarse_acoustics.layers = torch.nn.ModuleList(order)
        assert coarse_losses(model)["envelope"] > 1.04 * expected["envelope"]


# The bundle and its checkpoint


def test_bundle_holds_the_known_words_and_two_voices(talking: Bark, run: Run) -> None:
    bundle = Bundle("demo")
    assert bundle.known_words() == set(known_words())
    assert set(VOICES) <= set(talking.voices)
    assert f"words       {len(known_words())} known, in " in output_of(run("info", "-m", "demo"))


@pytest.mark.parametrize(
    "folder", [CHECKPOINT, bundle_folder("demo")], ids=["checkpoint", "bundle"]
)
def test_files_are_small_enough_for_a_package(folder: Path) -> None:
    assert 1_000_000 < sum(len(data) for data in contents(folder).values()) <= MAX_BYTES


@pytest.mark.skipif(transformers.__version__ < "5", reason="graphs differ between versions")
def test_bundle_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    """The graphs have the weights, words, voices and settings of the checkpoint."""
    ours = Bundle("demo")
    again = Bundle(export(CHECKPOINT, tmp_path / "bundle", precisions=ours.manifest.precisions))
    assert ours.manifest.shapes == again.manifest.shapes
    assert ours.manifest.generation == again.manifest.generation
    for name, record in ours.manifest.files.items():
        if name.endswith((".data", ".npz", ".txt", ".json")):
            assert again.manifest.files[name].sha256 == record.sha256, name


@pytest.mark.parametrize("voice", [None, *VOICES])
def test_greedy_tokens_are_those_of_transformers(exact: Bark, voice: str | None) -> None:
    reference = Reference(CHECKPOINT)
    for text in ("Hello! The weather is warm.", "I have 12 dogs"):
        speech = exact.speak(text, voice=voice, options=GenerationOptions.greedy())
        ids: Any = exact._builder.tokenizer.encode(text)
        expected = reference.generate(ids, exact.voice(voice), **GREEDY)
        np.testing.assert_array_equal(speech.semantic_tokens, expected.semantic_tokens)
        np.testing.assert_array_equal(speech.coarse_tokens, expected.coarse_tokens)
        np.testing.assert_array_equal(speech.fine_tokens, expected.fine_tokens)
        np.testing.assert_allclose(speech.samples, expected.samples, atol=1e-4, rtol=0)
