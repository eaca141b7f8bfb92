"""A subject of the torture run: seeded cases, and how one is run and judged."""

import abc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import ClassVar, Generic, TypeVar

from tests.support.torture.commands import LIMIT_SECONDS
from tests.support.torture.materials import Materials
from tests.support.torture.outcomes import Outcome, Verdict

Case = TypeVar("Case")


class Subject(abc.ABC, Generic[Case]):
    """Generator and judge of one kind of cases.

    Attributes:
        name: Name on the command line and in the table.
        cases: Number of cases in the full form: as many as take about half a minute.
        workers: Number of cases that run at the same time.
    """

    name: ClassVar[str]
    cases: ClassVar[int]
    workers: ClassVar[int] = 2

    @abc.abstractmethod
    def make(self, rng: Random) -> Case:
        """A case, which depends on `rng` alone; its `repr` says what is tried."""

    @abc.abstractmethod
    def judge(self, case: Case, folder: Path) -> Verdict:
        """Run a case in an empty folder, and judge what becomes of it."""

    @contextmanager
    def ready(self, folder: Path) -> Iterator[None]:
        """Hold what all cases need, such as a server, with an empty folder."""
        yield

    def case(self, seed: int, number: int) -> Case:
        """The case of a number, whatever the others are."""
        return self.make(Random(f"{seed} {self.name} {number}"))

    def verdict(self, case: Case, folder: Path) -> Verdict:
        """Judge a case; an assertion that fails is a wrong result, which counts as damage."""
        try:
            return self.judge(case, folder)
        except AssertionError:
            return Verdict(Outcome.DAMAGE, traceback.format_exc())


class CommandSubject(Subject[Case]):
    """A subject whose cases are commands.

    Args:
        materials: What the cases copy.
        program: The command in place of all others.
        seconds: Time until a command that has not ended hangs.
    """

    def __init__(
        self,
        materials: Materials,
        *,
        program: str | None = None,
        seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._materials, self._program, self._seconds = materials, program, seconds
