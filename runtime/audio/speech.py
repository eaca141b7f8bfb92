"""Generated speech: samples, and the tokens behind them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.voices.provenance import VoiceProvenance, software_version
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.audio.files.sound_file import check_audio_path, open_sound_file
from bark_onnx.runtime.audio.resampling import resample
from bark_onnx.runtime.provenance.provenance import Provenance


@dataclass(frozen=True, eq=False)
class Speech:
    """Speech generated for a text or a segment.

    Attributes:
        samples: Audio, float32 (n,). Full scale is 1; as with transformers, loud samples may go
            beyond, and are clipped in files.
        sample_rate_hz: Sample rate; 24000 with Suno's models.
        semantic_tokens: Semantic tokens, int64 (s,).
        coarse_tokens: Codes of the first codebooks, int64 (2, frames).
        fine_tokens: Codes of all codebooks, int64 (8, frames).
        text: Text of the request or segment.
        voice_name: Name of the voice; empty without one.
        seed: Seed, which reproduces the speech.
        start_seconds: Start in a long text.
        speaker: Speaker in a dialogue; otherwise empty.
        provenance: How the speech was generated, as stored in files; None if unknown.
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
        """End in a long text."""
        return self.start_seconds + self.seconds

    def __repr__(self) -> str:
        return f"Speech({self.text!r}, {self.seconds:.2f} s, seed={self.seed})"

    def save(self, path: str | Path, *, metadata: bool = True) -> None:
        """Write the samples to a file.

        Args:
            path: Path of the file; its suffix is wav, flac, ogg, mp3 or opus.
            metadata: Whether the file stores `provenance`, text included.

        Raises:
            AudioError: The suffix is unknown, the format does not support the sample rate, or the
                file cannot be written.
        """
        path = Path(path)
        file_format = check_audio_path(path, sample_rate_hz=self.sample_rate_hz)
        with open_sound_file(path, file_format, self.sample_rate_hz) as file:
            file.set_provenance(self.provenance if metadata else None)
            file.write(self.samples)
            file.commit()

    def resample(self, sample_rate_hz: int) -> "Speech":
        """The same speech at another sample rate, from 8000 to 192000 Hz, with the same tokens.

        Raises:
            AudioError: The rate is out of range.
        """
        samples = resample(self.samples, self.sample_rate_hz, sample_rate_hz)
        return dataclasses.replace(self, samples=samples, sample_rate_hz=sample_rate_hz)

    def to_voice(self, name: str = "") -> Voice:
        """The speech as a voice that other speech can continue, with its provenance.

        Raises:
            VoiceError: The speech is empty.
        """
        is_file = self.voice_name.endswith(".npz")
        provenance = VoiceProvenance(
            text=self.text,
            seed=int(self.seed),
            software=software_version(),
            checkpoint=self.provenance.bundle.source if self.provenance else "",
            # Without folders: voices are shared.
            voice=Path(self.voice_name).name if is_file else self.voice_name,
        )
        tokens = (self.semantic_tokens, self.coarse_tokens, self.fine_tokens)
        return Voice(*tokens, name=name, provenance=provenance)
