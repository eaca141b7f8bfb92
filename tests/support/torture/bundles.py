"""Damaged bundles: graphs, weights, bark.json, tokenizer, voices, and what stands in for them."""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bark_onnx.graphs.bundle.integrity import hash_file
from tests.support.torture.bad_json import BAD_VALUES, Place, places, value_at, with_value
from tests.support.torture.commands import run
from tests.support.torture.damage import BYTES, PLACES, UNREADABLE, damage, rewrite
from tests.support.torture.judging import judge
from tests.support.torture.materials import SPEAK, VOICE, Materials
from tests.support.torture.outcomes import Verdict
from tests.support.torture.processes import BARK_ONNX, Command
from tests.support.torture.sounds import check_sound, tone
from tests.support.torture.subject import CommandSubject
from tests.support.torture.trees import copy_linked, files, tree

_SPEAK = (*SPEAK, "-m", "B", "-o", "out.wav")
_COMMANDS = {
    "speak": _SPEAK,
    "speak with a voice": (*_SPEAK, "--voice", VOICE),
    "speak with low memory": (*_SPEAK, "--low-memory"),
    "info": ("info", "-m", "B"),
    "info as JSON": ("info", "B", "--json"),
    "list voices": ("voices", "-m", "B"),
    "import a voice": ("voices", "import", "me.npz", "-m", "B"),
}
_WEIGHTS = (8, 3, 1, 2, 1, 2, 1)
STRUCTURES = ("no value", "unknown key", "twice")
_JSON = ("bark.json", "tokenizer.json")


@dataclass(frozen=True)
class BundleCase:
    """One damaged file of a bundle.

    Attributes:
        file: The file.
        kind: What happens to it.
        place: Place of a bad value in a JSON file.
        is_recorded: Whether the manifest has the new checksum.
        command: What is done with the bundle.
        seed: Seed of the bytes.
    """

    file: str
    kind: str
    place: Place
    is_recorded: bool
    command: str
    seed: int


class Bundles(CommandSubject[BundleCase]):
    """Damaged bundles."""

    name = "bundles"
    cases = 250

    def __init__(self, materials: Materials, **given: Any) -> None:
        super().__init__(materials, **given)
        self._files = files(materials.bundle)
        self._json = {name: json.loads((materials.bundle / name).read_text()) for name in _JSON}

    def make(self, rng: Random) -> BundleCase:
        (command,) = rng.choices([*_COMMANDS], _WEIGHTS)
        if rng.random() < 0.4:
            file = rng.choices(_JSON, (4, 1))[0]
            place = rng.choice([*places(self._json[file])])
            kind = rng.choice([*BAD_VALUES, *STRUCTURES])
        else:
            file, place = rng.choice(self._files), ()
            kind = rng.choice([*BYTES, *BYTES, *PLACES, UNREADABLE])
        # A parser of hostile graphs is not promised to be safe; weights are only numbers.
        is_recorded = not file.endswith(".onnx") and rng.random() < 0.6
        return BundleCase(file, kind, place, is_recorded, command, rng.randrange(1 << 32))

    def judge(self, case: BundleCase, folder: Path) -> Verdict:
        work = folder / "work"
        bundle = copy_linked(self._materials.bundle, work / "B")
        (work / "me.npz").write_bytes(self._materials.voice)
        (work / "out.wav").write_bytes(tone())
        self._damage(bundle, case)
        outputs = {"out.wav": check_sound} if case.command.startswith("speak") else {}
        if case.command.startswith("import"):
            outputs = {"B": lambda path: None}
        command = Command(
            _COMMANDS[case.command],
            self._program or BARK_ONNX,
            permissions_bind=case.kind == UNREADABLE,
        )
        before = tree(work)
        result = run(command, work, folder / "scratch", seconds=self._seconds)
        return judge(result, work, before, outputs)

    def _damage(self, bundle: Path, case: BundleCase) -> None:
        path = bundle / case.file
        if case.place:
            rewrite(path, bad_json(self._json[case.file], case.place, case.kind).encode())
        else:
            damage(path, case.kind, Random(case.seed))
        if case.is_recorded and case.file != "bark.json" and case.kind not in PLACES:
            record(bundle, case.file)


def bad_json(data: object, place: Place, kind: str) -> str:
    """JSON with a bad value, without a value, or with a key too many."""
    if kind in BAD_VALUES:
        return with_value(data, place, BAD_VALUES[kind])
    changed = json.loads(json.dumps(data))
    parent = value_at(changed, place[:-1])
    if kind == "no value":
        del parent[place[-1]]
    elif isinstance(parent, list):
        parent.append(parent[-1])
    elif kind == "unknown key":
        parent["unknown"] = 1
    else:
        text = json.dumps(value_at(data, place))
        parent[place[-1]] = "twice"
        return json.dumps(changed).replace('"twice"', f"{text}, {json.dumps(place[-1])}: {text}")
    return json.dumps(changed)


def record(bundle: Path, name: str) -> None:
    """Write a file's size and checksum to the manifest."""
    path = bundle / "bark.json"
    data = json.loads(path.read_text())
    found = hash_file(bundle / name)
    data["files"][name] = {"size": found.size, "sha256": found.sha256}
    rewrite(path, json.dumps(data).encode())
