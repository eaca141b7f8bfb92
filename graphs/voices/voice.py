"""A voice: the tokens of something said before, which a new utterance continues.

Suno's .npz files: integers of any width, every shape and value checked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.bundle.atomic_write import atomic_write, wrap_os_errors
from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.voices.npz import VoiceFile, read_npz
from bark_onnx.graphs.voices.provenance import ORIGIN_KEY, VoiceProvenance

Tokens = NDArray[np.int64]

_RANKS = {"semantic_prompt": 1, "coarse_prompt": 2, "fine_prompt": 2}
_KEYS = (*_RANKS, ORIGIN_KEY)
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True, eq=False)
class Voice:
    """The tokens of something said before.

    Attributes:
        semantic_prompt: semantic tokens, int64 (n,).
        coarse_prompt: codes of the first codebooks, int64 (2, frames).
        fine_prompt: codes of all codebooks, int64 (8, frames).
        name: what the voice is called, or its file; empty where it has no name.
        origin: how it came about, where that is known.

    Raises:
        VoiceError: an array has a wrong type, shape or value.
    """

    semantic_prompt: Tokens
    coarse_prompt: Tokens
    fine_prompt: Tokens
    name: str = ""
    provenance: VoiceProvenance | None = None

    def __post_init__(self) -> None:
        for key, rank in _RANKS.items():
            object.__setattr__(self, key, _checked(self._where, key, getattr(self, key), rank))
        coarse, fine = self.coarse_prompt.shape[1], self.fine_prompt.shape[1]
        if coarse != fine:
            raise VoiceError(
                f"{self._where}: coarse_prompt has {coarse} frames, fine_prompt {fine}; "
                "expected the same number"
            )

    def __repr__(self) -> str:
        frames = self.fine_prompt.shape[1]
        return f"Voice({self.name!r}, semantic={len(self.semantic_prompt)}, frames={frames})"

    @property
    def _where(self) -> str:
        return f'Voice "{self.name}"' if self.name else "Voice"

    @classmethod
    def load(cls, path: str | Path, *, name: str | None = None) -> "Voice":
        """Read an .npz file with the keys semantic_prompt, coarse_prompt and fine_prompt.

        Args:
            path: of the file.
            name: of the voice; None takes the path.

        Raises:
            VoiceError: the file cannot be read or is no voice.
        """
        return cls.from_file(VoiceFile.read(path), name=name)

    @classmethod
    def from_file(cls, file: VoiceFile, *, name: str | None = None) -> "Voice":
        """The voice in a file that was read; otherwise as `load`."""
        return cls.from_arrays(file.arrays(_KEYS), name=str(file.path) if name is None else name)

    @classmethod
    def read(cls, file: BinaryIO, *, name: str) -> "Voice":
        """Read an open .npz file.

        Raises:
            VoiceError: it cannot be read or is no voice.
        """
        return cls.from_arrays(read_npz(file, _KEYS, name=name), name=name)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], *, name: str = "") -> "Voice":
        """A voice from a mapping of the three arrays, and of its origin where it has one.

        Raises:
            VoiceError: a key is missing, or an array has a wrong type, shape or value.
        """
        where = f'Voice "{name}"' if name else "Voice"
        if missing := [key for key in _RANKS if key not in arrays]:
            raise VoiceError(f"{where}: {missing[0]} is missing; expected {', '.join(_RANKS)}")
        provenance = None
        if ORIGIN_KEY in arrays:
            provenance = VoiceProvenance.from_array(arrays[ORIGIN_KEY], where)
        return cls(**{key: arrays[key] for key in _RANKS}, name=name, provenance=provenance)

    def save(self, path: str | Path) -> None:
        """Write the voice as Suno does, with int64 arrays, and its origin beside them.

        The file appears whole or not at all.

        Raises:
            VoiceError: the file cannot be written.
        """
        path = Path(path)
        arrays = {key: getattr(self, key) for key in _RANKS}
        if self.provenance is not None:
            arrays[ORIGIN_KEY] = self.provenance.to_array()
        unwritable = wrap_os_errors(VoiceError, f"{path}: cannot be written")
        with unwritable, atomic_write(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)

    def check(self, settings: GenerationSettings) -> None:
        """Check that a checkpoint knows every token of this voice.

        Raises:
            VoiceError: an array has too few or too many codebooks, or a value out of range.
        """
        codebooks = settings.codebook_size
        for key, rows, limit in (
            ("semantic_prompt", None, settings.semantic.semantic_vocab_size),
            ("coarse_prompt", settings.coarse.n_coarse_codebooks, codebooks),
            ("fine_prompt", settings.fine.n_fine_codebooks, codebooks),
        ):
            array: Tokens = getattr(self, key)
            if rows is not None and array.shape[0] != rows:
                raise VoiceError(
                    f"{self._where}: {key} has shape {array.shape}, expected ({rows}, frames)"
                )
            if array.max() >= limit:
                raise VoiceError(
                    f"{self._where}: {key} holds {array.max()}, expected values below {limit}"
                )


def is_voice_name(name: str) -> bool:
    """Whether `name` can name a voice of a bundle: a word, with at most one folder before it.

    What would be taken for a path cannot.
    """
    is_word = _NAME.fullmatch(name) is not None and not is_voice_path(name)
    return is_word and not any(part.strip(".") == "" for part in name.split("/"))


def is_voice_path(voice: str) -> bool:
    """Whether a voice is asked for by the path of its file, rather than by a name in a bundle."""
    return voice.endswith(".npz")


def _checked(where: str, key: str, array: Any, rank: int) -> Tokens:
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise VoiceError(f"{where}: {key} is ragged, expected an array of integers") from error
    if not np.issubdtype(array.dtype, np.integer):
        raise VoiceError(f"{where}: {key} holds {array.dtype}, expected integers")
    if array.ndim != rank or array.size == 0:
        expected = "(n,)" if rank == 1 else "(codebooks, frames)"
        raise VoiceError(
            f"{where}: {key} has shape {array.shape}, expected {expected} with at least one token"
        )
    if array.min() < 0 or array.max() > np.iinfo(np.int64).max:
        raise VoiceError(
            f"{where}: {key} holds {array.min()}, expected values from 0"
            if array.min() < 0
            else f"{where}: {key} holds {array.max()}, which is no token"
        )
    tokens: Tokens = array.astype(np.int64)
    tokens.setflags(write=False)
    return tokens
