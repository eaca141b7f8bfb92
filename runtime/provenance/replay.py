"""Provenance as the shell command that generates the sound again."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bark_onnx.graphs.bundle.integrity import hash_file
from bark_onnx.graphs.bundle.manifest import Manifest, voice_file
from bark_onnx.graphs.errors import AudioError, BundleError
from bark_onnx.graphs.voices.voice import is_voice_path
from bark_onnx.runtime.options.generation import SAMPLING_PRESETS, GenerationOptions
from bark_onnx.runtime.options.stream import STREAM_OPTION_NAMES
from bark_onnx.runtime.provenance.provenance import Provenance, VoiceRef

_MAX_ARGUMENT_CHARACTERS = 2_000  # of a text in a command that people paste
_TEXT_FILE = "text.txt"  # in place of a file that only the user has
_VOICE_FILE = "voice.npz"  # likewise

_GENERATION_NAMES = frozenset(field.name for field in dataclasses.fields(GenerationOptions))


def replay_command(
    provenance: Provenance, source: Path, output: Path, *, bundle: str | None = None
) -> str:
    """The command, quoted for a POSIX shell, that generates a sound again.

    A long text is not part of it, but piped from the sound file.

    Args:
        provenance: Provenance of the sound.
        source: Path of the sound file.
        output: Path of the new sound file.
        bundle: Folder or hub id of another bundle; None takes the recorded one.

    Raises:
        AudioError: The provenance has settings that this version does not support.
    """
    used, rate = provenance.bundle, provenance.sample_rate_hz
    arguments = [
        *("-m", bundle or used.path, "-o", str(output)),
        *(("--voice", _voice(provenance.voice)) if provenance.voice else ()),
        *(part for name, voice in provenance.speakers.items() for part in _speaker(name, voice)),
        *("--seed", str(provenance.seed)),
        *_generation_flags(provenance.generation),
        *_stream_flags(provenance.stream),
        *(("--sample-rate", str(rate)) if rate else ()),
        *("--precision", used.precision, "--provider", used.provider),
    ]
    return _command(provenance.text, source, arguments)


def replay_warnings(provenance: Provenance, *, bundle: str | None = None) -> Iterator[str]:
    """Reasons why the command cannot run, or generates another sound, a line each."""
    if provenance.segment is not None:
        yield f"the file is segment {provenance.segment} of the sound that the command generates"
    if provenance.text is None:
        yield f"the text was too long for the file; put it into {_TEXT_FILE}"
    voices = [voice for voice in (provenance.voice, *provenance.speakers.values()) if voice]
    if any(not voice.sha256 for voice in voices):
        yield f"a voice was given as arrays; save it (Voice.save) as {_VOICE_FILE}"
    if None in provenance.speakers.values():
        yield "a speaker had no voice, which only the library supports"
    folder = Path(bundle or provenance.bundle.path)
    for voice in voices:
        is_path = is_voice_path(voice.name)
        path = Path(voice.name) if is_path else folder / voice_file(voice.name)
        if path.is_file() and voice.sha256 not in ("", hash_file(path).sha256):
            yield f"{path} is another voice than the one that was used"
    try:
        found = Manifest.read(folder).fingerprint(provenance.bundle.precision)
    except BundleError:
        return  # elsewhere, or on the hub
    if found != provenance.bundle.fingerprint:
        used = provenance.bundle.fingerprint
        yield f"{folder} is another bundle than the one that was used ({used})"


def _command(text: str | None, source: Path, arguments: list[str]) -> str:
    command = ["bark-onnx", "speak"]
    if text is None:
        return shlex.join([*command, "-i", _TEXT_FILE, *arguments])
    if _must_be_piped(text):
        show = shlex.join(["bark-onnx", "info", "--text", "--", str(source)])
        return f"{show} | {shlex.join([*command, '-', *arguments])}"
    if text.startswith("-"):
        return shlex.join([*command, *arguments, "--", text])
    return shlex.join([*command, text, *arguments])


def _must_be_piped(text: str) -> bool:
    """Whether a text cannot be part of a command that people paste, or is too long for it."""
    if "\r\n" in text or text.startswith("\ufeff"):
        return False  # reading from a pipe would alter these
    plain = all(character.isprintable() or character == "\n" for character in text)
    return text == "-" or not plain or len(text) > _MAX_ARGUMENT_CHARACTERS


def _generation_flags(generation: Mapping[str, Any]) -> Iterator[str]:
    _check_names(generation, _GENERATION_NAMES)
    for name, value in _with_preset(generation).items():
        if isinstance(value, bool):
            yield _flag(name) if value else _flag(f"no_{name}")
        else:
            yield from (_flag(name), str(value))


def _stream_flags(stream: Mapping[str, Any]) -> Iterator[str]:
    _check_names(stream, STREAM_OPTION_NAMES)
    for name, value in stream.items():
        if not isinstance(value, bool):
            yield from (_flag(name), str(value))
        elif value:
            yield _flag(name)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check_names(settings: Mapping[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(settings.keys() - known):
        raise AudioError(f"setting {unknown[0]!r} is unknown to this version; update bark-onnx")


def _with_preset(generation: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings with the name of a preset instead of its values, if one fits."""
    for name, make in SAMPLING_PRESETS.items():
        preset = {
            key: value for key, value in dataclasses.asdict(make()).items() if value is not None
        }
        if preset and preset.keys() <= generation.keys():
            rest = {key: value for key, value in generation.items() if preset.get(key) != value}
            if len(rest) < len(generation) // 2:
                return {"sampling": name, **rest}
    return dict(generation)


def _speaker(name: str, voice: VoiceRef | None) -> tuple[str, str]:
    return "--speaker", f"{name}={_voice(voice) if voice else ''}"


def _voice(voice: VoiceRef) -> str:
    return voice.name if voice.sha256 else _VOICE_FILE
