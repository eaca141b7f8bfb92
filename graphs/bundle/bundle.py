"""A bundle on disk, opened: each file is checked before use."""

from pathlib import Path
from typing import cast

from bark_onnx.graphs.bundle.demo import bundle_folder
from bark_onnx.graphs.bundle.integrity import (
    check_access,
    check_contents,
    check_sha256,
    check_sizes,
)
from bark_onnx.graphs.bundle.manifest import (
    EXPORT_AGAIN,
    TOKENIZER_GRAPH_NAME,
    TOKENIZER_NAME,
    VOICES_FOLDER,
    WORDS_NAME,
    Manifest,
    voice_file,
)
from bark_onnx.graphs.bundle.words import read_words
from bark_onnx.graphs.contract import Attention, GraphContract, Stage, graph_contract
from bark_onnx.graphs.errors import BundleError
from bark_onnx.graphs.files.hub import download, is_repository_id, lies_within
from bark_onnx.graphs.files.regular_file import unreadable
from bark_onnx.graphs.precisions import float_dtype
from bark_onnx.graphs.voices.npz import VoiceFile
from bark_onnx.graphs.voices.voice import is_voice_name


class Bundle:
    """A bundle on disk.

    Args:
        source: Folder, hub id, or "demo" for the bundle inside the package.
        verify: Compares checksums of files before use; sizes are always compared.

    Raises:
        BundleError: The bundle cannot be found, is incomplete, or is from another version.
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
        """Form of attention of the graphs."""
        return cast("Attention", self.manifest.attention)  # checked by Manifest.read

    def contract(self, stage: Stage, precision: str, *, for_draws: bool = False) -> GraphContract:
        """Expected inputs and outputs of a stage's graph, or of the one for draws."""
        return graph_contract(
            stage,
            self.manifest.shapes,
            self.attention,
            float_dtype=float_dtype(precision),
            version=self.manifest.contract_version,
            for_draws=for_draws,
        )

    def graph(self, precision: str, stage: Stage) -> Path:
        """Path of a stage's graph, after a check of all files of the stage.

        Raises:
            BundleError: A file was altered.
        """
        name = self.manifest.graph_path(precision, stage)
        self._check([name, *self.manifest.stage_files(precision, stage)])
        return self.folder / name

    def prefill_graph(self, precision: str, stage: Stage) -> Path | None:
        """Path of a causal stage's prefill graph; None if its one graph also prefills.

        Its files are checked by `graph`.
        """
        name = self.manifest.prefill_graph_path(precision, stage)
        return None if name is None else self.folder / name

    def draw_graph(self, precision: str, stage: Stage) -> Path | None:
        """Path of a stage's graph that returns what a draw needs; None if it has none.

        Its files are checked by `graph`.
        """
        name = self.manifest.draw_graph_path(precision, stage)
        return None if name is None else self.folder / name

    def preferred_graph(
        self, precision: str, stage: Stage, *, for_draws: bool
    ) -> tuple[Path, GraphContract]:
        """Path and contract of the graph for draws if it is preferred and exists, or of `graph`.

        Raises:
            BundleError: A file was altered.
        """
        path = self.graph(precision, stage)
        draw_path = self.draw_graph(precision, stage) if for_draws else None
        contract = self.contract(stage, precision, for_draws=draw_path is not None)
        return draw_path or path, contract

    def tokenizer_path(self) -> Path:
        """Path of tokenizer.json, after a check of its checksum.

        Raises:
            BundleError: The file was altered.
        """
        self._check([TOKENIZER_NAME])
        return self.folder / TOKENIZER_NAME

    def tokenizer_graph(self) -> Path | None:
        """Path of tokenizer.onnx, after a check of its checksum; None if the bundle has none.

        Raises:
            BundleError: The file was altered.
        """
        if TOKENIZER_GRAPH_NAME not in self.manifest.files:
            return None
        self._check([TOKENIZER_GRAPH_NAME])
        return self.folder / TOKENIZER_GRAPH_NAME

    def known_words(self) -> frozenset[str]:
        """Words that the checkpoint was trained on, in lower case; empty if it knows any word.

        Raises:
            BundleError: The file was altered, or is not UTF-8.
        """
        if WORDS_NAME not in self.manifest.files:
            return frozenset()
        self._check([WORDS_NAME])
        return read_words(self.folder / WORDS_NAME, BundleError, remedy=EXPORT_AGAIN)

    def voice_names(self) -> list[str]:
        """Names of all voices in the bundle's folder, including those added after the export."""
        folder = self.folder / VOICES_FOLDER
        paths = (path for path in folder.rglob("*.npz") if path.is_file())
        names = (
            path.relative_to(folder).with_suffix("").as_posix()
            for path in paths
            if lies_within(path, folder)
        )
        return sorted(name for name in names if is_voice_name(name))

    def has_voice(self, name: str) -> bool:
        """Whether the bundle's folder holds a voice of this name."""
        path = self.folder / voice_file(name)
        return path.is_file() and lies_within(path, self.folder / VOICES_FOLDER)

    def read_voice_file(self, name: str) -> VoiceFile:
        """The file of a voice, read once.

        Raises:
            VoiceError: The file cannot be read.
            BundleError: The file was altered since the export.
        """
        relative = voice_file(name)
        file = VoiceFile.read(self.folder / relative)
        if self._verify and relative in self.manifest.files and relative not in self._verified:
            check_sha256(file.path, file.sha256, self.manifest.files[relative])
            self._verified.add(relative)
        return file

    def _check(self, names: list[str]) -> None:
        fresh = [name for name in dict.fromkeys(names) if name not in self._verified]
        check = check_contents if self._verify else check_access
        check(self.folder, self.manifest.files, fresh)
        self._verified.update(fresh)


def _locate(source: str) -> Path:
    folder = bundle_folder(source)
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise unreadable(folder, error, BundleError) from error
    else:
        return folder
    if is_repository_id(source):
        return download(source, ["*"], BundleError)
    raise BundleError(
        f"{source}: no such folder; export a bundle with: bark-export suno/bark-small {source}"
    )
