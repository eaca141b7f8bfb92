"""Damaged checkpoints: settings, weights, tokenizer, voices; exported to folders of all kinds."""

import dataclasses
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bark_onnx.graphs.bundle.manifest import Manifest
from tests.support.torture.bad_json import BAD_VALUES, Place, places
from tests.support.torture.bundles import STRUCTURES, bad_json, record
from tests.support.torture.commands import run
from tests.support.torture.damage import BYTES, PLACES, UNREADABLE, damage, rewrite
from tests.support.torture.judging import judge
from tests.support.torture.materials import SPEAK, Materials
from tests.support.torture.options import EXPORT
from tests.support.torture.outcomes import Outcome, Verdict
from tests.support.torture.processes import BARK_EXPORT, BARK_ONNX, Command
from tests.support.torture.safetensors_damage import KINDS, damage_weights
from tests.support.torture.sounds import check_sound
from tests.support.torture.subject import CommandSubject
from tests.support.torture.trees import copy_linked, files, tree

_WEIGHTS_FILE = "model.safetensors"
_JSON = ("config.json", "generation_config.json", "speaker_embeddings_path.json")
_PICKLES = ("pytorch_model.bin", "text.pt", "coarse.pt", "fine.pt")
_MALICE = "a pickle that runs code"
_PROOF = "proof"  # file that such code writes
_WHOLE = 0.02  # part of the exports that trace their graphs


def _other_files(path: Path) -> None:
    path.mkdir()
    (path / "holiday.jpg").write_bytes(b"irreplaceable")


# What is at the target before the export.
TARGETS: dict[str, Callable[[Path], None]] = {
    "nothing": lambda path: None,
    "an empty folder": lambda path: path.mkdir(),
    "a bundle": lambda path: _ignore(copy_linked(path.parent / "B", path)),
    "other files": _other_files,
}


@dataclass(frozen=True)
class CheckpointCase:
    """One damaged file of a checkpoint.

    Attributes:
        file: The file.
        kind: What happens to it.
        place: Place of a bad value in a JSON file.
        target: What is at the target.
        is_whole: Whether the graphs are traced.
        seed: Seed of the bytes.
    """

    file: str
    kind: str
    place: Place
    target: str
    is_whole: bool
    seed: int


class Checkpoints(CommandSubject[CheckpointCase]):
    """Damaged checkpoints."""

    name = "checkpoints"
    cases = 120

    def __init__(self, materials: Materials, **given: Any) -> None:
        super().__init__(materials, **given)
        self._files = files(materials.checkpoint)
        self._json = {name: json.loads((materials.checkpoint / name).read_text()) for name in _JSON}

    def make(self, rng: Random) -> CheckpointCase:
        place: Place = ()
        form = rng.random()
        if form < 0.4:
            file = rng.choice(_JSON)
            place = rng.choice([*places(self._json[file])])
            kind = rng.choice([*BAD_VALUES, *STRUCTURES])
        elif form < 0.65:
            file, kind = _WEIGHTS_FILE, rng.choice([*KINDS])
        elif form < 0.95:
            file, kind = rng.choice(self._files), rng.choice([*BYTES, *PLACES, UNREADABLE])
        else:
            file, kind = rng.choice(_PICKLES), _MALICE
        target = rng.choice([*TARGETS])
        return CheckpointCase(
            file, kind, place, target, rng.random() < _WHOLE, rng.randrange(1 << 32)
        )

    def judge(self, case: CheckpointCase, folder: Path) -> Verdict:
        work = folder / "work"
        copy_linked(self._materials.bundle, work / "B")
        copy_linked(self._materials.checkpoint, work / "C")
        self._damage(work / "C", case)
        TARGETS[case.target](work / "out")
        before = tree(work)
        command = Command(
            ("C", "out", "--no-verify", "--force"),
            self._program or (BARK_EXPORT if case.is_whole else EXPORT),
            permissions_bind=case.kind == UNREADABLE,
        )
        result = run(command, work, folder / "scratch", seconds=self._seconds)
        verdict = judge(result, work, before, {"out": lambda path: _ignore(Manifest.read(path))})
        if verdict.outcome is not Outcome.ACCEPTED:
            return verdict
        return self._speak(work, folder / "speaking", is_whole=case.is_whole)

    def _damage(self, checkpoint: Path, case: CheckpointCase) -> None:
        path, rng = checkpoint / case.file, Random(case.seed)
        if case.kind == _MALICE:
            (checkpoint / _WEIGHTS_FILE).unlink()
            if path.suffix == ".pt":
                (checkpoint / "config.json").unlink()
            for name in _PICKLES if path.suffix == ".pt" else (case.file,):
                (checkpoint / name).write_bytes(pickle.dumps(_Malice()))
        elif case.place:
            rewrite(path, bad_json(self._json[case.file], case.place, case.kind).encode())
        elif case.kind in KINDS:
            rewrite(path, damage_weights(path.read_bytes(), case.kind, rng))
        else:
            damage(path, case.kind, rng)

    def _speak(self, work: Path, scratch: Path, *, is_whole: bool) -> Verdict:
        """Speak with the settings, the tokenizer and the voices of an accepted checkpoint."""
        bundle = work / "out"
        if not is_whole:
            manifest, exported = (Manifest.read(path) for path in (work / "B", bundle))
            if exported.shapes != manifest.shapes:
                return Verdict(Outcome.ACCEPTED)
            changed = dataclasses.replace(manifest, generation=exported.generation)
            tokenizer = (bundle / "tokenizer.json").read_bytes()
            bundle = work / "B"
            rewrite(bundle / "bark.json", changed.to_json().encode())
            rewrite(bundle / "tokenizer.json", tokenizer)
            record(bundle, "tokenizer.json")
        before = tree(work)
        command = Command((*SPEAK, "-m", str(bundle), "-o", "out.wav"), self._program or BARK_ONNX)
        result = run(command, work, scratch, seconds=self._seconds)
        return judge(result, work, before, {"out.wav": check_sound})


class _Malice:
    """An object whose pickle writes a file into the working folder when it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(_PROOF),)


def _ignore(_: object) -> None:
    """Discard a result."""
