"""Outputs that cannot be written, or are no files: links, pipes, devices, full disks, odd names."""

import os
import re
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from bark_onnx.graphs.bundle.manifest import Manifest
from tests.support.torture.commands import Result, Running
from tests.support.torture.judging import Check, judge
from tests.support.torture.materials import SPEAK
from tests.support.torture.options import EXPORT, check_output
from tests.support.torture.outcomes import Outcome, Verdict
from tests.support.torture.processes import BARK_ONNX, Command
from tests.support.torture.sounds import check_sound
from tests.support.torture.subject import CommandSubject
from tests.support.torture.targets import TARGETS, pipe_reader
from tests.support.torture.trees import copy_linked, tree

_LONG = "Here is the first sentence of it. Then there is another one, somewhat longer. " * 4
_SPEAK = (SPEAK[0], _LONG, *SPEAK[2:], "--language", "en", "--max-seconds", "3", "-m", "../B")
_SAYS = {
    "sound": (*_SPEAK, "-o"),
    "timestamps": (*_SPEAK, "-o", "speech.wav", "--timestamps"),
    "picture": (*_SPEAK, "-o", "speech.wav", "--plot"),
    "voice": (*_SPEAK, "-o", "speech.wav", "--save-voice"),
    "lines": (*_SPEAK, "--lines", "-o"),
    "bundle": ("--no-verify", "--force"),
}
_SUFFIXES = {"timestamps": ".json", "picture": ".svg", "voice": ".npz", "bundle": "", "lines": ""}
_WEIGHTS = (12, 3, 1, 3, 2, 3)
_SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".opus")
_FOLDERS = {"in a closed folder": "closed/", "in no folder": "none/", "in a file": "file/"}
_SPECIAL = ("a pipe that is read", "a pipe", "null", "full", "a socket")
_MAX_NAME_BYTES = 255  # of the usual file systems
_MAX_SOCKET_NAME_BYTES = 40  # with its folder, fewer than 108
_PIPE_SECONDS = 3.0  # during which a command waits for a reader
_MAX_LINES = 20  # errors with --lines
_SAVED_VOICE = re.compile(r"^.*: a voice of [0-9.]+ s; use it with --voice .*\n", re.MULTILINE)


NAMES = ("t", "t", "t", "a\nb", "\u202et", "\udcfft", "x" * 240, "x" * 251, "x" * 252, "-t", "ö t")


@dataclass(frozen=True)
class OutputCase:
    """Something to write, and what is in the way.

    Attributes:
        what: What is written to the target.
        target: What is there before.
        name: Name of the target.
        max_bytes: Size at which the disk is full; None: it is not.
        is_twice: Whether two commands write to the target at the same time.
        closed: Standard streams that are closed.
    """

    what: str
    target: str
    name: str
    max_bytes: int | None
    is_twice: bool
    closed: tuple[int, ...]

    @property
    def path(self) -> str:
        """Path of the target, in the working folder."""
        return f"{_FOLDERS.get(self.target, '')}{self.name}"


class Outputs(CommandSubject[OutputCase]):
    """Outputs of speak and of bark-export."""

    name = "outputs"
    cases = 100

    def make(self, rng: Random) -> OutputCase:
        (what,) = rng.choices([*_SAYS], _WEIGHTS)
        target = rng.choice([*TARGETS])
        stem = rng.choice(NAMES) if rng.random() < 0.3 else "t"
        suffix = rng.choice(_SOUNDS) if what == "sound" else _SUFFIXES[what]
        limit_bytes = _MAX_SOCKET_NAME_BYTES if target == "a socket" else _MAX_NAME_BYTES
        if len(os.fsencode(f"{stem}{suffix}")) > limit_bytes:
            target = "nothing"  # can have that name
        limit = rng.randrange(200_000) if rng.random() < 0.25 else None
        closed: tuple[int, ...] = ()
        if what != "bundle" and rng.random() < 0.05:  # a fresh bark-export takes seconds
            closed = rng.choice([(1,), (2,), (0, 2), (1, 2)])
        is_twice = not closed and rng.random() < 0.2
        return OutputCase(what, target, f"{stem}{suffix}", limit, is_twice, closed)

    def judge(self, case: OutputCase, folder: Path) -> Verdict:
        place = folder / "place"
        work = place / "work"
        copy_linked(self._materials.bundle, place / "B")
        copy_linked(self._materials.checkpoint, place / "C")
        work.mkdir()
        (work / "file").write_bytes(b"irreplaceable")
        (work / "closed").mkdir()
        TARGETS[case.target](work / case.path)
        before = tree(place)
        with pipe_reader(work / case.path, case.target == "a pipe that is read") as received:
            running = [
                Running(self._command(case), work, folder / f"scratch {number}")
                for number in range(1 + case.is_twice)
            ]
            if case.target == "a pipe":
                _interrupt(running)
            results = [_spoken(case, each.result(self._seconds)) for each in running]
        (work / "closed").chmod(0o755)
        outputs = _outputs(case, place, results)
        verdicts = [
            judge(
                each,
                place,
                before,
                outputs,
                keeps=True,
                max_lines=_MAX_LINES if case.what == "lines" else 1,
            )
            for each in results
        ]
        if case.target == "a pipe that is read" and any(not each.status for each in results):
            assert case.what == "bundle" or received, "the pipe received nothing"
        return max(verdicts, key=lambda each: [*Outcome].index(each.outcome))

    def _command(self, case: OutputCase) -> Command:
        is_export = case.what == "bundle"
        path = f"./{case.path}{'/' * (case.what == 'lines')}"
        arguments = ("../C", path, *_SAYS["bundle"]) if is_export else (*_SAYS[case.what], path)
        return Command(
            arguments,
            self._program or (EXPORT if is_export else BARK_ONNX),
            max_file_bytes=case.max_bytes,
            permissions_bind=True,
            closed=case.closed,
            is_fresh=bool(case.closed),
        )


def _spoken(case: OutputCase, result: Result) -> Result:
    """What a command said, without a voice that it saved before it failed.

    It cannot say why it failed if standard error is closed.
    """
    if 2 in case.closed and result.status == 1 and not result.err:
        return replace(result, err="bark-onnx: (closed)\n")
    return replace(result, err=_SAVED_VOICE.sub("", result.err, count=1))


def _outputs(case: OutputCase, place: Path, results: list[Result]) -> dict[str, Check]:
    """Checks of the files that may have changed, by what became of the commands."""
    outputs: dict[str, Check] = {}
    if case.what in ("timestamps", "picture", "voice"):
        outputs["work/speech.wav"] = check_sound
    may_change = case.max_bytes is not None or any(each.status == 0 for each in results)
    if may_change and case.target not in _SPECIAL:
        is_link = case.target in ("a link", "a dangling link")
        name = f"real{Path(case.path).suffix}" if is_link else case.path
        outputs[f"work/{name}"] = _check_bundle if case.what == "bundle" else check_output
    return outputs


def _check_bundle(folder: Path) -> None:
    Manifest.read(folder)


def _interrupt(running: list[Running]) -> None:
    """End commands that wait for a reader of a pipe, as every program does."""
    for each in running:
        each.wait_until(lambda: False, _PIPE_SECONDS)
    for each in running:
        each.send(signal.SIGTERM)
