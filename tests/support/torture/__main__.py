"""Runs generated hostile cases against the commands and the server, and prints what became of them.

python -m tests.support.torture                                    # all subjects, minutes
python -m tests.support.torture --only bundles outputs --minutes 2
python -m tests.support.torture --only bundles --seed 0 --case 17  # one case again
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.torture.bundles import Bundles
from tests.support.torture.checkpoints import Checkpoints
from tests.support.torture.connections import Connections
from tests.support.torture.interrupts import Interrupts
from tests.support.torture.materials import Materials, exported_materials
from tests.support.torture.options import Options
from tests.support.torture.outcomes import Tally, table
from tests.support.torture.outputs import Outputs
from tests.support.torture.requests import Requests
from tests.support.torture.runner import numbers_from, torture
from tests.support.torture.subject import Subject
from tests.support.torture.voices import VoiceFiles

SUBJECTS: Mapping[str, Callable[[Materials], Subject[Any]]] = {
    kind.name: kind
    for kind in (
        *(Bundles, Checkpoints, VoiceFiles, Options, Outputs, Interrupts, Requests),
        Connections,
    )
}


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 if there is a defect."""
    given = _parse(arguments)
    tallies: dict[str, Tally] = {}
    with exported_materials() as materials:
        for name in given.only or SUBJECTS:
            began = time.monotonic()
            subject = SUBJECTS[name](materials)
            tallies[name] = _torture(subject, given)
            counts = tallies[name].counts.total()
            print(f"{name}: {counts} cases in {time.monotonic() - began:.0f} s", flush=True)
    print(f"\nSeed {given.seed}\n{table(tallies)}")
    return int(any(tally.defects for tally in tallies.values()))


def _torture(subject: Subject[Any], given: argparse.Namespace) -> Tally:
    if given.case is not None:
        print(subject.case(given.seed, given.case))
        return torture(subject, given.seed, [given.case])
    if given.minutes is not None:
        seconds = 60 * given.minutes / len(given.only or SUBJECTS)
        return torture(subject, given.seed, numbers_from(0, None), seconds=seconds)
    count = subject.cases if given.cases is None else given.cases
    return torture(subject, given.seed, numbers_from(0, count))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.support.torture", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seed", type=int, default=0, help="of all cases")
    parser.add_argument(
        "--only", nargs="+", choices=SUBJECTS, metavar="SUBJECT", help="of: " + ", ".join(SUBJECTS)
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--cases", type=int, help="of each subject; default: some hundred")
    amount.add_argument("--minutes", type=float, help="of all subjects together, instead")
    amount.add_argument("--case", type=int, help="number of the only case")
    given = parser.parse_args(arguments)
    if given.case is not None and len(given.only or ()) != 1:
        parser.error("--case is one of a subject; expected --only SUBJECT")
    return given


if __name__ == "__main__":
    sys.exit(main())
