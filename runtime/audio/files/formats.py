"""The table of audio formats: what each can hold, and which library writes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.files.paths import check_suffix

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
EMPTY_SOUND_SECONDS = 0.1  # in place of a sound without samples, where a format cannot be empty

_OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
_MPEG_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_AAC_RATES_HZ = (*_MPEG_RATES_HZ, 64_000, 88_200, 96_000)


@dataclass(frozen=True)
class FileFormat:
    """A format of sound files and streams. Container and encoding have the library's names."""

    name: str  # on the command line; with a dot before it, the suffix
    container: str
    encoding: str
    media_type: str
    encoder: Literal["pcm", "libsndfile", "ffmpeg"] = "libsndfile"  # of streams
    states_length: bool = False  # in the header
    can_be_empty: bool = False  # otherwise players cannot open a file without samples
    rates_hz: tuple[int, ...] = ()  # supported sample rates; empty: all
    byte_order: str | None = None  # None: the container's


_TABLE = (
    FileFormat("wav", "WAV", "PCM_16", "audio/wav", "pcm", states_length=True, can_be_empty=True),
    FileFormat("flac", "FLAC", "PCM_16", "audio/flac", states_length=True),
    FileFormat("ogg", "OGG", "VORBIS", "audio/ogg", can_be_empty=True),
    FileFormat("mp3", "MP3", "MPEG_LAYER_III", "audio/mpeg", rates_hz=_MPEG_RATES_HZ),
    FileFormat("opus", "OGG", "OPUS", "audio/opus", rates_hz=_OPUS_RATES_HZ),
    FileFormat("raw", "RAW", "PCM_16", "audio/pcm", "pcm", can_be_empty=True, byte_order="LITTLE"),
    FileFormat("aac", "adts", "aac", "audio/aac", "ffmpeg", rates_hz=_AAC_RATES_HZ),
)
# Formats of files and of the command line, whose only library is libsndfile.
FORMATS = {each.name: each for each in _TABLE if each.encoder != "ffmpeg"}
SUFFIXES = {f".{name}": each for name, each in FORMATS.items() if name != "raw"}

ResponseFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]  # OpenAI's names
_BY_RESPONSE_NAME = {"pcm" if each.name == "raw" else each.name: each for each in _TABLE}
RESPONSE_FORMATS: dict[ResponseFormat, FileFormat] = {
    name: _BY_RESPONSE_NAME[name] for name in get_args(ResponseFormat)
}
MEDIA_TYPES = {name: each.media_type for name, each in RESPONSE_FORMATS.items()}
SIZED_FORMATS = frozenset(name for name, each in RESPONSE_FORMATS.items() if each.states_length)


def choose_format(path: Path, name: str | None = None) -> FileFormat:
    """The format of a file: the named one, or else that of its suffix.

    Raises:
        AudioError: The suffix is unknown, or belongs to another format than the named one.
    """
    if name is None:
        check_suffix(path, SUFFIXES)
        return SUFFIXES[path.suffix.lower()]
    by_suffix = SUFFIXES.get(path.suffix.lower())
    if by_suffix is not None and by_suffix.name != name:
        raise AudioError(
            f"{path}: the suffix means {by_suffix.name}, but the format is {name}; expected the "
            "same, or another suffix"
        )
    return FORMATS[name]


def check_rate(sample_rate_hz: int) -> None:
    """Check that a sample rate is in range.

    Raises:
        AudioError: The rate is too low, too high, or not an integer.
    """
    is_integer = isinstance(sample_rate_hz, int) and not isinstance(sample_rate_hz, bool)
    if not is_integer or not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"sample_rate_hz is {sample_rate_hz!r}, expected an integer from {MIN_RATE_HZ} to "
            f"{MAX_RATE_HZ}"
        )


def check_format(file_format: FileFormat, sample_rate_hz: int | None = None) -> None:
    """Check that a format can be written, at a rate if one is given.

    Raises:
        AudioError: The installed libsndfile lacks the format, or the format the rate.
    """
    rates = file_format.rates_hz
    if sample_rate_hz is not None and rates and sample_rate_hz not in rates:
        raise AudioError(
            f"{file_format.name} cannot have {sample_rate_hz} Hz, expected one of "
            f"{', '.join(map(str, rates))}"
        )
    if file_format.encoder == "ffmpeg":
        return
    import soundfile

    if not soundfile.check_format(file_format.container, file_format.encoding):
        raise AudioError(
            f"{file_format.name}: libsndfile {soundfile.__libsndfile_version__} cannot write it; "
            "choose another format, or install a newer soundfile"
        )


def replay_path(source: Path) -> Path:
    """Path beside a sound file, NAME-again, with a suffix that means the same format."""
    if source.suffix.lower() in SUFFIXES:
        return source.with_stem(f"{source.stem}-again")
    import soundfile

    found = soundfile.info(str(source))
    names = (
        each.name
        for each in FORMATS.values()
        if (each.container, each.encoding) == (found.format, found.subtype)
    )
    return source.with_name(f"{source.name}-again.{next(names, 'wav')}")
