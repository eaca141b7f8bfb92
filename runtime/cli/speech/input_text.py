"""What shall be said: a text or a file from the command line, and who says it."""

import sys
from pathlib import Path

from bark_onnx.graphs.bundle.atomic_write import wrap_os_errors
from bark_onnx.graphs.errors import OptionsError, TextError

STANDARD_INPUT = "-"


def read_text(text: str | None, file: str | None) -> str:
    r"""The text itself, or what a file or standard input holds.

    Files are UTF-8, with or without a byte order mark; their lines may end as on Windows.

    Args:
        text: as it is said; "-" reads standard input.
        file: its name; "-" reads standard input.

    Raises:
        TextError: there is none, there are two, or it cannot be read.
    """
    if text is None and file is None:
        raise TextError('Nothing to say; give a text, "-" for standard input, or --input FILE')
    if text is not None and file is not None:
        raise TextError("Found both a text and --input; expected one of them")
    if text is not None and text != STANDARD_INPUT:
        return text
    name = "standard input" if file in (None, STANDARD_INPUT) else str(file)
    try:
        with wrap_os_errors(TextError, f"{name}: cannot be read"):
            words = _read_bytes(file or STANDARD_INPUT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(
            f"{name} is not UTF-8 (byte {error.start} is {error.object[error.start]:#04x}); "
            "convert it first, as with iconv -t utf-8"
        ) from error
    if not words.strip():
        raise TextError(f"{name}: the text is empty; expected something to say")
    return words.replace("\r\n", "\n")


def parse_cast(cast: tuple[str, ...]) -> dict[str, str]:
    """Voices by the names of speakers.

    Args:
        cast: entries such as "Anna=v2/en_speaker_6".

    Raises:
        OptionsError: an entry is something else, or a name stands twice.
    """
    voices: dict[str, str] = {}
    for entry in cast:
        name, _, voice = entry.partition("=")
        name = name.strip()
        if not name or not voice:
            raise OptionsError(f"--cast is {entry!r}, expected NAME=VOICE")
        if name in voices:
            raise OptionsError(f"--cast has two voices for {name!r}; expected one")
        voices[name] = voice
    return voices


def _read_bytes(file: str) -> bytes:
    if file != STANDARD_INPUT:
        return Path(file).read_bytes()
    if sys.stdin is None:
        raise TextError("Standard input is closed; give a text or --input FILE")
    return sys.stdin.buffer.read()
