"""Formats of sound files: what libsndfile calls them, and what each can hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.files.paths import check_suffix

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000

_OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
_MPEG_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True)
class FileFormat:
    """One way to keep samples in a file or to send them through a pipe."""

    name: str  # as users say it; with a dot before it, the suffix
    container: str  # libsndfile's name
    encoding: str  # libsndfile's name of the samples in it
    can_be_empty: bool = True  # otherwise libsndfile writes files without samples that none opens
    rates_hz: tuple[int, ...] = ()  # those it knows; empty: all
    byte_order: str | None = None  # None: as the container has it


FORMATS = {
    audio_format.name: audio_format
    for audio_format in (
        FileFormat("wav", "WAV", "PCM_16"),
        FileFormat("flac", "FLAC", "PCM_16", can_be_empty=False),
        FileFormat("ogg", "OGG", "VORBIS"),
        FileFormat("mp3", "MP3", "MPEG_LAYER_III", can_be_empty=False, rates_hz=_MPEG_RATES_HZ),
        FileFormat("opus", "OGG", "OPUS", can_be_empty=False, rates_hz=_OPUS_RATES_HZ),
        FileFormat("raw", "RAW", "PCM_16", byte_order="LITTLE"),
    )
}
SUFFIXES = {f".{name}": each for name, each in FORMATS.items() if name != "raw"}


def choose_format(path: Path, name: str | None = None) -> FileFormat:
    """The format of a file: the one that is named, or else the one that its suffix names.

    Raises:
        AudioError: the suffix is unknown, or stands for another format than the one named.
    """
    if name is None:
        check_suffix(path, SUFFIXES)
        return SUFFIXES[path.suffix.lower()]
    by_suffix = SUFFIXES.get(path.suffix.lower())
    if by_suffix is not None and by_suffix.name != name:
        raise AudioError(
            f"{path}: the suffix says {by_suffix.name} and the format {name}; expected one of them"
        )
    return FORMATS[name]


def check_rate(sample_rate_hz: int) -> None:
    """Check that sound can have this rate.

    Raises:
        AudioError: it is too low, too high, or no integer.
    """
    is_integer = isinstance(sample_rate_hz, int) and not isinstance(sample_rate_hz, bool)
    if not is_integer or not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"sample_rate_hz is {sample_rate_hz!r}, expected an integer from {MIN_RATE_HZ} to "
            f"{MAX_RATE_HZ}"
        )


def check_format(audio_format: FileFormat, sample_rate_hz: int | None = None) -> None:
    """Check that the installed libsndfile can write a format, at a rate if one is given.

    Raises:
        AudioError: it cannot, or the format does not know the rate.
    """
    import soundfile

    rates = audio_format.rates_hz
    if sample_rate_hz is not None and rates and sample_rate_hz not in rates:
        raise AudioError(
            f"{audio_format.name} cannot have {sample_rate_hz} Hz, expected one of "
            f"{', '.join(map(str, rates))}"
        )
    if not soundfile.check_format(audio_format.container, audio_format.encoding):
        raise AudioError(
            f"{audio_format.name}: libsndfile {soundfile.__libsndfile_version__} cannot write it; "
            "choose another format, or install a newer soundfile"
        )


def open_for_writing(
    file: Any, audio_format: FileFormat, sample_rate_hz: int, **settings: Any
) -> Any:
    """A `soundfile.SoundFile` that takes mono samples.

    Args:
        file: a path, or what libsndfile may write to.
        audio_format: of the file.
        sample_rate_hz: of the samples.
        settings: more of libsndfile's, by the names of soundfile.
    """
    import soundfile

    return soundfile.SoundFile(
        file,
        "w",
        sample_rate_hz,
        channels=1,
        subtype=audio_format.encoding,
        endian=audio_format.byte_order,
        format=audio_format.container,
        **settings,
    )
