"""Shell completion of voices."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from bark_onnx.graphs.bundle.manifest import VOICES_FOLDER
from bark_onnx.graphs.voices.voice import is_voice_name


def complete_voice(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Voices of the bundle given so far, if it is a folder; files if no voice matches."""
    bundle = context.params.get("bundle")
    names = _voice_names(Path(bundle)) if bundle else []
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def _voice_names(bundle: Path) -> list[str]:
    """Names in a bundle's folder, unchecked: `Bundle` would read the manifest at every key."""
    folder = bundle / VOICES_FOLDER
    try:
        paths = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.npz")]
    except OSError:  # an unreadable folder
        return []
    return sorted(name for name in map(Path.as_posix, paths) if is_voice_name(name))
