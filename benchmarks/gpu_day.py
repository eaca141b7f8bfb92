"""Everything that a GPU is needed for, in one run of at most 25 minutes.

Each part runs in a process of its own, bounded in time; what fails is recorded, and the rest goes
on. Writes one JSON with everything and one page of text with what differs from the expectation.
Ends with status 1 if a part did not end by itself.
"""

import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import click
from gpu.day import Day, Notes
from gpu.page import compared_rates, page
from gpu.parts import DAY_SECONDS, parts_of
from gpu.runner import PartResult, run_parts
from machine import describe_machine
from models import FOLDER, SIZES

_TESTS = ("tests/integration/test_cuda.py", "tests/integration/test_parity.py")


@click.command()
@click.option(
    "--size",
    "sizes",
    type=click.Choice(list(SIZES)),
    multiple=True,
    default=("bark-small", "bark"),
    show_default=True,
)
@click.option("--batch", type=int, multiple=True, default=(1, 2, 4, 8, 16, 32, 64))
@click.option("--seconds", type=float, default=5.0, show_default=True, help="Of an utterance.")
@click.option("--soak-seconds", type=float, default=120.0, show_default=True)
@click.option("--tests", multiple=True, default=_TESTS, show_default=True)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=DAY_SECONDS / 60,
    show_default=True,
    help="For everything.",
)
@click.option("--part", "chosen", multiple=True, help="Parts that begin so. Default: all.")
@click.option("--output", type=click.Path(path_type=Path), default=FOLDER.parent / "gpu_day")
@click.option("--worker", hidden=True)
@click.option("--day", "settings", hidden=True)
@click.option("--findings", type=click.Path(path_type=Path), hidden=True)
@click.option("--argument", "arguments", multiple=True, hidden=True)
def main(
    sizes: tuple[str, ...],
    batch: tuple[int, ...],
    seconds: float,
    soak_seconds: float,
    tests: tuple[str, ...],
    minutes: float,
    chosen: tuple[str, ...],
    output: Path,
    worker: str | None,
    settings: str,
    findings: Path,
    arguments: tuple[str, ...],
) -> None:
    """Measure what a GPU does, and compare it with what was expected."""
    if worker is not None:
        import_module(worker).run(Day.from_json(settings), Notes(findings), *arguments)
        return
    day = Day(sizes, batch, seconds, soak_seconds, tests)
    parts = [part for part in parts_of(day) if not chosen or part.name.startswith(chosen)]
    if not parts:
        names = ", ".join(part.name for part in parts_of(day))
        raise click.UsageError(f"--part {' '.join(chosen)} names none of: {names}")
    results = run_parts(parts, day, output, seconds=minutes * 60, progress=_echo)
    results.append(compared_rates(results))
    machine = describe_machine()
    found = {"machine": machine, "day": asdict(day), "parts": [asdict(each) for each in results]}
    (output / "gpu-day.json").write_text(json.dumps(found, indent=1) + "\n")
    text = page(results, f"{machine.get('gpu', 'no GPU')}, {machine['date']}")
    (output / "gpu-day.txt").write_text(text)
    click.echo(text)
    click.echo(f"{output / 'gpu-day.json'}, {output / 'gpu-day.txt'}")
    if any(result.outcome != "done" for result in results):
        raise SystemExit(1)


def _echo(result: PartResult) -> None:
    differing = sum(finding.holds is False for finding in result.findings)
    click.echo(
        f"{result.part}: {result.outcome} in {result.seconds:.0f} s, "
        f"{len(result.findings)} findings, {differing} differ"
    )


if __name__ == "__main__":
    main()
