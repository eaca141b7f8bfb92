"""Input of `bark-onnx speak`: the text, and the voices of its speakers."""

import sys
from pathlib import Path

from bark_onnx.graphs.errors import OptionsError, TextError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors

STANDARD_INPUT = "-"


def read_text(text: str | None, file: str | None) -> str:
    """The text given as an argument, or the contents of a file or of standard input, "-".

    Files are UTF-8, with or without a byte order mark; line ends of Windows become "\\n".

    Raises:
        TextError: Neither or both are given, the text is empty, or the file is unreadable.
    """
    if text is None and file is None:
        raise TextError('No text; expected a text, "-" for standard input, or --input FILE')
    if text is not None and file is not None:
        raise TextError("Found both a text and --input; expected one of them")
    if text is not None and text != STANDARD_INPUT:
        if not text.strip():
            raise TextError("The text is empty; expected at least one word")
        return text
    name = "standard input" if file in (None, STANDARD_INPUT) else str(file)
    try:
        with wrap_os_errors(TextError, f"{name}: cannot be read"):
            content = _read_bytes(file or STANDARD_INPUT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(
            f"{name} is not UTF-8 (byte {error.start} is {error.object[error.start]:#04x}); "
            "convert it first, as with iconv -t utf-8"
        ) from error
    if not content.strip():
        raise TextError(f"{name}: the text is empty; expected at least one word")
    return content.replace("\r\n", "\n")


def split_lines(text: str) -> dict[int, str]:
    """The lines of a text that are not blank, by their numbers from 1."""
    return {number: line.strip() for number, line in enumerate(text.split("\n"), 1) if line.strip()}


def parse_speakers(entries: tuple[str, ...]) -> dict[str, str]:
    """Voices by the names of speakers, from values of --speaker: "Anna=v2/en_speaker_6".

    Raises:
        OptionsError: An entry is malformed, or a name has two voices.
    """
    voices: dict[str, str] = {}
    for entry in entries:
        name, _, voice = entry.partition("=")
        name = name.strip()
        if not name or not voice:
            raise OptionsError(f"--speaker is {entry!r}, expected NAME=VOICE")
        if name in voices:
            raise OptionsError(f"--speaker has two voices for {name!r}; expected one")
        voices[name] = voice
    return voices


def _read_bytes(file: str) -> bytes:
    if file != STANDARD_INPUT:
        return Path(file).read_bytes()
    if sys.stdin is None:
        raise TextError("Standard input is closed; give a text or --input FILE")
    return sys.stdin.buffer.read()
