"""The stages of the training, in their order."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bark_onnx.export.demo import corpus
from bark_onnx.export.demo.assembly import record_voices, write_checkpoint
from bark_onnx.export.demo.coarse import train_coarse
from bark_onnx.export.demo.codec_training import train_codec
from bark_onnx.export.demo.fine import train_fine
from bark_onnx.export.demo.semantic import train_semantic

# Each stage and the file that it writes last.
STAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "codebooks": (corpus.fit_codebooks, "audio.pt"),
    "voices": (record_voices, "voices.pt"),
    "held_out": (corpus.record_held_out, "held_out.pt"),
    "train": (corpus.record_train, "train.pt"),
    "semantic": (train_semantic, "semantic.pt"),
    "coarse": (train_coarse, "coarse.pt"),
    "fine": (train_fine, "fine.pt"),
    "codec": (train_codec, "codec.pt"),
    "checkpoint": (lambda work: write_checkpoint(work, work / "checkpoint"), "checkpoint"),
}


def run(work: Path, names: Sequence[str] = ()) -> None:
    """Run stages.

    Args:
        work: Folder of the training, created if it does not exist.
        names: Names of stages, which run even if they are finished; none for all that are not.

    Raises:
        ExportError: A teacher is not installed.
    """
    work.mkdir(parents=True, exist_ok=True)
    for name, (stage, result) in STAGES.items():
        if name in names or (not names and not (work / result).exists()):
            stage(work)
