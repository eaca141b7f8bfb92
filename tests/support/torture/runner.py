"""Runs the cases of subjects, several at a time, and counts what becomes of them."""

import itertools
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support.torture.outcomes import Defect, Tally, Verdict
from tests.support.torture.subject import Subject

Report = Callable[[str], object]


def torture(
    subject: Subject[Any],
    seed: int,
    numbers: Iterable[int],
    *,
    seconds: float = float("inf"),
    report: Report | None = None,
) -> Tally:
    """Run cases of a subject by their numbers; each defect is reported when it is found.

    Args:
        subject: Generator and judge.
        seed: Seed of all cases.
        numbers: Numbers of the cases.
        seconds: Time after which no further case begins.
        report: Receives each defect; None: prints it.
    """
    tally, lock = Tally(), threading.Lock()
    end = time.monotonic() + seconds
    show = report or _print
    remaining: Iterator[int] = iter(numbers)

    def work() -> None:
        while time.monotonic() < end:
            with lock:
                number = next(remaining, None)
            if number is None:
                return
            case = subject.case(seed, number)
            verdict = _judge(subject, case)
            with lock:
                tally.counts[verdict.outcome] += 1
                if verdict.outcome.is_defect:
                    defect = Defect(subject.name, seed, number, _shown(case), verdict)
                    tally.defects.append(defect)
                    show(str(defect))

    with (
        tempfile.TemporaryDirectory(prefix="bark-onnx-torture-") as folder,
        subject.ready(Path(folder)),
        ThreadPoolExecutor(subject.workers) as workers,
    ):
        for done in [workers.submit(work) for _ in range(subject.workers)]:
            done.result()
    return tally


def numbers_from(start: int, count: int | None) -> Iterable[int]:
    """`count` numbers; None: without an end."""
    return itertools.count(start) if count is None else range(start, start + count)


def _print(text: str) -> None:
    print(text, flush=True)


def _judge(subject: Subject[Any], case: Any) -> Verdict:
    folder = Path(tempfile.mkdtemp(prefix="bark-onnx-torture-case-"))
    try:
        return subject.verdict(case, folder)
    finally:
        shutil.rmtree(folder)


def _shown(case: object, limit: int = 1500) -> str:
    text = repr(case)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
