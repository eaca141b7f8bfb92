"""Encoding by libsndfile: every format of sound files, and the compressed ones of streams."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from typing import Any

import numpy as np

from bark_onnx.runtime.audio.encoders.buffer import AppendOnlyBuffer
from bark_onnx.runtime.audio.encoders.ogg import fix_pages
from bark_onnx.runtime.audio.files.formats import EMPTY_SOUND_SECONDS, FileFormat
from bark_onnx.runtime.audio.resampling import Samples

# Settings by encoding. Readers of an mp3 stream take the bit rate of the first frame for that of
# all, so it must not vary. At opus' default of about 40 kbit/s, tones overshoot by up to 8 dB.
_SETTINGS: dict[str, dict[str, Any]] = {
    "MPEG_LAYER_III": {"bitrate_mode": "CONSTANT", "compression_level": 0.6},  # 64 kbit/s at 24 kHz
    "OPUS": {"compression_level": 0.768},  # 64 kbit/s
}
_LAME_GAIN = np.float32(0.95)  # of every constant bit rate up to 160 kbit/s
_VORBIS_BLOCK_SAMPLES = 1024
_BLOCK_SAMPLES = 1 << 16  # read at once

_STDERR_FD = 2

_MPEG_HEADER_BYTES = 4
_EMPTY_FRAME_BYTES = 64  # zeros behind a header; no frame with sound begins with as many


class SampleWriter:
    """A sound file in which libsndfile writes mono samples.

    The bytes of Vorbis depend on the sizes of the writes, which are therefore the same for all.

    Args:
        file: Path, or a seekable binary file.
        file_format: Format of the file.
        sample_rate_hz: Rate of the samples.
    """

    def __init__(self, file: Any, file_format: FileFormat, sample_rate_hz: int) -> None:
        import soundfile

        self.file = soundfile.SoundFile(
            file,
            "w",
            sample_rate_hz,
            channels=1,
            subtype=file_format.encoding,
            endian=file_format.byte_order,
            format=file_format.container,
            **_SETTINGS.get(file_format.encoding, {}),
        )
        self._is_vorbis = file_format.encoding == "VORBIS"
        self._is_mp3 = file_format.container == "MP3"
        self._held = np.zeros(0, np.float32)

    def write(self, samples: Samples) -> None:
        """Append samples, float32 (n,)."""
        if not self._is_vorbis:
            self.file.write(samples / _LAME_GAIN if self._is_mp3 else samples)
            return
        samples = np.concatenate([self._held, samples])
        ends = range(_VORBIS_BLOCK_SAMPLES, len(samples) + 1, _VORBIS_BLOCK_SAMPLES)
        *blocks, self._held = np.split(samples, ends)
        for block in blocks:
            self.file.write(block)

    def finish(self) -> None:
        """Write the rest and close the file."""
        if len(self._held):
            self.file.write(self._held)
        self.file.close()

    def close(self) -> None:
        """Close the file as it is."""
        self.file.close()


def count_samples(file: FileIO, file_format: FileFormat, sample_rate_hz: int) -> int:
    """Number of samples in an open file, whatever its header states."""
    import soundfile

    count = 0
    options: dict[str, Any] = {}
    if file_format.container == "RAW":
        options = {"format": "RAW", "subtype": file_format.encoding, "channels": 1}
        options |= {"samplerate": sample_rate_hz, "endian": file_format.byte_order}
    file.seek(0)
    damaged = suppress(soundfile.SoundFileError)  # the last ones are
    with damaged, _quiet_libraries(), soundfile.SoundFile(file, **options) as sound:
        while block := len(sound.read(_BLOCK_SAMPLES)):
            count += block
    return count


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Discard standard error: libmpg123 writes to it what it finds in a file that is cut off."""
    sys.stderr.flush()
    kept = os.dup(_STDERR_FD)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _STDERR_FD)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR_FD)
        os.close(kept)


class LibsndfileEncoder:
    """An encoder of a compressed format; see `Encoder`.

    In a stream, the length in a flac header stays open, as the format allows, and mp3 begins
    without the frame that would hold the length.
    """

    def __init__(self, file_format: FileFormat, rate_hz: int, *, streamed: bool) -> None:
        self._format = file_format
        self._rate_hz = rate_hz
        self._buffer: AppendOnlyBuffer | io.BytesIO = (
            AppendOnlyBuffer() if streamed else io.BytesIO()
        )
        self._writer = SampleWriter(self._buffer, file_format, rate_hz)
        self._is_empty = True  # no samples yet
        self._has_begun = False  # bytes were returned

    def add(self, samples: Samples) -> bytes:
        """Encode samples; returns the bytes that are ready."""
        self._is_empty = self._is_empty and not len(samples)
        self._writer.write(samples)
        return self._take() if isinstance(self._buffer, AppendOnlyBuffer) else b""

    def finish(self) -> bytes:
        """End the sound; returns the remaining bytes."""
        if self._is_empty and not self._format.can_be_empty:
            self._writer.write(np.zeros(round(EMPTY_SOUND_SECONDS * self._rate_hz), np.float32))
        self._writer.finish()
        return self._take()

    def close(self) -> None:
        """Release all resources."""
        self._writer.close()

    def _take(self) -> bytes:
        if isinstance(self._buffer, io.BytesIO):
            data = self._buffer.getvalue()
        else:
            data = self._buffer.take()
            if self._format.container == "MP3" and data and not self._has_begun:
                data = _without_empty_frame(data)
        self._has_begun = self._has_begun or bool(data)
        return fix_pages(data) if self._format.container == "OGG" else data


def _without_empty_frame(data: bytes) -> bytes:
    """Mp3 without a first frame of zeros, which libsndfile reserves for the length."""
    body = data[_MPEG_HEADER_BYTES:]
    rest = body.lstrip(b"\0")
    return rest if len(body) - len(rest) >= _EMPTY_FRAME_BYTES else data
