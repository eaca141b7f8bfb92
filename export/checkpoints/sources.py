"""Which kind of checkpoint a user named, and what was given beside it."""

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
    """What a checkpoint may lack. None: what the checkpoint has, or Bark's own."""

    codec: str | None = None  # EnCodec's folder, file or hub id; for Suno's files alone
    size: str | None = None  # which of Suno's files where both sizes are there
    tokenizer: str | None = None  # folder or hub id
    voices_from: Path | None = None  # folder


def open_source(source: str, options: SourceOptions) -> Checkpoint:
    """Open a checkpoint of either kind.

    Args:
        source: a folder with Suno's .pt files; or a folder or hub id in the Hugging Face layout,
            which is also how a folder with both is read.
        options: what to add to it.

    Raises:
        CheckpointError: it cannot be found or is not Bark, or an option does not fit it.
    """
    folder = Path(source)
    if is_suno_folder(folder):
        checkpoint = open_suno(
            source, codec=options.codec, tokenizer=options.tokenizer, size=options.size
        )
    else:
        _refuse_sunos_options(options)
        if folder.is_dir() and not (folder / CONFIG_NAME).is_file():
            raise CheckpointError(
                f"{folder}: neither {CONFIG_NAME} nor text.pt, coarse.pt, fine.pt; expected a Bark "
                "checkpoint in the Hugging Face layout or Suno's"
            )
        checkpoint = open_checkpoint(source)
        if options.tokenizer is not None:
            tokenizer = partial(open_tokenizer, options.tokenizer, checkpoint.generation)
            checkpoint = replace(checkpoint, read_tokenizer=tokenizer)
    return replace(checkpoint, presets=options.voices_from)


def _refuse_sunos_options(options: SourceOptions) -> None:
    for name, value in (("--codec", options.codec), ("--size", options.size)):
        if value is not None:
            raise CheckpointError(
                f"{name} {value}: only for a folder with Suno's .pt files and no {CONFIG_NAME}; "
                f"a checkpoint in the Hugging Face layout is complete, leave {name} away"
            )
