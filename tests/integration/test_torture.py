"""The short form of `make torture`, and planted defects, which its judges find."""

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

import tests.support.torture.__main__ as torture_module
from tests.support.torture.bundles import Bundles
from tests.support.torture.checkpoints import Checkpoints
from tests.support.torture.commands import LIMIT_SECONDS
from tests.support.torture.connections import Connections
from tests.support.torture.interrupts import Interrupts
from tests.support.torture.materials import Materials
from tests.support.torture.options import Options
from tests.support.torture.outcomes import Outcome, Tally
from tests.support.torture.outputs import Outputs
from tests.support.torture.requests import Requests
from tests.support.torture.runner import torture
from tests.support.torture.subject import Subject
from tests.support.torture.voices import VoiceFiles

# Cases of the short form, by subject: a few seconds each.
CASES: dict[type[Subject[Any]], int] = {
    Bundles: 20,
    Checkpoints: 6,
    VoiceFiles: 20,
    Options: 20,
    Outputs: 8,
    Interrupts: 4,
    Requests: 200,
    Connections: 4,
}
COMMANDS = (Bundles, Checkpoints, VoiceFiles, Options, Outputs, Interrupts)
SERVER_SECONDS = 2.0  # until a planted hang is one


@pytest.fixture(scope="module")
def materials(random_checkpoint: Path, random_bundle: Path) -> Materials:
    return Materials(random_checkpoint, random_bundle)


def planted(name: str) -> str:
    return f"tests.support.torture.planted:{name}"


def planted_server(defect: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.support.torture.planted_server", defect)


def outcomes(subject: Subject[Any], count: int = 1) -> Tally:
    return torture(subject, 0, range(count), report=lambda text: None)


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.name)
def test_generated_cases_have_no_defect(kind: type[Subject[Any]], materials: Materials) -> None:
    reports: list[str] = []
    tally = torture(kind(materials), 0, range(CASES[kind]), report=reports.append)  # type: ignore[call-arg]
    assert tally.counts.total() == CASES[kind]
    assert not reports, "\n".join(reports)
    assert tally.counts[Outcome.CLEAR_LINE] > 0


# Planted defects


class Speaks(Bundles):
    """Commands that speak, with a bundle that is not damaged."""

    def make(self, rng: Random) -> Any:
        case = super().make(rng)
        return type(case)("bark.json", "lengthened", (), False, "speak", case.seed)


DEFECTS = {
    "clear_line": Outcome.CLEAR_LINE,
    "sound": Outcome.ACCEPTED,
    "has_a_traceback": Outcome.TRACEBACK,
    "says_two_lines": Outcome.TRACEBACK,
    "has_a_name_on_two_lines": Outcome.TRACEBACK,
    "says_nothing": Outcome.TRACEBACK,
    "says_it_without_its_name": Outcome.TRACEBACK,
    "crashes": Outcome.TRACEBACK,
    "hangs": Outcome.HANG,
    "destroys_a_file": Outcome.DAMAGE,
    "removes_a_file": Outcome.DAMAGE,
    "leaves_a_partial_file": Outcome.DAMAGE,
    "leaves_a_partial_file_and_succeeds": Outcome.DAMAGE,
    "writes_elsewhere": Outcome.DAMAGE,
    "changes_the_bundle": Outcome.DAMAGE,
    "writes_no_sound": Outcome.DAMAGE,
    "writes_junk": Outcome.DAMAGE,
    "writes_no_frames": Outcome.DAMAGE,
    "writes_a_constant": Outcome.DAMAGE,
    "writes_samples_that_are_not_finite": Outcome.DAMAGE,
}


@pytest.mark.parametrize("name", DEFECTS)
def test_defect_of_a_command_is_counted(materials: Materials, name: str) -> None:
    seconds = 1.0 if name == "hangs" else LIMIT_SECONDS
    tally = outcomes(Speaks(materials, program=planted(name), seconds=seconds))
    assert tally.counts == {DEFECTS[name]: 1}, tally.defects
    for defect in tally.defects:
        assert "--only bundles --seed 0 --case 0" in str(defect)
    if name == "hangs":
        assert "time.sleep" in str(tally.defects[0]) or "in hangs" in str(tally.defects[0])


@pytest.mark.parametrize("name", ["has_a_traceback", "says_two_lines", "leaves_a_partial_file"])
@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.name)
def test_every_subject_finds_defects_of_commands(
    kind: Callable[..., Subject[Any]], materials: Materials, name: str
) -> None:
    tally = outcomes(kind(materials, program=planted(name)), 2)
    assert tally.defects, tally.counts
    assert {each.verdict.outcome for each in tally.defects} <= {DEFECTS[name], Outcome.TRACEBACK}


SERVER_DEFECTS = {
    "none": Outcome.ACCEPTED,
    "5xx": Outcome.SERVER_ERROR,
    "a 5xx that looks like a documented one": Outcome.SERVER_ERROR,
    "a traceback in the log": Outcome.TRACEBACK,
    "an error of two lines": Outcome.TRACEBACK,
    "no error in the body": Outcome.TRACEBACK,
    "no response": Outcome.HANG,
    "a lost file": Outcome.DAMAGE,
    "a file too many": Outcome.DAMAGE,
    "its end": Outcome.TRACEBACK,
}


@pytest.mark.parametrize("defect", SERVER_DEFECTS)
def test_defect_of_a_server_is_counted(materials: Materials, defect: str) -> None:
    subject = Requests(materials, program=planted_server(defect), seconds=SERVER_SECONDS)
    (number,) = [each for each in range(30) if subject.case(0, each).kind == "fields"][:1]
    tally = torture(subject, 0, [number], report=lambda text: None)
    assert tally.counts == {SERVER_DEFECTS[defect]: 1}, tally.defects


@pytest.mark.parametrize(
    ("defect", "outcome"),
    [
        ("connections that stay", Outcome.HANG),
        ("no response", Outcome.HANG),
        ("5xx", Outcome.SERVER_ERROR),
    ],
)
def test_defect_of_connections_is_counted(
    materials: Materials, defect: str, outcome: Outcome
) -> None:
    subject = Connections(materials, program=planted_server(defect), seconds=SERVER_SECONDS)
    (number,) = [each for each in range(90) if subject.case(0, each).kind == "silent"][:1]
    tally = torture(subject, 0, [number], report=lambda text: None)
    assert tally.counts == {outcome: 1}, tally.defects


# Seeds


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.name)
def test_cases_follow_from_the_seed(
    kind: Callable[..., Subject[Any]], materials: Materials
) -> None:
    first, second = kind(materials), kind(materials)
    cases = [first.case(7, number) for number in range(30)]
    assert [second.case(7, number) for number in reversed(range(30))] == cases[::-1]
    assert [first.case(8, number) for number in range(30)] != cases
    assert len({repr(case) for case in cases}) > 15


def test_bytes_of_voices_follow_from_the_seed(materials: Materials) -> None:
    subject = VoiceFiles(materials)
    for number in range(20):
        assert subject.case(0, number).content() == subject.case(0, number).content()


# The command


def test_command_prints_the_counts_and_fails_with_a_defect(
    materials: Materials, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subjects = {
        "bundles": lambda materials: Speaks(materials, program=planted("clear_line")),
        "voices": lambda materials: VoiceFiles(materials, program=planted("says_nothing")),
    }
    monkeypatch.setattr(torture_module, "SUBJECTS", subjects)
    monkeypatch.setattr(torture_module, "exported_materials", lambda: _Exported(materials))
    assert torture_module.main(["--cases", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "Again: python -m tests.support.torture --only voices --seed 0 --case 1" in lines
    assert [line.split() for line in lines[-3:]] == [
        ["bundles", "2", "2", "0", "0", "0", "0", "0"],
        ["voices", "2", "0", "0", "2", "0", "0", "0"],
        ["all", "4", "2", "0", "2", "0", "0", "0"],
    ]
    assert torture_module.main(["--only", "bundles", "--minutes", "0.001"]) == 0
    assert torture_module.main(["--only", "voices", "--case", "1", "--seed", "5"]) == 1
    assert repr(VoiceFiles(materials).case(5, 1)) in capsys.readouterr().out


class _Exported:
    """Materials that are there already."""

    def __init__(self, materials: Materials) -> None:
        self._materials = materials

    def __enter__(self) -> Materials:
        return self._materials

    def __exit__(self, *_: object) -> None:
        """Keep them."""
