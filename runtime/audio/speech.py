"""What was said: samples, the tokens behind them, and how to keep them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.voices.provenance import VoiceProvenance, software_version
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.audio.files.sound_file import AtomicSoundFile, check_audio_path
from bark_onnx.runtime.audio.resampling import resample
from bark_onnx.runtime.provenance.provenance import Provenance


@dataclass(frozen=True, eq=False)
class Speech:
    """One utterance.

    Attributes:
        samples: float32 (n,). Full scale is 1; like those of transformers, loud ones may go beyond,
            and a file cuts them there.
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
    provenance: Provenance | None = None

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
        """Write the samples, in the format that the suffix names: wav, flac, ogg, mp3 or opus.

        Args:
            path: of the file.
            metadata: the file tells how it was made: `provenance`, text included.

        Raises:
            AudioError: the suffix is unknown, the format does not know the sample rate, or the
                file cannot be written.
        """
        path = Path(path)
        audio_format = check_audio_path(path, sample_rate_hz=self.sample_rate_hz)
        with AtomicSoundFile(path, audio_format, self.sample_rate_hz) as file:
            if metadata and self.provenance is not None:
                file.set_tags(self.provenance.to_tags(audio_format.name, self.sample_rate_hz))
            file.write(self.samples)
            file.commit()

    def resample(self, sample_rate_hz: int) -> "Speech":
        """The same speech at another sample rate, from 8000 to 192000 Hz; its tokens stay.

        Raises:
            AudioError: the rate is out of range.
        """
        samples = resample(self.samples, self.sample_rate_hz, sample_rate_hz)
        return dataclasses.replace(self, samples=samples, sample_rate_hz=sample_rate_hz)

    def to_voice(self, name: str = "") -> Voice:
        """This utterance as a voice that another can continue, and how it came about.

        Raises:
            VoiceError: nothing was said.
        """
        is_file = self.voice_name.endswith(".npz")
        provenance = VoiceProvenance(
            text=self.text,
            seed=int(self.seed),
            software=software_version(),
            checkpoint=self.provenance.bundle.source if self.provenance else "",
            # A file's folders are nobody's business: voices are given away.
            voice=Path(self.voice_name).name if is_file else self.voice_name,
        )
        tokens = (self.semantic_tokens, self.coarse_tokens, self.fine_tokens)
        return Voice(*tokens, name=name, provenance=provenance)
