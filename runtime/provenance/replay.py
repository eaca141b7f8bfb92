"""Provenance as the shell command that generates the sound again.

The sound may be a stranger's. Its command has generation settings, the text and names of voices,
each checked. A path is taken from it only if it leads to the very bundle or voice that it
describes, by checksums; otherwise a fixed name stands in its place.
"""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bark_onnx.graphs.bundle.demo import bundle_folder
from bark_onnx.graphs.bundle.manifest import Manifest, voice_file
from bark_onnx.graphs.errors import AudioError, BundleError, OptionsError, VoiceError
from bark_onnx.graphs.precisions import PRECISIONS, PREFERRED_PRECISIONS
from bark_onnx.graphs.voices.npz import VoiceFile
from bark_onnx.graphs.voices.voice import is_voice_name, is_voice_path
from bark_onnx.runtime.options.generation import SAMPLING_PRESETS, GenerationOptions
from bark_onnx.runtime.options.stream import STREAM_OPTION_NAMES, StreamOptions
from bark_onnx.runtime.provenance.provenance import BundleRef, Provenance, VoiceRef
from bark_onnx.runtime.seeds import resolve_seed

BUNDLE_NAME = "BUNDLE"  # in place of a bundle that only the user knows
_TEXT_FILE = "text.txt"  # likewise of a file
_VOICE_FILE = "voice.npz"
_MAX_ARGUMENT_CHARACTERS = 2_000  # of a text in a command that people paste

_STREAM_NAMES = STREAM_OPTION_NAMES - {"concurrency"}  # which does not change the sound
_GENERATION_NAMES = frozenset(field.name for field in dataclasses.fields(GenerationOptions))
_NETWORK_PATHS = ("//", "\\\\")  # Windows would log in to the computer that they name


def replay_command(
    provenance: Provenance, source: Path, output: Path, *, bundle: str | None = None
) -> str:
    """The command, quoted for a POSIX shell, that generates a sound again.

    A long text is not part of it, but piped from the sound file.

    Args:
        provenance: Provenance of the sound.
        source: Path of the sound file.
        output: Path of the new sound file.
        bundle: Folder or hub id of a bundle; None takes the recorded one if it is still there, or
            else `BUNDLE_NAME`.

    Raises:
        AudioError: The provenance has settings that this version does not support.
    """
    used, rate = provenance.bundle, provenance.sample_rate_hz
    _check_settings(provenance)
    arguments = [
        *("-m", bundle or find_bundle(used) or BUNDLE_NAME, "-o", str(output)),
        *(("--voice", _voice(provenance.voice)) if provenance.voice else ()),
        *(part for name, voice in provenance.speakers.items() for part in _speaker(name, voice)),
        *("--seed", str(provenance.seed)),
        *_generation_flags(provenance.generation),
        *_stream_flags(provenance.stream),
        *(("--sample-rate", str(rate)) if rate else ()),
        *("--precision", used.precision, "--provider", used.provider),
    ]
    return _command(provenance.text, source, arguments)


def find_bundle(used: BundleRef) -> str | None:
    """The recorded path, if it is the folder of a bundle with the recorded fingerprint."""
    if used.path.startswith(_NETWORK_PATHS):
        return None
    try:
        manifest = Manifest.read(bundle_folder(used.path))
    except (BundleError, OSError, ValueError):
        return None
    is_same = manifest.fingerprint(used.precision) == used.fingerprint
    return used.path if is_same and used.precision in manifest.precisions else None


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
    used = provenance.bundle
    folder = bundle or find_bundle(used)
    yield from (line for voice in voices if voice.sha256 for line in _voice_warnings(voice, folder))
    if folder is None:
        yield f"{used.path} is not here, or another bundle than the one that was used; give -m"
    elif _fingerprint(folder, used.precision) not in (None, used.fingerprint):
        yield f"{folder} is another bundle than the one that was used ({used.fingerprint})"


def _voice_warnings(voice: VoiceRef, folder: str | None) -> Iterator[str]:
    if is_voice_path(voice.name):
        if not _is_file_of(voice, voice.name):
            yield (
                f"{voice.name} is another voice than the one that was used, or not here; put that "
                f"one into {_VOICE_FILE}"
            )
    elif folder is not None and is_voice_name(voice.name):
        path = bundle_folder(folder) / voice_file(voice.name)
        if path.is_file() and not _is_file_of(voice, path):
            yield f"{path} is another voice than the one that was used"


def _fingerprint(folder: str, precision: str) -> str | None:
    """That of a bundle; None if it is elsewhere, or on the hub."""
    try:
        return Manifest.read(bundle_folder(folder)).fingerprint(precision)
    except BundleError:
        return None


def _is_file_of(voice: VoiceRef, path: str | Path) -> bool:
    """Whether a path leads to the very file of a voice."""
    if str(path).startswith(_NETWORK_PATHS) or not Path(path).is_file():
        return False
    try:
        return VoiceFile.read(path).sha256 == voice.sha256
    except VoiceError:
        return False


def _check_settings(provenance: Provenance) -> None:
    """Check that every setting is one that this version knows, with a value that it accepts."""
    used = provenance.bundle
    _check_names(provenance.generation, _GENERATION_NAMES)
    _check_names(provenance.stream, _STREAM_NAMES)
    if used.precision not in PRECISIONS:
        raise AudioError(f"precision {used.precision!r} is unknown to this version")
    if used.provider not in PREFERRED_PRECISIONS:
        raise AudioError(f"provider {used.provider!r} is unknown to this version")
    for name in provenance.speakers:
        if not name.strip() or "=" in name:
            raise AudioError(f"speaker {name!r} is not possible; expected a name without =")
    try:
        resolve_seed(provenance.seed)
        values: dict[str, Any] = {**provenance.generation}
        GenerationOptions(**values)
        values = {**provenance.stream}
        StreamOptions(**values)
    except OptionsError as error:
        raise AudioError(f"a setting in the file is not possible: {error}") from error


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
    for name, value in _with_preset(generation).items():
        if isinstance(value, bool):
            yield _flag(name) if value else _flag(f"no_{name}")
        else:
            yield from (_flag(name), str(value))


def _stream_flags(stream: Mapping[str, Any]) -> Iterator[str]:
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
    """The voice's name in the bundle, or its file if that is still there."""
    is_path = is_voice_path(voice.name)
    is_known = _is_file_of(voice, voice.name) if is_path else is_voice_name(voice.name)
    return voice.name if voice.sha256 and is_known else _VOICE_FILE
