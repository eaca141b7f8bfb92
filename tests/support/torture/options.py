"""Random command lines of all commands, with bad values; their parameters are read from click."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import click

from bark_onnx.export.cli import command as export_command
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.audio.files.formats import SUFFIXES
from bark_onnx.runtime.cli.command import command as runtime_command
from tests.support.torture.commands import Result, Running, run
from tests.support.torture.judging import Check, judge
from tests.support.torture.materials import SPEAK, VOICE, Materials
from tests.support.torture.outcomes import Verdict
from tests.support.torture.processes import BARK_ONNX, Command
from tests.support.torture.sounds import check_readable_sound, tone
from tests.support.torture.subject import CommandSubject
from tests.support.torture.trees import changes, copy_linked, tree

EXPORT = "tests.support.torture.quick_export:main"
Name = tuple[str, ...]  # of a command and its subcommands

NUMBERS = (
    *("0", "-1", "1", "3", "0.5", "1e308", "-1e308", "1e-320", "nan", "inf", "-inf", "1_0", "٣"),
    *("0x10", "1e", "", " 1", f"1{'0' * 30}", "9" * 5000, "true", "-0", "2147483648"),
    *("18446744073709551616", "1024", "8000", "44100"),
)
NAMES = (
    *("", ".", "..", "/", "a/b", "x.wav", "x.mp3", "x.opus", "x.npz", "x.json", "x.srt", "x.svg"),
    *("me.npz", "text.txt", "former.wav", "B", "B/bark.json", "B/new.wav", "loop", "dangling.wav"),
    *("no/such/x.wav", "text.txt/x.wav", "new/", "new", "ö.wav", "\u202ex.wav", "a\nb.wav"),
    *("\x1b[31m.wav", "x" * 300, f"{'x' * 300}.wav", f"{'é' * 120}.wav", "-", "--", "-x.wav"),
    *("{n}.wav", "{n:03}.wav", "{n:999999999}.wav", "{n.__class__}.wav", "{}.wav", "{0}.wav"),
    *("{n!r:>9}.wav", "{n", "%s.wav", "\udcff.wav", "CON", ".wav", "..wav", "x.wav.partial"),
)
WORDS = (
    *("german", "de-3", VOICE, "v2/", "nope", "../me", "A=me.npz", "=", "A=", "a\nb=x", "Hello"),
    *("wav", "raw", "fp32", "fp32,fp32", "int8", "fp64", "auto", "previous", "first", "suno"),
    *("en", "*", "localhost", "::1", "300.1", "x" * 300, "a..b", "\u202e", "http://localhost"),
    *("key with spaces", "ключ", "all", "none", "small", "some/repository", "some//repository"),
)
TEXTS = (
    *("Hello", "", " ", "-", "A: Hi.\nB: Ho.", "\u202eabc", "😀", "\x07", "\u200b"),
    *("word " * 60, "x" * 3000, "." * 300, "One.\nTwo.\n\nThree.", "\udcff", "[laughs] ♪ la ♪"),
)


@dataclass(frozen=True)
class OptionsCase:
    """A command line."""

    arguments: tuple[str, ...]

    @property
    def is_export(self) -> bool:
        return self.arguments[0] == "bark-export"

    @property
    def serves(self) -> bool:
        return "serve" in self.arguments[:2]


def parameters() -> dict[Name, list[click.Parameter]]:
    """Parameters of all commands."""
    found = {("bark-export",): export_command.params}
    found.update((("bark-onnx", *name), params) for name, params in _walk(runtime_command))
    return found


def _walk(group: click.Command) -> Iterator[tuple[Name, list[click.Parameter]]]:
    for name, each in getattr(group, "commands", {}).items():
        yield (name,), each.params
        yield from (((name, *rest), params) for rest, params in _walk(each))


# What a command needs; speech stays short unless an option says otherwise.
_NEEDED: dict[Name, tuple[str, ...]] = {
    ("bark-export",): ("C", "out"),
    ("bark-onnx", "speak"): (*SPEAK[1:], "-m", "B"),
    ("bark-onnx", "voices"): ("-m", "B"),
    ("bark-onnx", "voices", "import"): ("me.npz", "-m", "B"),
    ("bark-onnx", "voices", "check"): ("me.npz",),
    ("bark-onnx", "info"): ("former.wav",),
    ("bark-onnx", "serve"): ("-m", "B", "--port", "0", "--no-warm-up", "--threads", "1"),
}
_WEIGHTS = (3, 10, 1, 2, 1, 2, 3)


_OUTPUTS = ("-o", "--output", "--timestamps", "--plot", "--save-voice", "--uploads")
_TARGETS = (*_OUTPUTS, "--unix-socket", "--output_filename", "--output_dir")
_LISTENING, _SERVE_SECONDS = '"listening"', 20.0
_MAX_LINES = 8  # errors of a command that goes on after one: --lines, voices check


class Options(CommandSubject[OptionsCase]):
    """Random command lines."""

    name = "options"
    cases = 400

    def __init__(self, materials: Materials, **given: Any) -> None:
        super().__init__(materials, **given)
        self._parameters = parameters()

    def make(self, rng: Random) -> OptionsCase:
        (command,) = rng.choices([*_NEEDED], _WEIGHTS)
        given = [*_NEEDED[command]]
        for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 6])):
            place = rng.choice([0, len(given), rng.randrange(len(given) + 1)])
            given[place:place] = _option(rng, self._parameters[command])
        if rng.random() < 0.15:
            given[rng.randrange(len(given))] = rng.choice([*NAMES, *WORDS, *NUMBERS, *TEXTS])
        if rng.random() < 0.05:
            del given[rng.randrange(len(given))]
        return OptionsCase((*command, *given))

    def judge(self, case: OptionsCase, folder: Path) -> Verdict:
        work = folder / "work"
        self._fill(work)
        program = self._program or (EXPORT if case.is_export else BARK_ONNX)
        command = Command(case.arguments[1:], program, stdin=b"Hello. Good night.")
        before = tree(work)
        if case.serves:
            result = self._serve(command, work, folder / "scratch")
        else:
            result = run(command, work, folder / "scratch", seconds=self._seconds)
        named = _named_outputs(case)
        found = [path for path in changes(before, tree(work)) if (work / path).exists()]
        outputs: dict[str, Check] = {
            path: check_output for path in found if path not in before or path in named
        }
        kept = {path: outputs[path] for path in outputs if path in named}
        has_failed = result.status != 0
        return judge(
            result,
            work,
            before,
            kept if has_failed and "--lines" not in case.arguments else outputs,
            keeps=True,
            max_lines=_MAX_LINES if {"--lines", "check"} & {*case.arguments} else 1,
        )

    def _fill(self, work: Path) -> None:
        """Make a folder with everything that a command line may name."""
        copy_linked(self._materials.bundle, work / "B")
        copy_linked(self._materials.checkpoint, work / "C")
        (work / "me.npz").write_bytes(self._materials.voice)
        (work / "text.txt").write_text("Here is one sentence. Then there is another.\n")
        (work / "former.wav").write_bytes(tone())
        (work / "loop").symlink_to("loop")
        (work / "dangling.wav").symlink_to("nowhere.wav")

    def _serve(self, command: Command, work: Path, scratch: Path) -> Result:
        """Run the server until it listens, and end it with a signal."""
        running = Running(command, work, scratch)
        running.wait_until(lambda: _LISTENING in running.err, _SERVE_SECONDS)
        is_ended = running.send(signal.SIGTERM)
        result = running.result(self._seconds)
        lines = [line for line in result.err.splitlines() if not line.startswith("{")]
        status = 0 if is_ended and result.status == -signal.SIGTERM else result.status
        return replace(result, status=status, err="\n".join(lines))


def _option(rng: Random, parameters: list[click.Parameter]) -> list[str]:
    """A random option or argument, with a value that may be bad."""
    parameter = rng.choice(parameters)
    flags = [*parameter.opts, *parameter.secondary_opts]
    if not isinstance(parameter, click.Option):
        return [rng.choice([*NAMES, *TEXTS, *WORDS])]
    if parameter.is_flag:
        return [rng.choice(flags)]
    return [rng.choice(flags), _value(rng, parameter)]


def _value(rng: Random, parameter: click.Parameter) -> str:
    kind = parameter.type
    if rng.random() < 0.15:
        return rng.choice([*NUMBERS, *NAMES, *WORDS, *TEXTS])
    if isinstance(kind, click.Choice):
        return str(rng.choice([*kind.choices]))
    if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        return rng.choice(NUMBERS)
    is_name = isinstance(kind, click.Path) or parameter.opts[-1] in _TARGETS
    return rng.choice(NAMES if is_name else [*WORDS, *NAMES])


def _named_outputs(case: OptionsCase) -> set[str]:
    """Paths that a command line allows to be replaced."""
    arguments = case.arguments
    named = {value for flag, value in pairwise(arguments) if flag in _TARGETS or case.is_export}
    named |= {flag.partition("=")[2] for flag in arguments if flag.startswith(_TARGETS)}
    folders = {str(Path(name)) for name in named if name}
    return {*named, *folders, "speech.wav", "nowhere.wav"}


def check_output(path: Path) -> None:
    """Check that a file is what its name promises."""
    suffix = path.suffix.lower()
    if path.is_dir():  # a bundle, a kit, or the folder of uploads
        return
    if suffix in SUFFIXES:
        check_readable_sound(path)
    elif suffix == ".json":
        json.loads(path.read_text("utf-8"))
    elif suffix == ".npz":
        Voice.load(path)
