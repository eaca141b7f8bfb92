"""Samples to the bytes of a sound file or stream, as they come, at another speed if asked for.

Compressed formats are FFmpeg's work, through PyAV; pcm and wav are the samples themselves.
"""

import io
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np

from bark_onnx.runtime.audio.encoders.pcm import Encoder, PcmEncoder
from bark_onnx.runtime.audio.resampling import Samples

ResponseFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
FORMATS: tuple[ResponseFormat, ...] = get_args(ResponseFormat)
MEDIA_TYPES = {name: f"audio/{name}" for name in FORMATS} | {"mp3": "audio/mpeg"}
SIZED_FORMATS = frozenset({"wav", "flac"})  # their header says how long the audio is

_CONTAINERS = {
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "aac": ("adts", "aac"),
    "flac": ("flac", "flac"),
}
_NEVER_EMPTY_HZ = 10  # 1 over the seconds of silence that stand for nothing said
_SLOWEST_TEMPO = 0.5  # of one filter; two of them in a row are slower still


def open_encoder(name: ResponseFormat, rate_hz: int, *, streams: bool) -> Encoder:
    """An encoder of one utterance.

    Args:
        name: of the format.
        rate_hz: of the samples.
        streams: give bytes as soon as they are known. Otherwise all come from `finish`, and a
            header that states the length is right.
    """
    if name in _CONTAINERS:
        return _ContainerEncoder(*_CONTAINERS[name], rate_hz, streams=streams)
    return PcmEncoder(rate_hz, has_header=name == "wav", streams=streams)


class TimeStretcher:
    """Speaks faster or slower at the same pitch.

    Args:
        speed: 0.25 to 4; 1 changes nothing.
        rate_hz: of the samples.
    """

    def __init__(self, speed: float, rate_hz: int) -> None:
        self._clock = _FrameClock(rate_hz)
        self._graph = None if speed == 1 else _tempo_graph(speed, rate_hz)

    def add(self, samples: Samples) -> Samples:
        """The samples that are ready after these."""
        if self._graph is None or not len(samples):
            return samples
        self._graph.push(self._clock.frame(samples))
        return self._pull()

    def finish(self) -> Samples:
        """The samples that are left."""
        if self._graph is None or not self._clock.position:
            return np.zeros(0, np.float32)
        self._graph.push(None)
        return self._pull()

    def close(self) -> None:
        """Free what it holds."""
        self._graph = None

    def _pull(self) -> Samples:
        from av.error import BlockingIOError, EOFError  # noqa: A004 (FFmpeg's, not Python's)

        frames = [np.zeros(0, np.float32)]
        while True:
            try:
                frames.append(self._graph.pull().to_ndarray()[0])  # type: ignore[union-attr]
            except (BlockingIOError, EOFError):
                return np.concatenate(frames)


class _ContainerEncoder:
    """A format of FFmpeg's."""

    def __init__(self, container: str, codec: str, rate_hz: int, *, streams: bool) -> None:
        import av

        self._file: Any = _Pipe() if streams else io.BytesIO()
        self._streams = streams
        output: Any = av.open(self._file, "w", format=container)
        self._output = output
        self._track: Any = self._output.add_stream(codec, rate=rate_hz)
        self._track.layout = "mono"
        self._clock = _FrameClock(rate_hz)
        self._rate_hz = rate_hz

    def add(self, samples: Samples) -> bytes:
        if len(samples):
            self._encode(np.clip(samples, -1, 1))
        return self._file.take() if self._streams else b""

    def finish(self) -> bytes:
        if not self._clock.position:  # a file without sound is one that no player opens
            self._encode(np.zeros(self._rate_hz // _NEVER_EMPTY_HZ, np.float32))
        self._output.mux(self._track.encode(None))
        self.close()
        return self._file.take() if self._streams else bytes(self._file.getvalue())

    def close(self) -> None:
        # Left alone, the two keep each other and FFmpeg's threads until garbage is collected.
        self._output.close()

    def _encode(self, samples: Samples) -> None:
        self._output.mux(self._track.encode(self._clock.frame(samples)))


class _Pipe:
    """A file that can only be written to, so that no encoder goes back to change its header."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken


class _FrameClock:
    """Frames that follow each other."""

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
    graph.threads = 1  # not one per core, for so little
    speeds = [speed] if speed >= _SLOWEST_TEMPO else [_SLOWEST_TEMPO, speed / _SLOWEST_TEMPO]
    source = graph.add_abuffer(
        sample_rate=rate_hz, format="flt", layout="mono", time_base=Fraction(1, rate_hz)
    )
    graph.link_nodes(
        source, *(graph.add("atempo", f"{part:.6f}") for part in speeds), graph.add("abuffersink")
    ).configure()
    return graph
