"""Speech written to a pipe as it is generated."""

from types import TracebackType
from typing import BinaryIO, Self

from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.encoders.encoder import open_encoder
from bark_onnx.runtime.audio.files.formats import FileFormat
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timeline import SpeechTimeline


class SpeechStream:
    """Writes speeches to an open binary file that cannot seek, in a `with` block.

    Every speech is flushed. What is written before an error or an interrupt can be played. The file
    stays open.

    Args:
        file: Open binary file.
        sample_rate_hz: Sample rate of the stream, to which speeches are converted.
        file_format: Format of the stream.

    Raises:
        AudioError: The format does not support the rate, or cannot be written.
    """

    def __init__(self, file: BinaryIO, sample_rate_hz: int, file_format: FileFormat) -> None:
        self._file = file
        self._timeline = SpeechTimeline(sample_rate_hz)
        self._encoder = open_encoder(file_format, sample_rate_hz, streamed=True)

    def __enter__(self) -> Self:
        return self

    def write(self, speech: Speech) -> None:
        """Append a speech, after silence up to its start.

        Raises:
            BrokenPipeError: The reader closed the pipe.
            AudioError: The file cannot be written, as on a full disk.
        """
        self._send(self._encoder.add(self._timeline.add(speech)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._send(self._encoder.add(self._timeline.finish()) + self._encoder.finish())
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
