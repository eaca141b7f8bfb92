"""A bundle on disk: its manifest, its voices, its graphs, each checked before use."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from bark_onnx.graphs.contract import Attention, GraphContract, Stage, graph_contract
from bark_onnx.graphs.errors import BundleError, VoiceError
from bark_onnx.graphs.hub import download, is_repository_id, lies_within
from bark_onnx.graphs.manifest import (
    TOKENIZER_NAME,
    VOICES_FOLDER,
    Manifest,
    check_contents,
    check_sha256,
    check_sizes,
    prompt_graph,
    voice_file,
)
from bark_onnx.graphs.precisions import float_dtype
from bark_onnx.graphs.voice_file import VoiceFile
from bark_onnx.graphs.voices import Voice, is_voice_name, is_voice_path
from bark_onnx.runtime.audio.recipe import VoiceUsed
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from bark_onnx.runtime.voices.languages import resolve_alias

_NEAREST = 3


class Bundle:
    """A bundle on disk.

    Args:
        source: a folder, or the hub id of one.
        verify: compare checksums of files before they are used; sizes are always compared.

    Raises:
        BundleError: it cannot be found, is incomplete, or is from another version.
    """

    def __init__(self, source: str | Path, *, verify: bool = True) -> None:
        self.source = str(source)
        self.folder = _locate(self.source)
        self.manifest = Manifest.read(self.folder)
        self._verify = verify
        self._verified: set[str] = set()
        check_sizes(self.folder, self.manifest.files)

    @property
    def attention(self) -> Attention:
        """The form of attention that the graphs were exported with."""
        return cast("Attention", self.manifest.attention)  # checked when it was read

    def contract(self, stage: Stage, precision: str) -> GraphContract:
        """What the graph of a stage must take and give."""
        return graph_contract(
            stage, self.manifest.shapes, self.attention, float_dtype=float_dtype(precision)
        )

    def graph(self, precision: str, stage: Stage) -> Path:
        """Path of a graph whose files are whole.

        Raises:
            BundleError: a file was altered.
        """
        name = self.manifest.graph_path(precision, stage)
        self._check([name, *self.manifest.graph_files(precision, stage)])
        return self.folder / name

    def prompt_graph(self, precision: str, stage: Stage) -> Path | None:
        """Path of the graph that serves a causal stage's prompts, if it has one of its own."""
        path = prompt_graph(self.folder / self.manifest.graph_path(precision, stage))
        return path if path.relative_to(self.folder).as_posix() in self.manifest.files else None

    def tokenizer(self) -> TextTokenizer:
        """The bundle's tokenizer.

        Raises:
            BundleError: its file was altered or is no tokenizer.
        """
        self._check([TOKENIZER_NAME])
        length = self.manifest.generation.semantic.max_input_semantic_length
        return TextTokenizer(self.folder / TOKENIZER_NAME, length)

    def voice_names(self) -> list[str]:
        """Names of all voices in the bundle's folder, those that a user added included."""
        folder = self.folder / VOICES_FOLDER
        paths = (path for path in folder.rglob("*.npz") if path.is_file())
        names = (
            path.relative_to(folder).with_suffix("").as_posix()
            for path in paths
            if lies_within(path, folder)
        )
        return sorted(name for name in names if is_voice_name(name))

    def voice(self, voice: "VoiceLike") -> Voice | None:
        """The voice that a name, a path, a dict of arrays or a `Voice` stands for.

        Raises:
            VoiceError: it is unknown or malformed.
            BundleError: its file was altered since the export.
        """
        return self.load_voice(voice).voice

    def load_voice(self, voice: "VoiceLike") -> "LoadedVoice":
        """The voice that something stands for, as `voice`, and what to write down of it."""
        if voice is None:
            return LoadedVoice(None, None)
        if isinstance(voice, str | os.PathLike):
            found, used = self._read_voice(os.fspath(voice))
        elif isinstance(voice, Voice | Mapping):
            found = voice if isinstance(voice, Voice) else Voice.from_arrays(voice)
            used = VoiceUsed(found.name, "")
        else:
            raise VoiceError(
                f"voice is a {type(voice).__name__}; expected a name, the path of an .npz file, "
                "a Voice, or a dict of its arrays"
            )
        found.check(self.manifest.generation)
        return LoadedVoice(found, used)

    def _read_voice(self, voice: str) -> tuple[Voice, VoiceUsed]:
        if is_voice_path(voice):
            file = VoiceFile.read(voice)
            return Voice.from_file(file), VoiceUsed(voice, file.sha256)
        name = self._voice_name(voice)
        relative = voice_file(name)
        file = VoiceFile.read(self.folder / relative)
        if self._verify and relative in self.manifest.files and relative not in self._verified:
            check_sha256(file.path, file.sha256, self.manifest.files[relative])
            self._verified.add(relative)
        return Voice.from_file(file, name=name), VoiceUsed(name, file.sha256)

    def _voice_name(self, voice: str) -> str:
        """The voice of that name; where there is none, the one that a language's name stands for.

        Raises:
            VoiceError: there is neither.
        """
        is_name = is_voice_name(voice)
        if is_name and self._has_voice(voice):
            return voice
        names = self.voice_names()
        known = resolve_alias(voice, names)
        if known is not None:
            return known
        if is_name:
            raise VoiceError(_unknown_voice(voice, names))
        raise VoiceError(
            f"Voice {voice!r}: expected a name such as v2/en_speaker_6, a language such as "
            "german, or the path of an .npz file"
        )

    def _has_voice(self, name: str) -> bool:
        folder = self.folder / VOICES_FOLDER
        path = self.folder / voice_file(name)
        return path.is_file() and lies_within(path, folder)

    def _check(self, names: list[str]) -> None:
        fresh = [name for name in dict.fromkeys(names) if name not in self._verified]
        if self._verify:
            check_contents(self.folder, self.manifest.files, fresh)
            self._verified.update(fresh)


VoiceLike = str | os.PathLike[str] | Voice | Mapping[str, Any] | None


@dataclass(frozen=True)
class LoadedVoice:
    """What a `VoiceLike` stands for. Where it has a file, both fields are of the same bytes."""

    voice: Voice | None  # None: the model chooses
    used: VoiceUsed | None  # for a recipe


def _locate(source: str) -> Path:
    folder = Path(source)
    if folder.exists():
        return folder
    if is_repository_id(source):
        return download(source, ["*"], BundleError)
    raise BundleError(
        f"{source}: no such folder; make a bundle with: bark-export suno/bark-small {source}"
    )


def _unknown_voice(voice: str, names: list[str]) -> str:
    nearest = get_close_matches(voice, names, n=_NEAREST, cutoff=0.5)
    if not names:
        return f'Voice "{voice}" not found; the bundle has none, export with --voices all'
    hint = f"nearest: {', '.join(nearest)}" if nearest else f"there are {len(names)}"
    return f'Voice "{voice}" not found; {hint}. List them with: bark-onnx voices'
