"""Opens a checkpoint of either kind, with parts from elsewhere."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bark_onnx.export.checkpoints.checkpoint import CONFIG_NAME, Checkpoint, open_checkpoint
from bark_onnx.export.checkpoints.suno import open_suno
from bark_onnx.export.checkpoints.suno_files import is_suno_folder
from bark_onnx.export.checkpoints.tokenizer import open_tokenizer
from bark_onnx.graphs.errors import CheckpointError


@dataclass(frozen=True)
class SourceOptions:
    """Parts that replace or complete those of a checkpoint; None for the checkpoint's or Bark's."""

    codec: str | None = None  # folder, file or hub id of EnCodec; only for Suno's files
    size: str | None = None  # size of Suno's files if both exist
    tokenizer: str | None = None  # folder or hub id
    voices_from: Path | None = None  # folder


def open_source(source: str, options: SourceOptions) -> Checkpoint:
    """Open a checkpoint of either kind.

    Args:
        source: Folder with Suno's .pt files, or folder or hub id in the Hugging Face layout, which
            takes precedence.
        options: Parts from elsewhere.

    Raises:
        CheckpointError: The checkpoint cannot be found or is not Bark, or an option does not apply.
    """
    folder = Path(source)
    if is_suno_folder(folder):
        checkpoint = open_suno(
            source, codec=options.codec, tokenizer=options.tokenizer, size=options.size
        )
    else:
        _refuse_suno_options(options)
        if folder.is_dir() and not (folder / CONFIG_NAME).is_file():
            raise CheckpointError(
                f"{folder}: found neither {CONFIG_NAME} nor text.pt, coarse.pt, fine.pt; "
                "expected a Bark checkpoint in the Hugging Face layout or Suno's"
            )
        checkpoint = open_checkpoint(source)
        if options.tokenizer is not None:
            tokenizer = partial(open_tokenizer, options.tokenizer, checkpoint.generation)
            checkpoint = replace(checkpoint, read_tokenizer=tokenizer)
    return replace(checkpoint, presets=options.voices_from)


def _refuse_suno_options(options: SourceOptions) -> None:
    for name, value in (("--codec", options.codec), ("--size", options.size)):
        if value is not None:
            raise CheckpointError(
                f"{name} {value}: only for a folder with Suno's .pt files and no {CONFIG_NAME}; "
                f"a checkpoint in the Hugging Face layout is complete, omit {name}"
            )
