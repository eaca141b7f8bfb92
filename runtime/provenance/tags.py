"""What a sound file says of itself: title, artist, software and a comment, in every format alike.

libsndfile writes and reads them in flac, ogg and opus. It loses long ones in wav, and takes UTF-8
for Latin-1 when it writes mp3, so those two are written here, after the samples.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

from bark_onnx.graphs.errors import AudioError

# What a file can hold of a comment. libsndfile puts all of an opus file's strings on one page.
MOST_BYTES = {"opus": 60_000}
MOST_BYTES_ELSEWHERE = 8_000_000

_CHUNK = struct.Struct("<4sI")
_LONGEST_RIFF = 0xFFFFFFFF
_RIFF_BYTES = _CHUNK.size + 4  # RIFF, length, WAVE
_INFO_NAMES = {"title": b"INAM", "artist": b"IART", "software": b"ISFT", "comment": b"ICMT"}
_ID3_NAMES = {"title": b"TIT2", "artist": b"TPE1", "software": b"TSSE", "comment": b"COMM"}
_UTF_8 = b"\3"  # as ID3 says it
_LANGUAGE = b"und"
_NOT_BY_LIBSNDFILE = {"wav", "mp3", "raw"}


@dataclass(frozen=True)
class Tags:
    """What a file says of itself; an empty one is left out."""

    title: str
    artist: str
    software: str
    comment: str


def set_tags(sound: Any, audio_format: str, tags: Tags | None) -> None:
    """Set the tags of an open `soundfile.SoundFile`, if any, before its first sample."""
    if tags and audio_format not in _NOT_BY_LIBSNDFILE:
        for name, value in _items(tags):
            setattr(sound, name, value)


def add_tags(path: Path, audio_format: str, tags: Tags | None) -> None:
    """Add the tags that `set_tags` could not set, if any, to a file that is otherwise done.

    Samples without a header (raw) have no place for any.

    Raises:
        OSError: the file cannot be written.
    """
    if tags and audio_format == "wav":
        _add_info(path, tags)
    elif tags and audio_format == "mp3":
        _add_id3(path, tags)


def read_tags(path: Path) -> Tags:
    """What a sound file says of itself.

    Raises:
        AudioError: it is missing, damaged, or no sound.
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


# wav: a LIST chunk of type INFO, in UTF-8 as most programs have it, each string with a zero at its
# end. It stands behind the samples, where it is no matter how many of them there are.


def _add_info(path: Path, tags: Tags) -> None:
    strings = (
        _chunk(_INFO_NAMES[name], value.encode().replace(b"\0", b"") + b"\0")
        for name, value in _items(tags)
    )
    added = _chunk(b"LIST", b"INFO" + b"".join(strings))
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        riff_bytes = size + (size & 1) + len(added) - _CHUNK.size
        if riff_bytes > _LONGEST_RIFF:
            return  # a day of sound, whose header cannot say how long it is
        file.write(b"\0" * (size & 1) + added)
        file.seek(4)
        file.write(struct.pack("<I", riff_bytes))


def _chunk(name: bytes, body: bytes) -> bytes:
    return _CHUNK.pack(name, len(body)) + body + b"\0" * (len(body) & 1)


def _read_info(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """Tags of a wav file; nothing of another."""
    header = file.read(_RIFF_BYTES)
    if header[:4] != b"RIFF" or header[8:] != b"WAVE":
        return
    for name, size in _walk(file):
        if name == b"LIST" and size < 2 * MOST_BYTES_ELSEWHERE:
            yield from _read_list(file.read(size))


def _walk(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Names and sizes of the chunks that follow; the file stands at the body of each."""
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


# mp3: an ID3 tag of version 2.4, the first that knows UTF-8, before the samples.


def _add_id3(path: Path, tags: Tags) -> None:
    frames = b"".join(_id3_frame(name, value) for name, value in _items(tags))
    header = b"ID3\4\0\0" + _seven_bits(len(frames))
    path.write_bytes(header + frames + path.read_bytes())


def _id3_frame(name: str, value: str) -> bytes:
    description = _LANGUAGE + b"\0" if name == "comment" else b""  # an empty one
    body = _UTF_8 + description + value.encode()
    return _ID3_NAMES[name] + _seven_bits(len(body)) + b"\0\0" + body


def _seven_bits(number: int) -> bytes:
    """As ID3 writes sizes: seven bits of each byte, so that none looks like sound."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
