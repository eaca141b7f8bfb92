"""The bytes of one sound, made in other threads: a piece takes up to 0.1 s to encode."""

import asyncio
import threading

from bark_onnx.runtime.audio.encoders.encoder import open_encoder
from bark_onnx.runtime.audio.encoders.ffmpeg import TimeStretcher
from bark_onnx.runtime.audio.files.formats import RESPONSE_FORMATS, ResponseFormat
from bark_onnx.runtime.audio.resampling import Samples


class Sound:
    """Takes samples in order, gives bytes.

    Args:
        name: of the format.
        rate_hz: of the samples.
        speed: 0.25 to 4; 1 changes nothing.
        streams: give bytes as soon as they are known, not all at the end.
    """

    def __init__(self, name: ResponseFormat, rate_hz: int, *, speed: float, streams: bool) -> None:
        self.seconds = 0.0  # of audio so far, at that speed
        self._rate_hz = rate_hz
        self._tempo = TimeStretcher(speed, rate_hz)
        self._encoder = open_encoder(RESPONSE_FORMATS[name], rate_hz, streamed=streams)
        self._at_work = threading.Lock()  # a thread goes on when its request is cancelled
        self._is_closed = False

    async def add(self, samples: Samples) -> bytes:
        """Bytes that are ready after these samples, float32 (n,) with full scale at 1."""
        return await asyncio.to_thread(self._add, samples)

    async def finish(self) -> bytes:
        """The bytes that are left."""
        return await asyncio.to_thread(self._finish)

    async def aclose(self) -> None:
        """Free what it holds, as soon as no thread is at work on it."""
        asyncio.get_running_loop().run_in_executor(None, self._close)

    def _add(self, samples: Samples) -> bytes:
        with self._at_work:
            return b"" if self._is_closed else self._encode(self._tempo.add(samples))

    def _finish(self) -> bytes:
        with self._at_work:
            if self._is_closed:
                return b""
            return self._encode(self._tempo.finish()) + self._encoder.finish()

    def _close(self) -> None:
        with self._at_work:
            self._is_closed = True
            self._tempo.close()
            self._encoder.close()

    def _encode(self, samples: Samples) -> bytes:
        self.seconds += len(samples) / self._rate_hz
        return self._encoder.add(samples)
