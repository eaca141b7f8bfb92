"""Speeches, one after the other, as one row of samples."""

import numpy as np

from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.resampling import Resampler, Samples
from bark_onnx.runtime.audio.speech import Speech


class SpeechTimeline:
    """Puts each speech where it begins, after silence, and converts all to one sample rate.

    Args:
        sample_rate_hz: of the row.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._speech_rate_hz = 0  # of what comes; 0 before anything has
        self._resampler: Resampler | None = None
        self._position = 0  # samples at the speeches' own rate, so far

    @property
    def seconds(self) -> float:
        """What was added so far, silence included."""
        return self._position / self._speech_rate_hz if self._position else 0.0

    def add(self, speech: Speech) -> Samples:
        """The samples that are certain after this speech, float32 (n,).

        Raises:
            AudioError: it has another sample rate than the one before.
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
        """The samples that are left when no more speeches come."""
        return np.zeros(0, np.float32) if self._resampler is None else self._resampler.finish()
