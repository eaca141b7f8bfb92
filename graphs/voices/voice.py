"""A voice: tokens of earlier speech, which new speech continues.

Files are Suno's .npz files: integers of any width, with every shape and value checked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.files.atomic_write import atomic_write, wrap_os_errors
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.voices.npz import VoiceFile, read_npz
from bark_onnx.graphs.voices.provenance import OLD_KEY, PROVENANCE_KEY, VoiceProvenance

Tokens = NDArray[np.int64]

_RANKS = {"semantic_prompt": 1, "coarse_prompt": 2, "fine_prompt": 2}
_KEYS = (*_RANKS, PROVENANCE_KEY, OLD_KEY)
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_MAX_NAME_BYTES = 200  # of each part: with a suffix, a file's name may have 255

# Semantic tokens, or frames, of a voice: over two minutes, of which Bark uses the last 7 seconds.
MAX_LENGTH = 10_000
_MAX_CODEBOOKS = 64
_STORED_DTYPE = np.int32  # the smallest that embeddings of torch accept


@dataclass(frozen=True, eq=False)
class Voice:
    """Tokens of earlier speech.

    Attributes:
        semantic_prompt: Semantic tokens, int64 (n,).
        coarse_prompt: Codes of the first codebooks, int64 (2, frames).
        fine_prompt: Codes of all codebooks, int64 (8, frames).
        name: Name of the voice, or its file; may be empty.
        provenance: How the voice was generated; None if unknown.

    Raises:
        VoiceError: An array has a wrong type, shape or value.
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
            path: Path of the file.
            name: Name of the voice; None takes the path.

        Raises:
            VoiceError: The file cannot be read or is not a voice.
        """
        return cls.from_file(VoiceFile.read(path), name=name)

    @classmethod
    def from_file(cls, file: VoiceFile, *, name: str | None = None) -> "Voice":
        """The voice in a file that is in memory; otherwise as `load`."""
        return cls.from_arrays(file.arrays(_KEYS), name=str(file.path) if name is None else name)

    @classmethod
    def read(cls, file: BinaryIO, *, name: str) -> "Voice":
        """Read an open .npz file.

        Raises:
            VoiceError: The file cannot be read or is not a voice.
        """
        return cls.from_arrays(read_npz(file, _KEYS, name=name), name=name)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], *, name: str = "") -> "Voice":
        """A voice from its three arrays by key, and its provenance if there is one.

        Raises:
            VoiceError: A key is missing, or an array has a wrong type, shape or value.
        """
        where = f'Voice "{name}"' if name else "Voice"
        if missing := [key for key in _RANKS if key not in arrays]:
            raise VoiceError(f"{where}: {missing[0]} is missing; expected {', '.join(_RANKS)}")
        provenance = None
        for key in (PROVENANCE_KEY, OLD_KEY):
            if key in arrays and provenance is None:
                provenance = VoiceProvenance.from_array(arrays[key], f"{where}: {key}")
        return cls(**{key: arrays[key] for key in _RANKS}, name=name, provenance=provenance)

    def save(self, path: str | Path) -> None:
        """Write the voice to a compressed .npz file with Suno's keys, and its provenance.

        The arrays are int32, which Suno's code and transformers read. An error keeps an old file
        and leaves no part of the new one.

        Raises:
            VoiceError: The file cannot be written.
        """
        path = Path(path)
        arrays: dict[str, Any] = {key: _stored(getattr(self, key)) for key in _RANKS}
        if self.provenance is not None:
            arrays[PROVENANCE_KEY] = self.provenance.to_array()
        os_errors = wrap_os_errors(VoiceError, f"{path}: cannot be written")
        with os_errors, atomic_write(path) as file:
            np.savez_compressed(file, **arrays)

    def check(self, settings: GenerationSettings) -> None:
        """Check that every token of this voice is valid for a checkpoint.

        Raises:
            VoiceError: An array has too few or too many codebooks, or a value out of range.
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


def _stored(tokens: Tokens) -> NDArray[Any]:
    """Tokens with the dtype of files; those of no checkpoint keep theirs."""
    return tokens.astype(_STORED_DTYPE) if tokens.max() <= np.iinfo(_STORED_DTYPE).max else tokens


def is_voice_name(name: str) -> bool:
    """Whether a bundle can have a voice of this name: a word, after at most one folder.

    The path of an .npz file is not such a name.
    """
    if _NAME.fullmatch(name) is None or is_voice_path(name):
        return False
    parts = name.split("/")
    return all(part.strip(".") and len(part.encode()) <= _MAX_NAME_BYTES for part in parts)


def is_voice_path(voice: str) -> bool:
    """Whether a voice is given as the path of its file, not as a name in a bundle."""
    return voice.endswith(".npz")


def _checked(where: str, key: str, array: Any, rank: int) -> Tokens:
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise VoiceError(f"{where}: {key} is ragged, expected an array of integers") from error
    if array.dtype.kind not in "iu":  # numpy counts time differences among the integers
        raise VoiceError(f"{where}: {key} holds {array.dtype}, expected integers")
    if array.ndim != rank or array.size == 0:
        expected = "(n,)" if rank == 1 else "(codebooks, frames)"
        raise VoiceError(
            f"{where}: {key} has shape {array.shape}, expected {expected} with at least one token"
        )
    length, rows = array.shape[-1], array.shape[0] if rank == 2 else 1
    if length > MAX_LENGTH or rows > _MAX_CODEBOOKS:
        what = "tokens" if rank == 1 else "frames"
        raise VoiceError(
            f"{where}: {key} has shape {array.shape}, expected at most {MAX_LENGTH} {what}"
            f"{'' if rank == 1 else f' of {_MAX_CODEBOOKS} codebooks'}; Bark uses only the last "
            "seconds of a voice, cut the rest off"
        )
    if array.min() < 0 or array.max() > np.iinfo(np.int64).max:
        raise VoiceError(
            f"{where}: {key} holds {array.min()}, expected values from 0"
            if array.min() < 0
            else f"{where}: {key} holds {array.max()}, expected values below {2**63}"
        )
    tokens: Tokens = array.astype(np.int64)
    tokens.setflags(write=False)
    return tokens
