"""A sound that goes through a pipe, piece by piece as it is spoken."""

import io
from types import TracebackType
from typing import BinaryIO, Self

from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.encoders.ogg import read_page
from bark_onnx.runtime.audio.encoders.pcm import Encoder, PcmEncoder
from bark_onnx.runtime.audio.files.formats import FileFormat, check_format, open_for_writing
from bark_onnx.runtime.audio.resampling import Samples
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timeline import SpeechTimeline

_MPEG_HEADER_BYTES = 4
_EMPTY_BYTES = 64  # zeros behind a header that no frame with sound begins with
# Readers of a stream take the bit rate of the first frame for that of all, so it must not vary.
_STEADY = {"MP3": {"bitrate_mode": "CONSTANT", "compression_level": 0.6}}  # 64 kbit/s at 24 kHz


class SpeechStream:
    """Speeches written to an open binary file that cannot go back, in a `with` block.

    Every speech is flushed as it is written. What goes through before an error or an interrupt can
    be played. The file stays open.

    Args:
        file: takes the bytes.
        sample_rate_hz: of the sound; speeches of another rate are converted.
        audio_format: of the sound.

    Raises:
        AudioError: libsndfile cannot write the format at that rate.
    """

    def __init__(self, file: BinaryIO, sample_rate_hz: int, audio_format: FileFormat) -> None:
        check_format(audio_format, sample_rate_hz)
        self._file = file
        self._track = SpeechTimeline(sample_rate_hz)
        self._encoder = _open_encoder(audio_format, sample_rate_hz)

    @property
    def seconds(self) -> float:
        """What was written so far."""
        return self._track.seconds

    def __enter__(self) -> Self:
        return self

    def write(self, speech: Speech) -> None:
        """Send a speech, after silence up to where it begins.

        Raises:
            BrokenPipeError: nobody reads any more.
            AudioError: the file takes no more, as on a full disk.
        """
        self._send(self._encoder.add(self._track.add(speech)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._send(self._encoder.add(self._track.finish()) + self._encoder.finish())
        self._encoder.close()

    def _send(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            name = getattr(self._file, "name", "stream")
            raise AudioError(f"{name}: cannot be written ({error.strerror})") from error


def _open_encoder(audio_format: FileFormat, rate_hz: int) -> Encoder:
    if audio_format.encoding == "PCM_16" and audio_format.container in ("WAV", "RAW"):
        return PcmEncoder(rate_hz, has_header=audio_format.container == "WAV", streams=True)
    return _LibsndfileEncoder(audio_format, rate_hz)


class _LibsndfileEncoder:
    """A compressed format that never goes back to what was sent.

    The length in a FLAC header stays unknown, as the format allows. In front of mp3, libsndfile
    keeps room for the length in an empty frame, which is left out.
    """

    def __init__(self, audio_format: FileFormat, rate_hz: int) -> None:
        self._format = audio_format
        self._pipe = _Pipe()
        self._file = open_for_writing(
            self._pipe, audio_format, rate_hz, **_STEADY.get(audio_format.container, {})
        )
        self._has_begun = False

    def add(self, samples: Samples) -> bytes:
        self._file.write(samples)
        return self._take()

    def finish(self) -> bytes:
        self.close()
        return self._take()

    def close(self) -> None:
        self._file.close()

    def _take(self) -> bytes:
        data = self._pipe.take()
        if self._format.container == "OGG":
            pages = io.BytesIO(data)
            return b"".join(iter(lambda: read_page(pages), b""))
        if self._format.container == "MP3" and data and not self._has_begun:
            self._has_begun = True
            return _without_empty_frame(data)
        return data


def _without_empty_frame(data: bytes) -> bytes:
    """Mp3 without a first frame of zeros."""
    behind = data[_MPEG_HEADER_BYTES:]
    rest = behind.lstrip(b"\0")
    return rest if len(behind) - len(rest) >= _EMPTY_BYTES else data


class _Pipe:
    """A file that libsndfile may go back in, but what it writes there is not sent again."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._sent = 0  # bytes taken so far
        self._position = 0

    def write(self, data: bytes) -> int:
        if self._position == self._sent + len(self._held):
            self._held += data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._position,
            io.SEEK_END: self._sent + len(self._held),
        }
        self._position = starts[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        self._sent += len(taken)
        return taken
