"""Day: what a first day on a GPU measures, and how long that may take."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Day:
    """Settings of all parts."""

    sizes: tuple[str, ...]  # names of models.SIZES; the first one is also soaked
    batch_sizes: tuple[int, ...]
    seconds: float  # of audio of a measured utterance
    soak_seconds: float
    tests: tuple[str, ...]  # files of tests, from the root of the repository

    @property
    def semantic_tokens(self) -> int:
        """Semantic tokens of a measured utterance."""
        return round(self.seconds * 49.9)

    def to_json(self) -> str:
        """The settings as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Day":
        """The settings that `to_json` wrote."""
        found: dict[str, Any] = json.loads(text)
        lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
        return cls(**{**found, **lists})


@dataclass(frozen=True)
class Finding:
    """What a part measured, beside what was expected."""

    name: str
    value: Any
    expected: str = ""
    holds: bool | None = None  # None: nothing was expected


class Notes:
    """Findings of a part, each in its file as soon as it is known: a killed part keeps them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, name: str, value: Any, *, expected: str = "", holds: bool | None = None) -> None:
        """Write a finding."""
        finding = Finding(name, value, expected, holds)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(finding), default=str) + "\n")

    def check(self, name: str, value: Any, expected: Any) -> None:
        """Write a value that is to equal another."""
        self.add(name, value, expected=str(expected), holds=value == expected)

    def below(self, name: str, value: float, limit: float) -> None:
        """Write a value that is to be below a limit."""
        self.add(name, value, expected=f"below {limit:g}", holds=bool(value < limit))

    def attempt(self, name: str, run: Callable[[], Any]) -> Any:
        """Result of a function; an error is written, and None returned, so that others follow."""
        try:
            return run()
        except Exception as error:  # whatever a GPU shows on its first day
            self.add(name, f"{type(error).__name__}: {error}", expected="no error", holds=False)
            return None


def read_findings(path: Path) -> Iterator[Finding]:
    """Findings of a file of `Notes`, without a last line that was cut off."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield Finding(**json.loads(line))
        except json.JSONDecodeError:
            return
