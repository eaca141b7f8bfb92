"""What becomes of the cases of the torture run: six counts, of which four are of defects."""

import enum
from collections import Counter
from dataclasses import dataclass, field


class Outcome(enum.StrEnum):
    """What becomes of a case."""

    CLEAR_LINE = "one clear line"  # a refusal; of the server, a 4xx, or a connection it ends
    ACCEPTED = "accepted"  # and the result is what it should be
    TRACEBACK = "traceback"  # or anything else in place of one clear line: more, silence, a crash
    HANG = "hang"
    DAMAGE = "damage"  # a lost, partial, temporary or wrong file
    SERVER_ERROR = "5xx"  # apart from those that the server documents

    @property
    def is_defect(self) -> bool:
        return self not in (Outcome.CLEAR_LINE, Outcome.ACCEPTED)


@dataclass(frozen=True)
class Verdict:
    """The outcome of a case, and what was seen of a defect."""

    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class Defect:
    """A case with an outcome that must not be."""

    subject: str
    seed: int
    number: int
    case: str  # what was tried
    verdict: Verdict

    def __str__(self) -> str:
        again = f"--only {self.subject} --seed {self.seed} --case {self.number}"
        return (
            f"{self.verdict.outcome}: {self.case}\n{self.verdict.detail}\n"
            f"Again: python -m tests.support.torture {again}"
        )


@dataclass
class Tally:
    """Outcomes of the cases of one subject."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    defects: list[Defect] = field(default_factory=list)


def table(tallies: dict[str, Tally]) -> str:
    """The counts by subject and in total."""
    total = sum((tally.counts for tally in tallies.values()), Counter[Outcome]())
    rows = [("", "cases", *Outcome)]
    for name, counts in (*((name, each.counts) for name, each in tallies.items()), ("all", total)):
        rows.append((name, str(counts.total()), *(str(counts[each]) for each in Outcome)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{name:<{widths[0]}}"
        + "".join(f"  {value:>{width}}" for value, width in zip(values, widths[1:], strict=True))
        for name, *values in rows
    )
