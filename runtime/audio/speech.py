"""What was said: samples, the tokens behind them, and how to keep them."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.errors import AudioError
from bark_onnx.graphs.voices import Tokens, Voice
from bark_onnx.runtime.audio.ogg import fix_serial
from bark_onnx.runtime.audio.recipe import Recipe
from bark_onnx.runtime.audio.tags import add_tags, set_tags

NEVER_EMPTY = {".flac", ".mp3"}  # without samples, libsndfile writes files that nothing opens
FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}


@dataclass(frozen=True, eq=False)
class Speech:
    """One utterance.

    Attributes:
        samples: float32 (n,), in [-1, 1].
        sample_rate_hz: 24000 with Suno's models.
        semantic_tokens: int64 (s,).
        coarse_tokens: int64 (2, frames), codes of the first codebooks.
        fine_tokens: int64 (8, frames), codes of all codebooks.
        text: what was asked for.
        voice_name: whose voice; empty for none.
        seed: gives the same speech again.
        start_seconds: where it begins in a longer text.
        speaker: who says it in a dialogue; empty elsewhere.
        recipe: how it was made, which its file tells; None where that is not known.
    """

    samples: NDArray[np.float32]
    sample_rate_hz: int
    semantic_tokens: Tokens
    coarse_tokens: Tokens
    fine_tokens: Tokens
    text: str
    voice_name: str
    seed: int
    start_seconds: float = 0.0
    speaker: str = ""
    recipe: Recipe | None = None

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.samples) / self.sample_rate_hz

    @property
    def end_seconds(self) -> float:
        """Where it ends in a longer text."""
        return self.start_seconds + self.seconds

    def __repr__(self) -> str:
        return f"Speech({self.text!r}, {self.seconds:.2f} s, seed={self.seed})"

    def save(self, path: str | Path, *, metadata: bool = True) -> None:
        """Write the samples, in the format that the suffix names: wav, flac, ogg or mp3.

        Args:
            path: of the file.
            metadata: the file tells how it was made: `recipe`, text included.

        Raises:
            AudioError: the suffix is unknown or the file cannot be written.
        """
        path = Path(path)
        check_audio_path(path)
        if not len(self.samples) and path.suffix.lower() in NEVER_EMPTY:
            raise AudioError(f"{path}: nothing was said, which only .wav and .ogg can hold")
        import soundfile

        suffix = path.suffix.lower()
        tags = self.recipe.to_tags(suffix) if metadata and self.recipe else None
        partial = path.with_name(f".{path.name}.partial")
        try:
            with soundfile.SoundFile(
                partial, "w", self.sample_rate_hz, channels=1, format=FORMATS[suffix]
            ) as file:
                if tags:
                    set_tags(file, suffix, tags)
                file.write(self.samples)
            if tags:
                add_tags(partial, suffix, tags)
            if suffix == ".ogg":
                fix_serial(partial)
            partial.replace(path)
        except (OSError, soundfile.SoundFileError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise AudioError(f"{path}: cannot be written ({reason})") from error
        finally:
            partial.unlink(missing_ok=True)

    def to_voice(self, name: str = "") -> Voice:
        """This utterance as a voice that another can continue.

        Raises:
            VoiceError: nothing was said.
        """
        return Voice(self.semantic_tokens, self.coarse_tokens, self.fine_tokens, name)


def check_audio_path(path: Path) -> None:
    """Check, before any work is done, that speech can be saved there.

    Raises:
        AudioError: the suffix is unknown, or the folder does not exist or takes no files.
    """
    check_path(path, FORMATS)


def check_path(path: Path, suffixes: Collection[str]) -> None:
    """Check that a file with one of `suffixes` can be made there.

    Raises:
        AudioError: the suffix is another, or the folder does not exist or takes no files.
    """
    if path.suffix.lower() not in suffixes:
        raise AudioError(
            f"{path}: suffix {path.suffix!r} is unknown, expected one of {', '.join(suffixes)}"
        )
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise AudioError(f"{path}: cannot be written ({error.strerror})") from error
    if is_folder:
        raise AudioError(f"{path} is a folder; expected the name of a file")
    if not path.parent.is_dir():
        raise AudioError(f"{path.parent}: no such folder; make it or choose another")
    if not os.access(path.parent, os.W_OK):
        raise AudioError(f"{path.parent}: may not be written to; choose another folder")
