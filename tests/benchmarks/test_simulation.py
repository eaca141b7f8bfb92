"""The simulation of a cluster against formulas of queueing theory."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simpy
from simulation.autoscaler import Autoscaler, Scaling
from simulation.cluster import Cluster, Outcome
from simulation.load import DAY_SECONDS, Arrival, Texts, arrivals, day_curve
from simulation.service import Service, read_service

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


class ExponentialTexts(Texts):
    """Texts of one segment, of a length that queueing theory likes."""

    def draw(self, rng: np.random.Generator) -> tuple[float, ...]:
        return (float(rng.exponential(1.0)),)


def simulate(
    rates: dict[int, float], replicas: int, load: float, requests: int = 60_000
) -> Outcome:
    service = Service("a test", rates, 0.0, "")
    cluster = Cluster(simpy.Environment(), service, replicas)
    rng, seconds = np.random.default_rng(0), requests / load
    return cluster.run(arrivals(lambda _: load, load, seconds, ExponentialTexts(), rng), seconds)


def erlang_c(servers: int, load: float) -> float:
    """Probability that a customer waits in M/M/c."""
    blocking = 1.0
    for count in range(1, servers + 1):
        blocking = load * blocking / (count + load * blocking)
    return blocking / (1 - load / servers * (1 - blocking))


@pytest.mark.parametrize(("replicas", "load"), [(1, 0.6), (4, 3.0), (16, 13.0)])
def test_waits_of_replicas_with_one_segment_follow_erlangs_formula(
    replicas: int, load: float
) -> None:
    expected = erlang_c(replicas, load) / (replicas - load)
    found = simulate({1: 1.0}, replicas, load).wait_seconds
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_segments_that_share_a_rate_take_as_long_as_processor_sharing(load: float) -> None:
    found = simulate({1: 1.0, 500: 1.0}, 1, load).first_audio_seconds
    assert np.mean(found) == pytest.approx(1 / (1 - load), rel=0.1)


def test_segments_of_a_batch_end_when_they_have_received_their_audio() -> None:
    service = Service("a test", {1: 1.0, 2: 1.5}, 0.0, "")
    cluster = Cluster(simpy.Environment(), service, 1)
    # Alone for 2 s, then both at 0.75: the first has 8 s left and the second 3.
    outcome = cluster.run([Arrival(0.0, (10.0,)), Arrival(2.0, (3.0,))], 100.0)
    assert outcome.first_audio_seconds == pytest.approx([4.0, 2 + 4 + 5])
    assert outcome.wait_seconds == [0.0, 0.0]
    assert outcome.replica_seconds == 100.0


def test_a_segment_waits_for_room_and_a_longer_text_counts_once() -> None:
    service = Service("a test", {1: 1.0}, 0.0, "")
    cluster = Cluster(simpy.Environment(), service, 1)
    outcome = cluster.run([Arrival(0.0, (4.0, 2.0))], 100.0)
    assert outcome.wait_seconds == [0.0, 4.0]
    assert outcome.first_audio_seconds == [4.0]
    assert outcome.audio_seconds == 6.0


def test_the_autoscaler_acts_after_its_delays() -> None:
    autoscaler = Autoscaler(Scaling(1, 10, 4.0, upscale_delay_s=30.0, downscale_delay_s=60.0))
    decisions = [autoscaler.decide(20, 2) for _ in range(4)]
    assert decisions == [2, 2, 2, 5]
    decisions = [autoscaler.decide(0, 5) for _ in range(12)]
    assert decisions.count(5) >= 6
    assert decisions[-1] in (1, 5)
    assert 1 in decisions
    assert autoscaler.decide(0, 1) == 1


def test_a_change_goes_a_part_of_the_way_down_and_all_of_the_way_up() -> None:
    scaling = Scaling(1, 10, 1.0, upscale_delay_s=0.0, downscale_delay_s=0.0)
    damped = replace(scaling, look_back_period_s=10.0, downscaling_factor=0.5)
    autoscaler = Autoscaler(damped)
    assert autoscaler.decide(10, 2) == 10
    assert [autoscaler.decide(2, count) for count in (10, 6, 4, 3)] == [6, 4, 3, 2]


def test_replicas_follow_a_day_within_their_limits() -> None:
    service = Service("a test", {1: 0.5, 4: 1.0}, 30.0, "")
    scaling = Scaling(1, 12, 3.0)
    cluster = Cluster(simpy.Environment(), service, 1, scaling)
    curve, texts = day_curve(0.3), Texts()
    rng = np.random.default_rng(0)
    outcome = cluster.run(arrivals(curve, 0.3, DAY_SECONDS, texts, rng), DAY_SECONDS)
    counts = [replicas for _, _, replicas in outcome.samples]
    assert max(counts) <= outcome.most_replicas <= 12
    evening = np.mean([n for time, _, n in outcome.samples if abs(time / 3600 - 20) < 2])
    morning = np.mean([n for time, _, n in outcome.samples if abs(time / 3600 - 8) < 2])
    assert evening > 2 * morning
    assert outcome.lag_seconds
    demand = sum(curve(time) for time in range(0, 86_400, 60)) * 60 * texts.mean_seconds
    assert outcome.audio_seconds == pytest.approx(demand, rel=0.05)


def test_service_times_come_from_a_result_of_serve() -> None:
    service = read_service(BENCHMARKS / "results" / "serve-2026-11-23.json", 20.0)
    assert sorted(service.rates) == [1, 2, 4, 8]
    rates = service.all_rates()
    assert rates[0] == 0
    assert rates == sorted(rates)


def test_the_script_prints_tables_a_picture_and_one_json_object(tmp_path: Path) -> None:
    small = ("--replicas", "1", "--utilization", "0.5", "--peak", "0.5", "--hours", "3")
    picture = tmp_path / "day.svg"
    command = [sys.executable, str(BENCHMARKS / "scale.py"), *small, "--picture", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert [point["replicas"] for point in found["fixed"]] == [1, 1]
    assert len(found["days"]) == 2
    assert all(point["machine_hours_per_audio_hour"] > 0 for point in found["days"])
    assert picture.read_text("utf-8").startswith("<?xml")
