"""Runs bark-onnx batch in forks of this process, each killed, until it ends; prints JSON.

python -m tests.support.killed_batches BUNDLE FOLDER --kills 20 --seed 0

First the command runs through, then it is killed once at each step of a row, then at random times.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import bark_onnx.runtime.batch.folder as batch_folder
import bark_onnx.runtime.cli.command as cli
from bark_onnx.graphs.command_line import run_command
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.batch.manifest import Manifest
from bark_onnx.runtime.inference.thread_pool import use_global_thread_pool

ROWS = 16
POINTS = ("before the line", "half a line", "whole line", "named")
_SHARE = 0.3  # of the time of a whole run, the longest time until a kill
_ROW = 5  # at which a step kills


def kill_at(point: str) -> None:
    """Let the process be killed at one step of a row."""
    append, place, write = Manifest.append, batch_folder.BatchFolder._place, os.write
    calls: list[str] = []

    def dies() -> bool:
        calls.append(point)
        return len(calls) == _ROW

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def append_and_die(self: Manifest, entry: Any) -> None:
        if dies():
            if point == "half a line":
                write(self._file.fileno(), entry.to_line()[:30])
            elif point == "whole line":
                append(self, entry)
            die()
        append(self, entry)

    def place_and_die(self: Any, *arguments: Any) -> None:
        place(self, *arguments)
        if dies():
            die()

    if point == "named":
        batch_folder.BatchFolder._place = place_and_die  # type: ignore[method-assign]
    else:
        Manifest.append = append_and_die  # type: ignore[method-assign]


def start(bundle: str, folder: Path, prepare: Callable[[], None] | None = None) -> int:
    """Run the command in a fork; returns its process id."""
    child = os.fork()
    if child:
        return child
    os.chdir(folder.parent)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    if prepare is not None:
        prepare()
    use_global_thread_pool()
    sys.argv[1:] = [
        *("batch", "rows.jsonl", "-m", bundle, "-o", folder.name),
        *("--semantic-max-new-tokens", "8", "--concurrency", "2"),
    ]
    try:
        run_command(cli.command, "bark-onnx")
    except SystemExit as end:
        os._exit(int(end.code or 0))
    os._exit(0)


def entries(folder: Path) -> dict[str, Any]:
    """Whole lines of the manifest by file."""
    try:
        lines = (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return {}
    found = [json.loads(line) for line in lines if line.endswith(b"\n")]
    by_file = {each["file"]: each for each in found}
    assert len(by_file) == len(found), "a row was generated twice"
    return by_file


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    """Files of the folder, and what changes if one is written again."""
    found = {}
    for path in folder.glob("*.wav"):
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def check(folder: Path, before: dict[str, tuple[int, int]], known: set[str]) -> None:
    """Check that nothing was lost, and nothing that was complete was generated again."""
    after, listed = identities(folder), entries(folder)
    assert {name: after.get(name) for name in before} == before, "a file was written again"
    assert known <= listed.keys(), "an entry was lost"
    assert after.keys() <= listed.keys(), "a file has no entry"


def run_killed(
    bundle: str, folder: Path, delays: Callable[[], float | None], prepare: Any
) -> tuple[int, int]:
    """Run until the command ends by itself; returns the number of kills and the exit status."""
    kills = 0
    while True:
        before, known = identities(folder), set(entries(folder))
        delay = delays()
        child = start(bundle, folder, None if kills else prepare)
        if delay is not None:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        check(folder, before, known)
        if os.WIFEXITED(status):
            return kills, os.WEXITSTATUS(status)
        kills += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    import_onnxruntime()
    given.folder.mkdir(exist_ok=True)
    rows = [json.dumps({"id": f"row {n}", "text": f"This is row {n}."}) for n in range(ROWS)]
    (given.folder / "rows.jsonl").write_text("\n".join(rows))
    began = time.monotonic()
    _, status = run_killed(given.bundle, given.folder / "whole", lambda: None, None)
    seconds, statuses = time.monotonic() - began, [status]
    for point in POINTS:
        found, status = run_killed(
            *(given.bundle, given.folder / point, lambda: None, partial(kill_at, point))
        )
        assert found == 1, f"not killed at: {point}"
        statuses.append(status)
    random, kills, folders = Random(given.seed), 0, [*POINTS]
    while kills < given.kills:
        delays = [random.uniform(0, _SHARE * seconds) for _ in range(given.kills - kills)]
        next_delay = partial(next, iter(delays), None)
        folders.append(str(kills))
        found, status = run_killed(given.bundle, given.folder / folders[-1], next_delay, None)
        kills += found
        statuses.append(status)
    print(json.dumps({"kills": kills, "folders": folders, "statuses": statuses}))


if __name__ == "__main__":
    main()
