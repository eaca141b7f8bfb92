"""A cluster simulated: replicas needed, waits, the autoscaler's lag, and machine-hours.

The service times come from a result of `serve.py`, those of a GPU from `gpu_expectation.py`: no GPU
has been measured. Prints tables; the last line is one JSON object. `--picture` draws a day.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from gpu_expectation import GPUS, expect, read_counts

from bark_onnx.runtime.cluster.settings import DOWNSCALING_FACTOR, TARGET_SHARE

try:
    import simpy
    from simulation.autoscaler import Scaling
    from simulation.cluster import Cluster, Outcome
    from simulation.load import DAY_SECONDS, Texts, arrivals, day_curve
    from simulation.picture import draw_day
    from simulation.service import Service, read_service
except ModuleNotFoundError as error:
    raise SystemExit(f"Error: {error}; pip install simpy matplotlib") from error

RESULTS = Path(__file__).parent / "results"
_LEAST_REQUESTS = 2_000  # of a simulation with a fixed number of replicas
_GPU_START_SECONDS = 60.0  # assumed: a machine that is there starts a replica


@dataclass(frozen=True)
class FixedPoint:
    """So many replicas under a constant load."""

    service: str
    replicas: int
    utilization: float  # load over what all replicas generate at most
    wait_p50: float  # seconds until a segment begins
    wait_p95: float
    first_audio_p50: float  # seconds until the first segment of a request is done
    first_audio_p95: float


@dataclass(frozen=True)
class DayPoint:
    """A day with the autoscaler."""

    service: str
    peak: float  # seconds of audio a second
    needed_replicas: float  # at the peak, if none ever idles
    requests: int
    audio_hours: float
    most_replicas: int
    mean_replicas: float
    machine_hours_per_audio_hour: float
    wait_p50: float
    wait_p95: float
    first_audio_p95: float
    lag_p50: float  # seconds from the wish for more replicas until they run
    lag_p95: float


@click.command()
@click.option(
    "--service",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=RESULTS / "serve-int8-2026-11-30.json",
    show_default="the committed one",
    help="Result of serve.py with 1, 2 ... clients.",
)
@click.option("--start", type=float, default=20.0, show_default=True, help="Seconds of a replica.")
@click.option("--replicas", type=int, multiple=True, default=(1, 10, 100, 1000), show_default=True)
@click.option("--utilization", "utilizations", type=float, multiple=True, default=(0.5, 0.7, 0.9))
@click.option(
    "--peak",
    "peaks",
    type=float,
    multiple=True,
    default=(2, 45, 450),
    show_default=True,
    help="Seconds of audio a second at the peak of the day.",
)
@click.option("--hours", type=float, default=24.0, show_default=True, help="Of the day.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="SVG of a day.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="For the JSON.")
def main(path: Path, start: float, picture: Path | None, output: Path | None, **given: Any) -> None:
    """Simulate clusters of a measured machine, and of a GPU as it is expected to be."""
    services = (read_service(path, start), expected_service("bark-small"))
    texts, seed = Texts(), given["seed"]
    fixed = [
        simulate_fixed(service, count, utilization, texts, seed)
        for service in services
        for count in given["replicas"]
        for utilization in given["utilizations"]
    ]
    _print(fixed)
    days: list[DayPoint] = []
    for service in services:
        for peak in given["peaks"]:
            point, outcome = simulate_day(service, peak, given["hours"], texts, seed)
            days.append(point)
            if picture is not None and service is services[0] and peak == given["peaks"][-1]:
                draw_day(outcome, picture)
    _print(days)
    result = {
        "services": [asdict(service) for service in services],
        "texts": asdict(texts),
        "seed": seed,
        "fixed": [asdict(point) for point in fixed],
        "days": [asdict(point) for point in days],
    }
    line = json.dumps(result)
    if output is not None:
        output.write_text(line + "\n")
    click.echo(line)


def expected_service(size: str) -> Service:
    """A replica on the first GPU of `gpu_expectation.py`, up to its best batch size."""
    gpu = GPUS[0]
    expected = {count: expect(gpu, size, count) for count in read_counts()["sequences"]}
    rates = {count: each.audio_per_second for count, each in expected.items() if each}
    best = max(rates, key=lambda count: rates[count])
    return Service(
        name=f"{size} fp16, {gpu.name}, expected",
        rates={count: rate for count, rate in rates.items() if count <= best},
        start_seconds=_GPU_START_SECONDS,
        source="gpu_expectation.py",
    )


def simulate_fixed(
    service: Service, replicas: int, utilization: float, texts: Texts, seed: int
) -> FixedPoint:
    """Simulate a constant load, long enough for some thousand requests.

    Args:
        service: Rates of a replica.
        replicas: Number of replicas.
        utilization: Load over the most that they generate.
        texts: Lengths of texts.
        seed: Seed.
    """
    capacity = replicas * service.rate(service.max_batch_size)
    requests_per_second = utilization * capacity / texts.mean_seconds
    fill_seconds = 10 * texts.longest_seconds * service.max_batch_size / capacity * replicas
    seconds = fill_seconds + max(_LEAST_REQUESTS, 10 * replicas) / requests_per_second
    cluster = Cluster(simpy.Environment(), service, replicas, seed=seed)
    rng = np.random.default_rng(seed)
    load = arrivals(lambda _: requests_per_second, requests_per_second, seconds, texts, rng)
    outcome = cluster.run(load, seconds)
    waits, first = _middle(outcome.wait_seconds), _middle(outcome.first_audio_seconds)
    return FixedPoint(service.name, replicas, utilization, *waits, *first)


def simulate_day(
    service: Service, peak: float, hours: float, texts: Texts, seed: int
) -> tuple[DayPoint, Outcome]:
    """Simulate a day's load with the autoscaler.

    Args:
        service: Rates of a replica.
        peak: Seconds of audio a second at the peak.
        hours: Length of the simulation.
        texts: Lengths of texts.
        seed: Seed.
    """
    most = peak / texts.mean_seconds
    curve, needed = day_curve(most), peak / service.rate(service.max_batch_size)
    scaling = Scaling(
        1,
        4 * round(needed) + 4,
        TARGET_SHARE * service.max_batch_size,
        downscaling_factor=DOWNSCALING_FACTOR,
    )
    first = max(1, round(needed * curve(0.0) / most / TARGET_SHARE))
    cluster = Cluster(simpy.Environment(), service, first, scaling, seed=seed)
    rng, seconds = np.random.default_rng(seed), hours / 24 * DAY_SECONDS
    outcome = cluster.run(arrivals(curve, most, seconds, texts, rng), seconds)
    lags = outcome.lag_seconds or [0.0]
    point = DayPoint(
        service=service.name,
        peak=peak,
        needed_replicas=needed,
        requests=len(outcome.first_audio_seconds),
        audio_hours=outcome.audio_seconds / 3600,
        most_replicas=outcome.most_replicas,
        mean_replicas=outcome.replica_seconds / seconds,
        machine_hours_per_audio_hour=outcome.replica_seconds / outcome.audio_seconds,
        wait_p50=_middle(outcome.wait_seconds)[0],
        wait_p95=_middle(outcome.wait_seconds)[1],
        first_audio_p95=_middle(outcome.first_audio_seconds)[1],
        lag_p50=_middle(lags)[0],
        lag_p95=_middle(lags)[1],
    )
    return point, outcome


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    middle, high = np.percentile(values, (50, 95))
    return round(float(middle), 2), round(float(high), 2)


def _print(points: Sequence[FixedPoint] | Sequence[DayPoint]) -> None:
    rows = [asdict(point) for point in points]
    lines = [[name.replace("_", " ") for name in rows[0]]]
    lines += [
        [f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    click.echo()


if __name__ == "__main__":
    main()
