"""Random changes to the files of voices: any bytes are a voice, or a VoiceError of one line.

python -m tests.support.torture.voices --mutants 100000 --seed 0   # without the commands
"""

import argparse
import io
import random
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.voices.voice import Voice
from tests.support.sizes import SETTINGS
from tests.support.torture.commands import run
from tests.support.torture.damage import PLACES, UNREADABLE, damage
from tests.support.torture.judging import Check, judge
from tests.support.torture.materials import SPEAK, VOICE
from tests.support.torture.mutants import mutant
from tests.support.torture.outcomes import Verdict
from tests.support.torture.processes import BARK_ONNX, Command
from tests.support.torture.sounds import check_sound, tone
from tests.support.torture.subject import CommandSubject
from tests.support.torture.trees import copy_linked, tree


def outcome(content: bytes) -> str:
    """What becomes of a file: "voice", "refused", or a description of a defect."""
    try:
        voice = Voice.read(io.BytesIO(content), name="me")
        voice.check(SETTINGS)
    except VoiceError as error:
        message = str(error)
        return "refused" if message.isprintable() and len(message) < 1000 else repr(message)
    except BaseException:
        return traceback.format_exc()
    return "voice"


_MUTANT = "mutant"
_COMMANDS = {
    "check": ("voices", "check", "me.npz"),
    "check with a bundle": ("voices", "check", "me.npz", "-m", "B"),
    "import": ("voices", "import", "me.npz", "-m", "B"),
    "import a folder": ("voices", "import", "sources", "-m", "B", "--force"),
    "speak": (*SPEAK, "-m", "B", "-o", "out.wav", "--voice", "me.npz"),
}
_WEIGHTS = (3, 2, 3, 1, 3)


@dataclass(frozen=True)
class VoiceCase:
    """A file, and what is done with it.

    Attributes:
        kind: A mutant, or what stands in the place of a file.
        command: Which command reads it.
        seed: Seed of its bytes.
    """

    kind: str
    command: str
    seed: int

    def content(self) -> bytes:
        return mutant(random.Random(self.seed))


class VoiceFiles(CommandSubject[VoiceCase]):
    """Files that resemble voices, read by the commands."""

    name = "voices"
    cases = 250

    def make(self, rng: random.Random) -> VoiceCase:
        kind = rng.choice([*PLACES, UNREADABLE]) if rng.random() < 0.1 else _MUTANT
        (command,) = rng.choices([*_COMMANDS], _WEIGHTS)
        return VoiceCase(kind, command, rng.randrange(1 << 32))

    def judge(self, case: VoiceCase, folder: Path) -> Verdict:
        work = folder / "work"
        copy_linked(self._materials.bundle, work / "B")
        (work / "out.wav").write_bytes(tone())
        (work / "sources").mkdir()
        path = work / ("sources/me.npz" if "folder" in case.command else "me.npz")
        path.write_bytes(case.content())
        if case.kind != _MUTANT:
            damage(path, case.kind, random.Random(case.seed))
        outputs: dict[str, Check] = {}
        if case.command == "speak":
            outputs = {"out.wav": check_sound}
        elif case.command.startswith("import"):
            outputs = {"B/voices": _check_voices}
        command = Command(
            _COMMANDS[case.command],
            self._program or BARK_ONNX,
            permissions_bind=case.kind == UNREADABLE,
        )
        before = tree(work)
        result = run(command, work, folder / "scratch", seconds=self._seconds)
        return judge(result, work, before, outputs)


def _check_voices(folder: Path) -> None:
    """Check that all voices of a bundle can be read, the imported one among them."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.npz")}
    assert names == {"me.npz", f"{VOICE}.npz"}
    for name in names:
        Voice.load(folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, counts, started = random.Random(arguments.seed), Counter[str](), time.monotonic()
    for _ in range(arguments.mutants):
        found = outcome(mutant(rng))
        if found not in ("voice", "refused"):
            print(found)
            found = "defect"
        counts[found] += 1
    total = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    print(f"{total} in {time.monotonic() - started:.0f} s")
    sys.exit(bool(counts["defect"]))


if __name__ == "__main__":
    main()
