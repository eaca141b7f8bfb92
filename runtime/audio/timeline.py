"""Speeches placed in time, as one array of samples."""

import numpy as np

from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.resampling import Resampler, Samples
from bark_onnx.runtime.audio.speech import Speech


class SpeechTimeline:
    """Places each speech at its start, after silence, and converts all to one sample rate.

    Args:
        sample_rate_hz: Sample rate of the output.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._speech_rate_hz = 0  # of the speeches; 0 before the first
        self._resampler: Resampler | None = None
        self._position = 0  # samples so far, at the speeches' rate

    @property
    def seconds(self) -> float:
        """Length so far, silence included."""
        return self._position / self._speech_rate_hz if self._position else 0.0

    def add(self, speech: Speech) -> Samples:
        """Append a speech; returns the samples that are ready, float32 (n,).

        Raises:
            AudioError: The sample rate differs from that of the previous speech.
        """
        if self._resampler is None:
            self._speech_rate_hz = speech.sample_rate_hz
            self._resampler = Resampler(speech.sample_rate_hz, self._rate_hz)
        if speech.sample_rate_hz != self._speech_rate_hz:
            raise AudioError(
                f"A speech has {speech.sample_rate_hz} Hz after one of {self._speech_rate_hz} Hz; "
                "expected the same, see Speech.resample"
            )
        start = round(speech.start_seconds * speech.sample_rate_hz)
        silence = np.zeros(max(0, start - self._position), np.float32)
        self._position += len(silence) + len(speech.samples)
        return self._resampler.add(np.concatenate([silence, speech.samples]))

    def finish(self) -> Samples:
        """End the timeline; returns the remaining samples."""
        return np.zeros(0, np.float32) if self._resampler is None else self._resampler.finish()
