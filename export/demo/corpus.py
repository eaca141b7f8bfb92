"""Utterances of the teachers as tokens and codes, and some of them as audio."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from bark_onnx.export.demo import features, flite, quantizer
from bark_onnx.export.demo.quantizer import Quantizer
from bark_onnx.export.demo.sentences import held_out_sentences, make_sentences

# Lowest and highest usual pitch of each teacher in Hz.
TEACHERS = {"slt": (154.0, 211.0), "rms": (70.0, 133.0)}
SENTENCES = 12_000  # for each teacher
HELD_OUT = 60
AUDIBLE = 500  # of them are kept as audio, for the codec and its codebooks
SEED = 1


@dataclass(frozen=True)
class Utterance:
    """An utterance as the models see it."""

    text: str
    teacher: str
    semantic: NDArray[np.int16]  # (tokens,)
    places: NDArray[np.float32]  # (tokens,) among the text's letters and signs; NaN in a pause
    codes: NDArray[np.int16]  # (NUM_CODEBOOKS, frames)


def fit_codebooks(work: Path) -> None:
    """Record the first sentences, keep them as audio.pt, and write codebooks.pt."""
    speeches = []
    for teacher in TEACHERS:
        sentences = make_sentences(AUDIBLE, SEED)
        speeches += [speech for _, speech in _speeches(teacher, sentences, "audio")]
    values = torch.from_numpy(np.concatenate([speech.features for speech in speeches]))
    fitted = quantizer.fit(values, SEED)
    torch.save({"mean": fitted.mean, "codebooks": fitted.codebooks}, work / "codebooks.pt")
    torch.save([vars(speech) for speech in speeches], work / "audio.pt")


def load_quantizer(work: Path) -> Quantizer:
    """The codebooks that `fit_codebooks` wrote."""
    return Quantizer(**torch.load(work / "codebooks.pt"))


def record_train(work: Path) -> None:
    """Record the sentences to train on."""
    record(work, make_sentences(SENTENCES, SEED), "train")


def record_held_out(work: Path) -> None:
    """Record sentences from frames that training does not see."""
    record(work, held_out_sentences(HELD_OUT), "held_out")


def record(work: Path, sentences: list[str], name: str) -> None:
    """Record sentences by every teacher and write them as NAME.pt."""
    codec = load_quantizer(work)
    utterances = []
    for teacher in TEACHERS:
        for text, speech in _speeches(teacher, sentences, name):
            codes = codec.encode(torch.from_numpy(speech.features)).numpy().astype(np.int16)
            utterance = Utterance(text, teacher, speech.semantic, speech.places, codes)
            utterances.append(vars(utterance))
    torch.save(utterances, work / f"{name}.pt")


def load(work: Path, name: str) -> list[Utterance]:
    """The utterances that `record` wrote."""
    found = torch.load(work / f"{name}.pt", weights_only=False)
    return [Utterance(**utterance) for utterance in found]


def _speeches(
    teacher: str, sentences: list[str], name: str
) -> Iterator[tuple[str, features.Speech]]:
    voice = flite.Flite(teacher)
    for text in tqdm(sentences, f"{name} {teacher}", file=sys.stderr):
        yield text, features.analyze(voice.record(text), TEACHERS[teacher])
