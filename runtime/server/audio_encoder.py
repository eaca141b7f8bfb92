"""Encodes the audio of one response in worker threads: a segment takes up to 0.1 s.

Encoders are opened there, too: the event loop waits for no library, and allocates no memory of one.
"""

import asyncio
import threading

from bark_onnx.runtime.audio.encoders.encoder import Encoder, open_encoder
from bark_onnx.runtime.audio.encoders.ffmpeg import TimeStretcher
from bark_onnx.runtime.audio.files.formats import RESPONSE_FORMATS, ResponseFormat
from bark_onnx.runtime.audio.resampling import Samples


class AsyncEncoder:
    """Stretches and encodes samples in order.

    Args:
        response_format: Format of the bytes.
        rate_hz: Sample rate of the samples.
        speed: Factor from 0.25 to 4, at the same pitch.
        streamed: Whether bytes are returned as soon as they are known, not all by `finish`.

    Attributes:
        seconds: Duration of the encoded audio so far, after stretching.
    """

    def __init__(
        self, response_format: ResponseFormat, rate_hz: int, *, speed: float, streamed: bool
    ) -> None:
        self.seconds = 0.0
        self._format = RESPONSE_FORMATS[response_format]
        self._rate_hz = rate_hz
        self._speed = speed
        self._streamed = streamed
        self._opened: tuple[TimeStretcher, Encoder] | None = None
        self._lock = threading.Lock()  # a thread outlives the cancellation of its request
        self._is_closed = False

    async def add(self, samples: Samples) -> bytes:
        """Encode samples, float32 (n,) with full scale at 1; returns the bytes that are ready."""
        return await asyncio.to_thread(self._add, samples)

    async def finish(self) -> bytes:
        """Flush the encoder; returns the remaining bytes."""
        return await asyncio.to_thread(self._finish)

    async def aclose(self) -> None:
        """Release the encoder, without waiting for a thread that uses it."""
        asyncio.get_running_loop().run_in_executor(None, self._close)

    def _add(self, samples: Samples) -> bytes:
        with self._lock:
            if self._is_closed:
                return b""
            stretcher, encoder = self._open()
            return self._encode(encoder, stretcher.add(samples))

    def _finish(self) -> bytes:
        with self._lock:
            if self._is_closed:
                return b""
            stretcher, encoder = self._open()
            return self._encode(encoder, stretcher.finish()) + encoder.finish()

    def _close(self) -> None:
        with self._lock:
            self._is_closed = True
            for each in self._opened or ():
                each.close()

    def _open(self) -> tuple[TimeStretcher, Encoder]:
        if self._opened is None:
            self._opened = (
                TimeStretcher(self._speed, self._rate_hz),
                open_encoder(self._format, self._rate_hz, streamed=self._streamed),
            )
        return self._opened

    def _encode(self, encoder: Encoder, samples: Samples) -> bytes:
        self.seconds += len(samples) / self._rate_hz
        return encoder.add(samples)
