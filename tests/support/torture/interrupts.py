"""Signals at random moments: work is kept or undone, and nothing is left behind."""

import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.integrity import check_contents
from bark_onnx.graphs.voices.voice import Voice
from tests.support.torture.commands import Result, Running, run
from tests.support.torture.judging import Check, judge
from tests.support.torture.materials import SPEAK
from tests.support.torture.options import EXPORT, check_output
from tests.support.torture.outcomes import Outcome, Verdict
from tests.support.torture.processes import BARK_EXPORT, BARK_ONNX, Command
from tests.support.torture.sounds import check_readable_sound, check_sound, tone
from tests.support.torture.subject import CommandSubject
from tests.support.torture.trees import Tree, changes, copy_linked, tree

_TEXT = "Here is the first sentence of it. Then there is another one, somewhat longer. " * 40
_LINES = "\n".join(f"Line {number}." for number in range(60))
_VOICES = 60
_LONG = ("--threads", "1", "--seed", "1", "--semantic-max-new-tokens", "15", "--language", "en")


@dataclass(frozen=True)
class _Scene:
    """A command that is interrupted.

    Attributes:
        arguments: Its arguments.
        checks: Checks of what it may leave.
        again: Arguments of the command that follows one that was killed.
        program: Function that runs it.
        seconds: About how long it computes.
    """

    arguments: tuple[str, ...]
    checks: dict[str, Check]
    again: tuple[str, ...]
    program: str = BARK_ONNX
    seconds: float = 2.0

    def outputs(self, before: Tree, work: Path) -> dict[str, Check]:
        """Checks of what has changed."""
        found = changes(before, tree(work))
        return {
            name: check
            for name, check in self.checks.items()
            if any(path == name or path.startswith(f"{name}/") for path in found)
        }


def _check_lines(folder: Path) -> None:
    for path in folder.iterdir():
        check_readable_sound(path)


def _check_bundle(folder: Path) -> None:
    """Check that a bundle is whole."""
    opened = Bundle(folder)
    check_contents(folder, opened.manifest.files, opened.manifest.files)


def _check_imported(folder: Path) -> None:
    """Check that a bundle is whole, with every voice or none."""
    _check_bundle(folder)
    names = Bundle(folder).voice_names()
    assert len(names) in (1, 1 + _VOICES), f"{len(names)} voices"
    for name in names:
        Voice.load(folder / "voices" / f"{name}.npz")


_SPEAK = ("speak", "-i", "text.txt", "-m", "B", *_LONG)
_SPEAK_LINES = ("speak", "-i", "lines.txt", "-m", "B", *_LONG, "--lines", "-o", "out/")
_EXPORT = ("C", "B", "--no-verify", "--force")
_SHORT = (*SPEAK, "-m", "B", "-o")
_FEW_TOKENS = ("--semantic-max-new-tokens", "3")
SCENES = {
    "speak": _Scene(
        (*_SPEAK, "-o", "out.wav", "--timestamps", "out.json", "--max-seconds", "4"),
        {"out.wav": check_sound, "out.json": check_output},
        (*_SHORT, "out.wav", "--timestamps", "out.json"),
    ),
    "speak to a flac file": _Scene(
        (*_SPEAK, "-o", "out.flac"), {"out.flac": check_sound}, (*_SHORT, "out.flac")
    ),
    "speak lines": _Scene(_SPEAK_LINES, {"out": _check_lines}, (*_SPEAK_LINES, *_FEW_TOKENS)),
    "import voices": _Scene(
        ("voices", "import", "sources", "-m", "B"),
        {"B": _check_imported},
        ("voices", "import", "sources", "-m", "B", "--force"),
        seconds=0.3,
    ),
    "export": _Scene(
        ("C", "out", "--no-verify"),
        {"out": _check_bundle},
        ("C", "out", "--no-verify", "--force"),
        BARK_EXPORT,
        8.0,
    ),
    "export over a bundle": _Scene(_EXPORT, {"B": _check_bundle}, _EXPORT, BARK_EXPORT, 8.0),
    "export quickly": _Scene(_EXPORT, {"B": _check_bundle}, _EXPORT, EXPORT, 1.0),
}
_WEIGHTS = (6, 2, 3, 3, 1, 1, 3)
_FROM_SIGNALS = 128  # exit status of a shell, minus the signal
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class InterruptCase:
    """Signals to a command.

    Attributes:
        scene: What the command does.
        part: Part of its run before the first signal.
        signals: The signals.
        pause: Seconds between two signals.
        is_fresh: Whether the command imports everything itself.
    """

    scene: str
    part: float
    signals: tuple[str, ...]
    pause: float
    is_fresh: bool


class Interrupts(CommandSubject[InterruptCase]):
    """Interrupted commands."""

    name = "interrupts"
    cases = 80

    def make(self, rng: Random) -> InterruptCase:
        (scene,) = rng.choices([*SCENES], _WEIGHTS)
        if rng.random() < 0.15:
            names = ["SIGKILL"]
        else:
            count = rng.choice([1, 1, 1, 2, 3])
            names = [rng.choice(_SIGNALS).name for _ in range(count)]
        is_fresh = rng.random() < (0.1 if "export" in scene else 0.3)  # PyTorch takes seconds
        part = rng.random() * (2.0 if is_fresh else 1.0)  # also while it imports
        return InterruptCase(scene, part, tuple(names), rng.choice([0, 0.001, 0.05]), is_fresh)

    def judge(self, case: InterruptCase, folder: Path) -> Verdict:
        work, scene = folder / "work", SCENES[case.scene]
        self._fill(work)
        before = tree(work)
        program = self._program or scene.program
        running = Running(
            Command(scene.arguments, program, is_fresh=case.is_fresh), work, folder / "scratch"
        )
        running.wait_until(lambda: running.has_started)
        running.wait_until(lambda: running.cpu_seconds >= case.part * scene.seconds)
        sent = []
        for name in case.signals:
            if running.send(signal.Signals[name]):
                sent.append(signal.Signals[name])
            time.sleep(case.pause)
        result = running.result(self._seconds)
        if result.status == -signal.SIGKILL:
            # The next run removes what was left behind.
            again = Command(scene.again, self._program or scene.program)
            result = run(again, work, folder / "again", seconds=self._seconds)
        elif result.status in (-each for each in sent):
            result = _as_status(result)
        verdict = judge(result, work, before, scene.outputs(before, work), keeps=True)
        ends = [0, *(_FROM_SIGNALS + each for each in sent)]
        if not verdict.outcome.is_defect and result.status not in ends:
            return Verdict(Outcome.TRACEBACK, f"not a status of {sent}\n{result}")
        return verdict

    def _fill(self, work: Path) -> None:
        copy_linked(self._materials.bundle, work / "B")
        copy_linked(self._materials.checkpoint, work / "C")
        (work / "out.wav").write_bytes(tone())
        (work / "text.txt").write_text(_TEXT)
        (work / "lines.txt").write_text(_LINES)
        (work / "sources").mkdir()
        for number in range(_VOICES):
            (work / "sources" / f"v{number}.npz").write_bytes(self._materials.voice)


def _as_status(result: Result) -> Result:
    """The status of a shell; a signal that comes before anything has begun needs no message."""
    assert result.status is not None
    name = signal.Signals(-result.status).name
    err = result.err or f"bark-onnx: interrupted by {name}\n"
    return replace(result, status=_FROM_SIGNALS - result.status, err=err)
