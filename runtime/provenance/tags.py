"""Tags of sound files: title, artist, software and a comment, the same in every format.

libsndfile writes and reads them in flac, ogg and opus. It truncates long ones in wav, and writes
UTF-8 as Latin-1 in mp3, so those two are written here, after the samples.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from bark_onnx.graphs.errors import AudioError
from bark_onnx.graphs.files.atomic_write import write_all
from bark_onnx.runtime.provenance.provenance import Provenance
from bark_onnx.runtime.text.terminal import excerpt

# Of a comment. libsndfile puts all tags of an opus file on one page.
_MAX_BYTES_BY_FORMAT = {"opus": 60_000}
_MAX_BYTES = 8_000_000
_MAX_TITLE_CHARACTERS = 80

_CHUNK = struct.Struct("<4sI")
_MAX_RIFF_BYTES = 0xFFFFFFFF
_RIFF_HEADER_BYTES = _CHUNK.size + 4  # RIFF, length, WAVE
_INFO_NAMES = {"title": b"INAM", "artist": b"IART", "software": b"ISFT", "comment": b"ICMT"}
_ID3_NAMES = {"title": b"TIT2", "artist": b"TPE1", "software": b"TSSE", "comment": b"COMM"}
_UTF_8 = b"\3"  # ID3's code of the encoding
_LANGUAGE = b"und"
_NOT_BY_LIBSNDFILE = {"wav", "mp3", "raw"}


@dataclass(frozen=True)
class Tags:
    """Tags of a file; empty ones are not written."""

    title: str
    artist: str
    software: str
    comment: str


def to_tags(provenance: Provenance, audio_format: str, sample_rate_hz: int) -> Tags:
    """Tags that store provenance; a text that is too long for the format is replaced.

    Args:
        provenance: Provenance of the sound.
        audio_format: Name of the file's format.
        sample_rate_hz: Sample rate of the file.
    """
    is_converted = sample_rate_hz != provenance.bundle.sample_rate_hz
    stored = replace(provenance, sample_rate_hz=sample_rate_hz if is_converted else None)
    comment = stored.to_json()
    if len(comment.encode()) > _MAX_BYTES_BY_FORMAT.get(audio_format, _MAX_BYTES):
        comment = stored.without_text().to_json()
    voices = (provenance.voice, *provenance.speakers.values())
    artists = dict.fromkeys(voice.name for voice in voices if voice and voice.name)
    title = excerpt(provenance.text or "", _MAX_TITLE_CHARACTERS)
    return Tags(title, ", ".join(artists), provenance.software, comment)


def set_tags(sound: Any, audio_format: str, tags: Tags) -> None:
    """Set the tags of an open `soundfile.SoundFile` before its first sample."""
    if audio_format not in _NOT_BY_LIBSNDFILE:
        for name, value in _items(tags):
            setattr(sound, name, value)


def add_tags(file: FileIO, audio_format: str, tags: Tags | None) -> None:
    """Add the tags that `set_tags` cannot set to an open file that is otherwise complete.

    Samples without a header (raw) cannot have tags. An error leaves the file without them.

    Raises:
        OSError: The file cannot be written.
    """
    if tags and audio_format == "wav":
        _add_info(file, tags)
    elif tags and audio_format == "mp3":
        _add_id3(file, tags)


def read_tags(path: Path) -> Tags:
    """The tags of a sound file.

    Raises:
        AudioError: The file is missing, damaged, or of another kind.
    """
    import soundfile

    try:
        with path.open("rb") as file:
            info = dict(_read_info(file))
        with soundfile.SoundFile(path) as sound:
            found = {field.name: getattr(sound, field.name) for field in fields(Tags)}
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such file; expected a sound file") from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror})") from error
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise AudioError(f"{path}: not a sound file, or damaged ({reason})") from error
    return Tags(**(found | info))


def _items(tags: Tags) -> Iterator[tuple[str, str]]:
    for field in fields(tags):
        if value := getattr(tags, field.name):
            yield field.name, value


# wav: a LIST chunk of type INFO, in UTF-8 as in most programs, with zero-terminated strings. It
# follows the samples, so that it needs no room reserved.


def _add_info(file: FileIO, tags: Tags) -> None:
    strings = (
        _chunk(_INFO_NAMES[name], value.encode().replace(b"\0", b"") + b"\0")
        for name, value in _items(tags)
    )
    added = _chunk(b"LIST", b"INFO" + b"".join(strings))
    size = file.seek(0, 2)
    riff_bytes = size + (size & 1) + len(added) - _CHUNK.size
    if riff_bytes > _MAX_RIFF_BYTES:
        return  # a day of sound, whose length the header cannot hold
    try:
        write_all(file, b"\0" * (size & 1) + added)
    except OSError:
        file.truncate(size)
        raise
    file.seek(4)
    write_all(file, struct.pack("<I", riff_bytes))


def _chunk(name: bytes, body: bytes) -> bytes:
    return _CHUNK.pack(name, len(body)) + body + b"\0" * (len(body) & 1)


def _read_info(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """Tags of a wav file; none of other files."""
    header = file.read(_RIFF_HEADER_BYTES)
    if header[:4] != b"RIFF" or header[8:] != b"WAVE":
        return
    for name, size in _walk(file):
        if name == b"LIST" and size < 2 * _MAX_BYTES:
            yield from _read_list(file.read(size))


def _walk(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Names and sizes of the following chunks, each with the file positioned at its body."""
    while len(header := file.read(_CHUNK.size)) == _CHUNK.size:
        name, size = _CHUNK.unpack(header)
        start = file.tell()
        yield name, size
        file.seek(start + size + (size & 1))


def _read_list(body: bytes) -> Iterator[tuple[str, str]]:
    names = {code: name for name, code in _INFO_NAMES.items()}
    at = 4
    while body[:4] == b"INFO" and at + _CHUNK.size <= len(body):
        code, size = _CHUNK.unpack_from(body, at)
        value = body[at + _CHUNK.size :][:size]
        if code in names:
            yield names[code], value.rstrip(b"\0").decode(errors="replace")
        at += _CHUNK.size + size + (size & 1)


# mp3: an ID3 tag of version 2.4, the first with UTF-8, before the samples.


def _add_id3(file: FileIO, tags: Tags) -> None:
    frames = b"".join(_id3_frame(name, value) for name, value in _items(tags))
    header = b"ID3\4\0\0" + _seven_bits(len(frames))
    file.seek(0)
    sound = file.readall()
    file.seek(0)
    try:
        write_all(file, header + frames + sound)
    except OSError:  # there was room for the sound alone
        file.seek(0)
        write_all(file, sound)
        file.truncate(len(sound))
        raise


def _id3_frame(name: str, value: str) -> bytes:
    description = _LANGUAGE + b"\0" if name == "comment" else b""  # empty, zero-terminated
    body = _UTF_8 + description + value.encode()
    return _ID3_NAMES[name] + _seven_bits(len(body)) + b"\0\0" + body


def _seven_bits(number: int) -> bytes:
    """A size in ID3: seven bits of each byte, so that none looks like a frame of sound."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
