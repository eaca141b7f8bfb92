"""Imports voices into a bundle: all of them, or none if one cannot be imported."""

import dataclasses
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import MANIFEST_NAME, VOICES_FOLDER, Manifest, voice_file
from bark_onnx.graphs.errors import BundleError, VoiceError, system_reason
from bark_onnx.graphs.files.atomic_write import atomic_write
from bark_onnx.graphs.files.hub import cached_repository, lies_within
from bark_onnx.graphs.files.partial_file import partial_folder
from bark_onnx.graphs.voices.presets import Voices, find_presets
from bark_onnx.graphs.voices.voice import Voice, is_voice_name

_MAX_NAMES = 3  # in a message


@dataclass(frozen=True)
class Imported:
    """Names of the voices that `import_voices` added and replaced."""

    added: tuple[str, ...]
    replaced: tuple[str, ...]


def import_voices(bundle: Path | str, sources: Iterable[Path], *, force: bool = False) -> Imported:
    """Copy voices into a bundle's folder. Everything is checked before anything is changed.

    Sources are .npz files, named by their stem, or folders for `find_presets`. The manifest holds
    a checksum of each exported voice. A voice that replaces one has none, as all imported voices.

    Raises:
        BundleError: The folder is not a bundle, is in the hub's cache, or cannot be written.
        VoiceError: A source is missing, malformed or from another checkpoint, or its name is
            invalid or taken.
    """
    opened = Bundle(bundle)
    if cached_repository(opened.folder) is not None:
        raise BundleError(
            f"{bundle} is in the hub's cache, which must not change; download a copy with: "
            f"hf download {bundle} --local-dir FOLDER"
        )
    found = _find_voices(sources)
    folder = opened.folder / VOICES_FOLDER
    taken = _check_targets(folder, found, force=force)
    try:
        with partial_folder(folder) as staging:  # beside it, from where files move atomically
            for name, read in found.items():
                voice = read()
                voice.check(opened.manifest.generation)
                _stage(voice, name, staging)
            _place(opened, list(found), taken, staging)
    except OSError as error:
        raise BundleError(
            f"{folder}: cannot be written ({system_reason(error)}); nothing was changed"
        ) from error
    added = tuple(name for name in sorted(found) if name not in taken)
    return Imported(added, tuple(sorted(taken)))


def _stage(voice: Voice, name: str, staging: Path) -> None:
    """Write a voice to the folder from which it is moved to its place."""
    path = staging / voice_file(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        voice.save(path)
    except VoiceError as error:
        reason = system_reason(error.__cause__ or error)
        raise BundleError(
            f'Voice "{name}": cannot be written ({reason}); nothing was changed'
        ) from error


def _find_voices(sources: Iterable[Path]) -> Voices:
    found: Voices = {}
    for source in sources:
        if source.suffix == ".npz" and not source.is_dir():
            voices: Voices = {source.stem: partial(Voice.load, source)}
        else:
            voices = find_presets(source)
        for name, read in voices.items():
            if not is_voice_name(name):
                raise VoiceError(
                    f'{source}: "{name}" cannot name a voice; expected letters, digits, "_", "-" '
                    'and ".", with at most one folder before it'
                )
            if name in found:
                raise VoiceError(
                    f'{source}: another source also has a voice "{name}"; expected one'
                )
            found[name] = read
    return found


def _check_targets(folder: Path, names: Iterable[str], *, force: bool) -> set[str]:
    """The names that are taken.

    Raises:
        VoiceError: Names are taken and `force` is not set, or a link leads out of `folder`.
    """
    paths = {name: folder / f"{name}.npz" for name in names}
    for name, path in paths.items():
        if not lies_within(path.parent, folder):
            raise VoiceError(f'Voice "{name}": {path.parent} is a link out of {folder}; remove it')
    taken = sorted(name for name, path in paths.items() if path.exists() or path.is_symlink())
    if taken and not force:
        more = f" and {len(taken) - _MAX_NAMES} more" if len(taken) > _MAX_NAMES else ""
        raise VoiceError(
            f"{folder} already has {', '.join(taken[:_MAX_NAMES])}{more}; replace with --force"
        )
    return set(taken)


def _place(bundle: Bundle, names: list[str], taken: set[str], staging: Path) -> None:
    """Move staged files to their places; if one cannot be moved, undo the others.

    At every moment each file of the bundle is complete and matches its checksum, if it has one.
    """
    folder, manifest = bundle.folder / VOICES_FOLDER, bundle.manifest
    with ExitStack() as undo:
        # 1. Checksums: a voice without one may have any contents.
        replaced = {voice_file(name) for name in taken}
        files = {name: record for name, record in manifest.files.items() if name not in replaced}
        if files != manifest.files:
            undo.callback(_write_manifest, bundle.folder, manifest)
            _write_manifest(bundle.folder, dataclasses.replace(manifest, files=files))
        # 2. Voices.
        for name in names:
            target = bundle.folder / voice_file(name)
            for parent in (folder, target.parent):
                if not parent.exists():
                    parent.mkdir()
                    undo.callback(parent.rmdir)
            if name in taken:
                former = staging / "former" / voice_file(name)
                former.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(target, former, follow_symlinks=False)
                undo.callback(former.replace, target)
            else:
                undo.callback(target.unlink, missing_ok=True)
            (staging / voice_file(name)).replace(target)
        undo.pop_all()


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    with atomic_write(folder / MANIFEST_NAME) as file:
        file.write(manifest.to_json().encode())
