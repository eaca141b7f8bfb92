"""Runs parts one after the other, each in a process of its own that is bounded in time.

Whatever a part does (an error, a crash, a hang), the next one runs.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpu.day import Day, Finding, read_findings
from gpu.parts import DAY_SECONDS, Part

Outcome = Literal["done", "failed", "out of time", "not begun"]

_COMMAND = Path(__file__).parents[1] / "gpu_day.py"
_OUTPUT_LINES = 30  # of a part that failed


@dataclass(frozen=True)
class PartResult:
    """A part's outcome and findings."""

    part: str
    outcome: Outcome
    seconds: float
    findings: tuple[Finding, ...]
    output: tuple[str, ...]  # last lines that the process printed


def run_parts(
    parts: Sequence[Part],
    day: Day,
    folder: Path,
    *,
    seconds: float,
    progress: Callable[[PartResult], None],
) -> list[PartResult]:
    """Run all parts in `seconds`; the time that one leaves unused goes to those behind it.

    Args:
        parts: Parts in their order.
        day: Settings.
        folder: Folder of what they print.
        seconds: Seconds for all; the limit of each part shrinks with them.
        progress: Receives each result.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    results = []
    for index, part in enumerate(parts):
        left = end - time.monotonic()
        waiting = sum(each.limit_seconds for each in parts[index:])
        # Of a day of full length each part has its limit; of a shorter one its share.
        share = left * part.limit_seconds / waiting
        scaled = part.limit_seconds * min(1.0, seconds / DAY_SECONDS)
        results.append(_run(part, day, folder, max(share, scaled) if left > 1 else 0.0, left))
        progress(results[-1])
    return results


def _run(part: Part, day: Day, folder: Path, limit: float, left: float) -> PartResult:
    if not limit:
        return PartResult(part.name, "not begun", 0.0, (), ())
    stem = part.name.replace(",", "").replace(" ", "-")
    findings, printed = folder / f"{stem}.jsonl", folder / f"{stem}.log"
    findings.unlink(missing_ok=True)
    command = [sys.executable, str(_COMMAND), "--worker", part.module, "--day", day.to_json()]
    command += ["--findings", str(findings), *(f"--argument={each}" for each in part.arguments)]
    started = time.monotonic()
    with printed.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **part.environment},
            start_new_session=True,
        )
        try:
            process.wait(min(limit, left))
            outcome: Outcome = "failed" if process.returncode else "done"
        except subprocess.TimeoutExpired:
            outcome = "out of time"
        finally:
            _end(process)
    seconds = time.monotonic() - started
    lines = printed.read_text(encoding="utf-8", errors="replace").splitlines()[-_OUTPUT_LINES:]
    if outcome == "failed" and process.returncode < 0:
        lines.append(f"ended by {signal.Signals(-process.returncode).name}")
    return PartResult(part.name, outcome, seconds, tuple(read_findings(findings)), tuple(lines))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a part and the processes that it has started."""
    with contextlib.suppress(ProcessLookupError):  # where all have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
