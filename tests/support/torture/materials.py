"""What the cases damage: a tiny checkpoint and its bundle."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bark_onnx.export.bundle import ExportOptions, export_bundle
from bark_onnx.export.checkpoints.checkpoint import open_checkpoint
from bark_onnx.export.random_bark import RandomBark, write_checkpoint

TINY = RandomBark(num_layers=1, num_heads=2, hidden_size=16, bias=True, max_new_tokens=60, seed=3)
VOICE = "v2/en_speaker_0"  # of every bundle
# Short speech, so that a case takes a fraction of a second.
SPEAK = ("speak", "Hello", "--threads", "1", "--seed", "1", "--semantic-max-new-tokens", "9")


@dataclass(frozen=True)
class Materials:
    """Folders that cases copy, and never change.

    Attributes:
        checkpoint: Checkpoint in the Hugging Face layout.
        bundle: Its bundle.
    """

    checkpoint: Path
    bundle: Path

    @cached_property
    def voice(self) -> bytes:
        """An .npz file of a voice."""
        return (self.bundle / "voices" / f"{VOICE}.npz").read_bytes()


@contextmanager
def exported_materials(sizes: RandomBark = TINY, *, verify: bool = False) -> Iterator[Materials]:
    """Write and export a checkpoint to a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bark-onnx-torture-") as folder:
        found = Materials(Path(folder, "checkpoint"), Path(folder, "bundle"))
        write_checkpoint(found.checkpoint, sizes)
        export_bundle(
            open_checkpoint(str(found.checkpoint)),
            found.bundle,
            ExportOptions(verify=verify),
            force=False,
            progress=lambda step: None,
        )
        yield found
