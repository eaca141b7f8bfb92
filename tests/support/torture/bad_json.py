"""Bad values in the place of every value of a JSON file, and what became of a file with one."""

import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bark_onnx.graphs.errors import BarkError

Place = tuple[str | int, ...]
Case = tuple[Place, str]  # where, and the text in JSON that stands there

_MARK = "the value that is replaced"
_MAX_SECONDS = 300  # far beyond what any case takes on a slow machine: longer is a hang

# No number of a checkpoint or a bundle may be one of these.
BAD_NUMBERS = {
    "minus one": "-1",
    "NaN": "NaN",
    "infinity": "Infinity",
    "1e30": "1e30",
    "400 digits": f"1{'0' * 400}",
    "5000 digits": f"1{'0' * 5000}",
    "text": '"many"',
    "list": "[]",
    "object": "{}",
    "deep": f"{'[' * 100_000}{']' * 100_000}",
}
BAD_VALUES = {
    **BAD_NUMBERS,
    "zero": "0",
    "half": "0.5",
    "empty text": '""',
    "surrogate": '"\\ud800"',
    "null": "null",
    "true": "true",
}


def places(data: Any, path: Place = ()) -> Iterator[Place]:
    """Paths of all values in parsed JSON; of the items of a list, only the first."""
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data[:1] if is_list(data) else ())
    for key, value in items:
        yield from places(value, (*path, key))


def is_list(data: Any) -> bool:
    return isinstance(data, list)


def value_at(data: Any, place: Place) -> Any:
    for key in place:
        data = data[key]
    return data


def with_value(data: Any, place: Place, text: str) -> str:
    """The JSON of `data` with other text at a place."""
    changed = json.loads(json.dumps(data))
    value_at(changed, place[:-1])[place[-1]] = _MARK
    return json.dumps(changed).replace(json.dumps(_MARK), text)


def cases(data: Any, *, each: int | None = None, seed: int = 0) -> Iterator[tuple[Place, str]]:
    """Every place with the names of `each` bad values, or of all."""
    rng = random.Random(seed)
    names = list(BAD_VALUES)
    for place in places(data):
        for name in names if each is None else rng.sample(names, each):
            yield place, name


@dataclass
class Report:
    """What became of the cases: counts, and each case that is a defect."""

    counts: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)
    refused: dict[tuple[Place, str], str] = field(default_factory=dict)  # messages
    accepted: list[tuple[Place, str]] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        return "\n".join([counts, *self.defects])


def torture(tried: Iterable[tuple[Place, str]], attempt: Callable[[Place, str], object]) -> Report:
    """Call `attempt` for each place and text: it succeeds, or raises one clear BarkError."""
    report = Report()
    for place, name in tried:
        where = f"{'.'.join(map(str, place))} = {name}"
        try:
            with _hang_is_an_error():
                attempt(place, BAD_VALUES[name])
            report.counts["accepted"] += 1
            report.accepted.append((place, name))
        except BarkError as error:
            message = str(error)
            report.refused[place, name] = message
            if message and message.isprintable() and len(message) < 1500:
                report.counts["one clear line"] += 1
            else:
                report.counts["unclear"] += 1
                report.defects.append(f"{where}: {message!r}")
        except Hang:
            report.counts["hang"] += 1
            report.defects.append(f"{where}: hang")
        except Exception as error:
            report.counts["traceback"] += 1
            report.defects.append(f"{where}: {type(error).__name__}: {error}"[:500])
    return report


class Hang(BaseException):
    """A case did not end."""


@contextmanager
def _hang_is_an_error() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    former = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_MAX_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
