"""Festival Lite's voices as teachers: audio with phones, pitch and spectral envelope.

The library that Debian's package `flite` installs is called through ctypes. It gives more than the
program: besides audio and phones, the parameters that its vocoder turns into audio.
"""

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.errors import ExportError

Array = NDArray[np.float32]

RATE_HZ = 16_000
FRAME_SAMPLES = 80  # of the vocoder: 5 ms
CEPSTRUM_ORDER = 24

_FOLDER = Path("/usr/lib/x86_64-linux-gnu")
_LIBRARIES = ("flite", "flite_cmulex", "flite_usenglish")
_POINTER = ctypes.c_void_p


class _Utterance(ctypes.Structure):
    _fields_ = [
        ("features", _POINTER),
        ("functions", _POINTER),
        ("relations", _POINTER),
        ("context", _POINTER),
    ]


class _Track(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("num_frames", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("times", ctypes.POINTER(ctypes.c_float)),
        ("frames", ctypes.POINTER(ctypes.POINTER(ctypes.c_float))),
    ]


class _Wave(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


@dataclass(frozen=True)
class Phone:
    """A phone of an utterance."""

    name: str  # of the CMU lexicon, such as "ae"; "pau" is a pause
    end: float  # seconds
    place: float = math.nan  # of its first letter in the text without spaces; NaN in a pause
    letters: float = 0.0  # of its word, divided by the phones of the word


@dataclass(frozen=True)
class Recording:
    """An utterance of a teacher."""

    audio: Array  # (samples,) at 16 kHz, from -1 to 1
    phones: tuple[Phone, ...]
    pitch_hz: Array  # (frames,) of 5 ms; 0 where unvoiced
    cepstrum: Array  # (frames, 25) mel-generalized cepstrum, the first is the level
    strengths: Array  # (frames, 5) share of the periodic part in five bands, from low to high


class Flite:
    """A voice of Festival Lite.

    Args:
        voice: Name of an installed voice, "slt" or "rms".

    Raises:
        ExportError: Festival Lite or the voice is not installed.
    """

    def __init__(self, voice: str) -> None:
        self._library = _library()
        register = getattr(_load(f"flite_cmu_us_{voice}"), f"register_cmu_us_{voice}")
        register.restype, register.argtypes = _POINTER, [ctypes.c_char_p]
        self._voice = register(None)

    def record(self, text: str) -> Recording:
        """Record an English text."""
        flite = self._library
        utterance = flite.flite_synth_text(text.encode("ascii"), self._voice)
        try:
            return self._read(utterance.contents, text)
        finally:
            flite.delete_utterance(utterance)

    def _read(self, utterance: _Utterance, text: str) -> Recording:
        flite = self._library

        def feature(name: bytes) -> Any:
            return flite.feat_val(utterance.features, name)

        parameters = flite.val_track(feature(b"param_track"))
        smooth = flite.mlpg(parameters, flite.val_cg_db(feature(b"cg_db")))
        try:
            track = _frames(smooth.contents)
        finally:
            flite.delete_track(smooth)
        segments = flite.val_relation(flite.feat_val(utterance.relations, b"Segment"))
        return Recording(
            audio=_samples(flite.val_wave(feature(b"wave")).contents),
            phones=tuple(self._phones(segments, text)),
            pitch_hz=track[:, 0],
            cepstrum=track[:, 1:],
            strengths=_frames(flite.val_track(feature(b"str_track")).contents),
        )

    def _phones(self, segments: Any, text: str) -> Iterator[Phone]:
        flite = self._library
        items = []
        item = flite.relation_head(segments)
        while item:
            items.append(item)
            item = flite.item_next(item)
        places = _places([self._written_word(item) for item in items], text)
        for item, place in zip(items, places, strict=True):
            name = flite.item_feat_string(item, b"name").decode()
            yield Phone(name, flite.item_feat_float(item, b"end"), *place)

    def _written_word(self, segment: Any) -> tuple[int, str] | None:
        """Address and text of the word, as it is written, that a phone belongs to."""
        flite = self._library
        phone = flite.item_as(segment, b"SylStructure")
        if not phone:
            return None
        word = flite.item_parent(flite.item_parent(phone))
        written = flite.item_parent(flite.item_as(word, b"Token"))
        return written, flite.item_feat_string(written, b"name").decode()


def _places(words: list[tuple[int, str] | None], text: str) -> list[tuple[float, float]]:
    """Place and letters of each phone: the phones of a word share its letters equally."""
    counts = [0, *accumulate(not character.isspace() for character in text)]
    places = [(math.nan, 0.0)] * len(words)
    spoken = [index for index, word in enumerate(words) if word is not None]
    end = 0
    for (_, name), group in groupby(spoken, lambda index: words[index] or (0, "")):
        start = text.find(name, end)
        if start < 0:  # a sign that is spoken
            continue
        end, phones = start + len(name), list(group)
        letters = (counts[end] - counts[start]) / len(phones)
        for number, index in enumerate(phones):
            places[index] = (counts[start] + number * letters, letters)
    return places


def _frames(track: _Track) -> Array:
    shape = (track.num_channels,)
    rows = [np.ctypeslib.as_array(track.frames[i], shape).copy() for i in range(track.num_frames)]
    return np.stack(rows).astype(np.float32)


def _samples(wave: _Wave) -> Array:
    samples = np.ctypeslib.as_array(wave.samples, (wave.num_samples,))
    return samples.astype(np.float32) / np.float32(32_768)


def _load(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(_FOLDER / f"lib{name}.so.1"), ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ExportError(f"{error}; expected Festival Lite 2.2: apt install flite") from error


@cache
def _library() -> ctypes.CDLL:
    flite, *_ = [_load(name) for name in _LIBRARIES]
    track, wave = ctypes.POINTER(_Track), ctypes.POINTER(_Wave)
    utterance, text = ctypes.POINTER(_Utterance), ctypes.c_char_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "flite_synth_text": (utterance, [text, _POINTER]),
        "delete_utterance": (None, [utterance]),
        "feat_val": (_POINTER, [_POINTER, text]),
        "val_track": (track, [_POINTER]),
        "val_wave": (wave, [_POINTER]),
        "val_cg_db": (_POINTER, [_POINTER]),
        "val_relation": (_POINTER, [_POINTER]),
        "mlpg": (track, [track, _POINTER]),
        "delete_track": (None, [track]),
        "relation_head": (_POINTER, [_POINTER]),
        "item_next": (_POINTER, [_POINTER]),
        "item_as": (_POINTER, [_POINTER, text]),
        "item_parent": (_POINTER, [_POINTER]),
        "item_feat_string": (text, [_POINTER, text]),
        "item_feat_float": (ctypes.c_float, [_POINTER, text]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(flite, name)
        function.restype, function.argtypes = result, arguments
    flite.flite_init()
    return flite
