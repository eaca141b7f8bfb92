"""A recipe as the shell command that makes the sound again."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.bundle.manifest import Manifest, hash_file, voice_file
from bark_onnx.graphs.errors import AudioError, BundleError
from bark_onnx.graphs.voices.voice import is_voice_path
from bark_onnx.runtime.audio.files.formats import FORMATS, SUFFIXES
from bark_onnx.runtime.cli.speak import speak
from bark_onnx.runtime.options.generation import SAMPLING_PRESETS
from bark_onnx.runtime.provenance.provenance import Provenance, VoiceRef

_LONGEST_ARGUMENT = 2_000  # characters: what is still pleasant to look at and to paste
_TEXT_FILE = "text.txt"  # stands for a file that only the user has
_VOICE_FILE = "voice.npz"  # likewise


def replay_command(provenance: Provenance, file: Path, *, bundle: str | None = None) -> str:
    """The command, quoted for a POSIX shell, that makes a sound again, as NAME-again beside it.

    A long text is not in it, but comes from the sound file through a pipe.

    Args:
        provenance: Provenance of the sound.
        file: where the sound is.
        bundle: the one to speak with; None names the one that spoke.

    Raises:
        AudioError: the recipe has settings that this version does not know.
    """
    again = _beside(file)
    options = [
        *("-m", bundle or provenance.bundle.path, "-o", str(again)),
        *(("--voice", _voice(provenance.voice)) if provenance.voice else ()),
        *(part for name, voice in provenance.speakers.items() for part in _cast(name, voice)),
        *("--seed", str(provenance.seed)),
        *_flags(_with_preset(provenance.generation) | provenance.stream),
        *(("--sample-rate", str(provenance.sample_rate_hz)) if provenance.sample_rate_hz else ()),
        *("--precision", provenance.bundle.precision, "--provider", provenance.bundle.provider),
    ]
    return _with_text(provenance.text, file, options)


def replay_warnings(provenance: Provenance, *, bundle: str | None = None) -> Iterator[str]:
    """What the command cannot do, or would do otherwise by now, a line each."""
    if provenance.segment is not None:
        yield f"the file is piece {provenance.segment} of what the command says"
    if provenance.text is None:
        yield f"the text was too long for the file; put it into {_TEXT_FILE}"
    voices = [voice for voice in (provenance.voice, *provenance.speakers.values()) if voice]
    if any(not voice.sha256 for voice in voices):
        yield f"a voice was given as arrays; save it (Voice.save) as {_VOICE_FILE}"
    if None in provenance.speakers.values():
        yield "a speaker had no voice, which only the library can ask for"
    folder = Path(bundle or provenance.bundle.path)
    for voice in voices:
        path = _voice_path(voice, folder)
        if path.is_file() and voice.sha256 not in ("", hash_file(path).sha256):
            yield f"{path} is another voice than the one that was used"
    try:
        found = Manifest.read(folder).fingerprint(provenance.bundle.precision)
    except BundleError:
        return  # elsewhere, or on the hub
    if found != provenance.bundle.fingerprint:
        used = provenance.bundle.fingerprint
        yield f"{folder} is another bundle than the one that spoke ({used})"


def _with_text(text: str | None, file: Path, options: list[str]) -> str:
    command = ["bark-onnx", "speak"]
    if text is None:
        return shlex.join([*command, "-i", _TEXT_FILE, *options])
    if _comes_through_a_pipe(text):
        show = shlex.join(["bark-onnx", "info", "--text", "--", str(file)])
        return f"{show} | {shlex.join([*command, '-', *options])}"
    if text.startswith("-"):
        return shlex.join([*command, *options, "--", text])
    return shlex.join([*command, text, *options])


def _comes_through_a_pipe(text: str) -> bool:
    """Whether a text cannot stand in a command that people paste, or is too long for it."""
    if "\r\n" in text or text.startswith("\ufeff"):
        return False  # what is read from a pipe has none of these
    plain = all(character.isprintable() or character == "\n" for character in text)
    return text == "-" or not plain or len(text) > _LONGEST_ARGUMENT


def _with_preset(generation: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings with the name of a preset instead of those that it sets, if one fits."""
    for name, make in SAMPLING_PRESETS.items():
        preset = {
            key: value for key, value in dataclasses.asdict(make()).items() if value is not None
        }
        if preset and preset.keys() <= generation.keys():
            rest = {key: value for key, value in generation.items() if preset.get(key) != value}
            if len(rest) < len(generation) // 2:
                return {"sampling": name, **rest}
    return dict(generation)


def _flags(values: Mapping[str, Any]) -> Iterator[str]:
    """Options of `speak` by the names of its parameters."""
    options = {
        option.name: option
        for option in speak.params
        if isinstance(option, click.Option) and (option.is_bool_flag or not option.is_flag)
    }
    for name, value in values.items():
        if name not in options:
            raise AudioError(f"setting {name!r} is unknown to this version; update bark-onnx")
        option = options[name]
        flag = next(flag for flag in option.opts if flag.startswith("--"))
        if not isinstance(value, bool):
            yield from (flag, str(value))
        elif value or option.secondary_opts:
            yield flag if value else option.secondary_opts[0]


def _cast(name: str, voice: VoiceRef | None) -> tuple[str, str]:
    return "--speakers", f"{name}={_voice(voice) if voice else ''}"


def _voice(voice: VoiceRef) -> str:
    return voice.name if voice.sha256 else _VOICE_FILE


def _beside(file: Path) -> Path:
    """Where the sound goes: beside the file, with a suffix that names its format."""
    if file.suffix.lower() in SUFFIXES:
        return file.with_stem(f"{file.stem}-again")
    import soundfile

    found = soundfile.info(str(file))
    names = (
        each.name
        for each in FORMATS.values()
        if (each.container, each.encoding) == (found.format, found.subtype)
    )
    return file.with_name(f"{file.name}-again.{next(names, 'wav')}")


def _voice_path(voice: VoiceRef, bundle: Path) -> Path:
    return Path(voice.name) if is_voice_path(voice.name) else bundle / voice_file(voice.name)
