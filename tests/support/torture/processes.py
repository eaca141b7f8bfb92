"""Processes of a command: forked from one that has imported everything, or fresh ones."""

import faulthandler
import importlib
import io
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Protocol

from tests.support.permissions import permissions_bind

BARK_ONNX = "bark_onnx.runtime.cli.main:main"
BARK_EXPORT = "bark_onnx.export.cli:main"

STARTED = "started"  # file that exists once the command's own code runs
STREAMS = ("stdin", "out", "err")  # files of the standard streams
STACKS = "stacks"  # file of the stacks of all threads, written at SIGUSR2 and after a crash

_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_NAMES = {BARK_EXPORT: "bark-export"}
_ROOT = Path(__file__).parents[3]  # of the package `tests`
_LOCK = threading.Lock()  # multiprocessing polls all children whenever one starts
_FRESH = "import sys; from tests.support.torture.processes import enter_fresh; enter_fresh()"


@dataclass(frozen=True)
class Command:
    """A command line, and the limits of its process.

    Attributes:
        program: Function that runs the command, as module:function.
        environment: Further variables.
        max_file_bytes: Size of the largest file, as on a full disk; None: any.
        permissions_bind: Whether permissions bind the superuser, too.
        closed: Standard streams that are closed; only of fresh processes.
        redirected: Paths of standard streams; only of fresh processes.
        is_fresh: Whether the process imports everything itself.
    """

    arguments: tuple[str, ...]
    program: str = BARK_ONNX
    stdin: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict)
    max_file_bytes: int | None = None
    permissions_bind: bool = False
    closed: tuple[int, ...] = ()
    redirected: Mapping[int, str] = field(default_factory=dict)
    is_fresh: bool = False


class Process(Protocol):
    """A process that has been started."""

    pid: int

    def wait(self, seconds: float) -> int | None:
        """Exit status; negative: a signal; None: it has not ended so far."""


def start(command: Command, folder: Path, scratch: Path) -> Process:
    """Start a command in `folder`; its streams are files in `scratch`."""
    (scratch / STREAMS[0]).write_bytes(command.stdin)
    for name in (*STREAMS[1:], STACKS):
        (scratch / name).touch()
    kind = _Fresh if command.is_fresh else _Fork
    return kind(command, folder, scratch)


class _Fork:
    """A fork of a process that has imported everything."""

    def __init__(self, command: Command, folder: Path, scratch: Path) -> None:
        self._process = _forks().Process(
            target=_enter_fork, args=(command, folder, scratch), daemon=True
        )
        with _LOCK:
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def wait(self, seconds: float) -> int | None:
        wait([self._process.sentinel], seconds)
        with _LOCK:
            return self._process.exitcode


class _Fresh:
    """A process that imports everything itself."""

    def __init__(self, command: Command, folder: Path, scratch: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FRESH, command.program, str(scratch), *command.arguments],
            cwd=folder,
            env={**os.environ, **_ENVIRONMENT, **command.environment, "PYTHONPATH": str(_ROOT)},
            preexec_fn=lambda: _limit(command, scratch),
        )
        self.pid = self._process.pid

    def wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


def _forks() -> ForkServerContext:
    """The process that has imported everything; the environment is that of its start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.torture.preload"])
    os.environ.update(_ENVIRONMENT)
    return context


def _enter_fork(command: Command, folder: Path, scratch: Path) -> None:
    """Run a command in a child of the process that has imported everything."""
    _limit(command, scratch)
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False))  # noqa: SIM115 (a descriptor)
    os.chdir(folder)
    os.environ.update(command.environment)
    if not command.permissions_bind:
        _enter(command.program, scratch, command.arguments)
        return
    with permissions_bind():
        _enter(command.program, scratch, command.arguments)


def enter_fresh() -> None:
    """Run the command that the arguments name, in a fresh process."""
    program, scratch, *arguments = sys.argv[1:]
    _enter(program, Path(scratch), arguments)


def _enter(program: str, scratch: Path, arguments: object) -> None:
    stacks = (scratch / STACKS).open("w")
    faulthandler.enable(stacks)
    faulthandler.register(signal.SIGUSR2, stacks)
    module, function = program.split(":")
    main = getattr(importlib.import_module(module), function)
    sys.argv = [_NAMES.get(program, "bark-onnx"), *arguments]
    _mark_start(scratch / STARTED)
    main()


def _mark_start(path: Path) -> None:
    """Create a file once the command's own code imports or opens anything.

    Before, a signal would meet the code of this module.
    """
    has_started = False

    def note(event: str, _: object) -> None:
        nonlocal has_started
        if not has_started and event in ("import", "open"):
            has_started = True
            path.touch()

    sys.addaudithook(note)


def _limit(command: Command, scratch: Path) -> None:
    """Connect the standard streams to files, and set limits and signals as of a shell."""
    for fd, name in enumerate(STREAMS):
        flags = os.O_RDONLY if fd == 0 else os.O_WRONLY
        opened = os.open(command.redirected.get(fd, scratch / name), flags)
        os.dup2(opened, fd)
        os.close(opened)
    for fd in command.closed:
        os.close(fd)
    if command.max_file_bytes is not None:
        limit = (command.max_file_bytes, command.max_file_bytes)
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
