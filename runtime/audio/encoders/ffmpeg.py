"""FFmpeg through PyAV: aac, and speech at another speed. Needs the extra [serve]."""

from fractions import Fraction
from typing import Any

import numpy as np

from bark_onnx.runtime.audio.encoders.buffer import AppendOnlyBuffer
from bark_onnx.runtime.audio.files.formats import EMPTY_SOUND_SECONDS, FileFormat
from bark_onnx.runtime.audio.resampling import Samples

_MIN_TEMPO = 0.5  # of one filter; two in a row are slower


class FfmpegEncoder:
    """An encoder of a compressed format; see `Encoder`."""

    def __init__(self, file_format: FileFormat, rate_hz: int, *, streamed: bool) -> None:
        import av

        self._streamed = streamed
        self._buffer = AppendOnlyBuffer()
        output: Any = av.open(self._buffer, "w", format=file_format.container)
        self._output = output
        self._stream = output.add_stream(file_format.encoding, rate=rate_hz)
        self._stream.layout = "mono"
        self._clock = _FrameClock(rate_hz)
        self._rate_hz = rate_hz

    def add(self, samples: Samples) -> bytes:
        """Encode samples; returns the bytes that are ready."""
        if len(samples):
            self._encode(np.clip(samples, -1, 1))
        return self._buffer.take() if self._streamed else b""

    def finish(self) -> bytes:
        """End the sound; returns the remaining bytes."""
        if not self._clock.position:
            self._encode(np.zeros(round(EMPTY_SOUND_SECONDS * self._rate_hz), np.float32))
        self._output.mux(self._stream.encode(None))
        self.close()
        return self._buffer.take()

    def close(self) -> None:
        """Release all resources."""
        # Otherwise file and stream keep each other and FFmpeg's threads until garbage collection.
        self._output.close()

    def _encode(self, samples: Samples) -> None:
        self._output.mux(self._stream.encode(self._clock.frame(samples)))


class TimeStretcher:
    """Makes speech faster or slower at the same pitch.

    Args:
        speed: Factor from 0.25 to 4; 1 changes nothing.
        rate_hz: Sample rate.
    """

    def __init__(self, speed: float, rate_hz: int) -> None:
        self._clock = _FrameClock(rate_hz)
        self._graph = None if speed == 1 else _tempo_graph(speed, rate_hz)

    def add(self, samples: Samples) -> Samples:
        """Stretch samples, float32 (n,); returns those that are ready."""
        if self._graph is None or not len(samples):
            return samples
        self._graph.push(self._clock.frame(samples))
        return self._pull()

    def finish(self) -> Samples:
        """End the sound; returns the remaining samples."""
        if self._graph is None or not self._clock.position:
            return np.zeros(0, np.float32)
        self._graph.push(None)
        return self._pull()

    def close(self) -> None:
        """Release all resources."""
        self._graph = None

    def _pull(self) -> Samples:
        from av.error import BlockingIOError, EOFError  # noqa: A004 (FFmpeg's, not Python's)

        frames = [np.zeros(0, np.float32)]
        while True:
            try:
                frames.append(self._graph.pull().to_ndarray()[0])  # type: ignore[union-attr]
            except (BlockingIOError, EOFError):
                return np.concatenate(frames)


class _FrameClock:
    """Makes frames that follow each other in time."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self.position = 0  # samples so far

    def frame(self, samples: Samples) -> Any:
        import av

        plane = np.ascontiguousarray(samples, np.float32)[None]
        frame = av.AudioFrame.from_ndarray(plane, format="flt", layout="mono")
        frame.sample_rate = self._rate_hz
        frame.time_base = Fraction(1, self._rate_hz)
        frame.pts = self.position
        self.position += len(samples)
        return frame


def _tempo_graph(speed: float, rate_hz: int) -> Any:
    import av.filter

    graph = av.filter.Graph()
    graph.threads = 1  # by default one per core, for little work
    speeds = [speed] if speed >= _MIN_TEMPO else [_MIN_TEMPO, speed / _MIN_TEMPO]
    source = graph.add_abuffer(
        sample_rate=rate_hz, format="flt", layout="mono", time_base=Fraction(1, rate_hz)
    )
    graph.link_nodes(
        source, *(graph.add("atempo", f"{part:.6f}") for part in speeds), graph.add("abuffersink")
    ).configure()
    return graph
