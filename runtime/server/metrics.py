"""Prometheus metrics of /metrics: of the engine, of requests, and of several processes."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bark_onnx.runtime.engine.status import EngineStatus

_SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
_FACTORS = (0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8, 16, 32)
_BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_NEWEST_SHARE = 0.2  # of the newest request in the moving average
_STAGE = ["stage"]

MetricFamily: TypeAlias = Metric  # a metric with the samples of all its labels


class EngineMetrics:
    """Metrics of one engine, whose steps it observes."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, registry=self._registry)
        self._tokens = counter("bark_tokens", "Sequences summed over all steps.", _STAGE)
        self._step_seconds = counter("bark_step_seconds", "Seconds spent in steps.", _STAGE)
        self._speed = Gauge(
            "bark_tokens_per_second",
            "Sequences over seconds of the newest step.",
            _STAGE,
            registry=self._registry,
        )
        self._batch_size = Histogram(
            "bark_batch_size",
            "Sequences per step.",
            _STAGE,
            buckets=_BATCH_SIZES,
            registry=self._registry,
        )

    def watch(self, status: Callable[[], EngineStatus]) -> None:
        """Report an engine's load, read at every scrape."""
        self._registry.register(_LoadCollector(status))

    def on_step(self, stage: str, batch_size: int, seconds: float) -> None:
        """Count a step of the engine; called in the engine's thread."""
        self._tokens.labels(stage).inc(batch_size)
        self._step_seconds.labels(stage).inc(seconds)
        self._speed.labels(stage).set(batch_size / seconds if seconds else 0)
        self._batch_size.labels(stage).observe(batch_size)

    def families(self) -> list[MetricFamily]:
        """All metrics as they are now."""
        return [*self._registry.collect()]

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class Metrics(EngineMetrics):
    """All metrics of one server."""

    def __init__(self) -> None:
        super().__init__()
        self._mean_request_seconds = 0.0
        counter = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        self._requests = counter(
            "bark_requests",
            "Speech requests by outcome: ok, invalid, refused, cancelled, cut, timeout, failed.",
            ["outcome"],
        )
        self._first_audio = histogram(
            "bark_time_to_first_audio_seconds",
            "Time from arrival to first audio.",
            buckets=_SECONDS,
        )
        self._request_seconds = histogram(
            "bark_request_seconds",
            "Time from arrival to last byte of requests that ended ok.",
            buckets=_SECONDS,
        )
        self._audio = counter("bark_audio_seconds", "Seconds of audio sent.")
        self._factor = histogram(
            "bark_real_time_factor", "Request time over audio duration.", buckets=_FACTORS
        )

    def on_first_audio(self, seconds: float) -> None:
        """Count the time that one request waited for its first audio."""
        self._first_audio.observe(seconds)

    def on_end(self, outcome: str, *, seconds: float, audio_seconds: float) -> None:
        """Count a request that has ended."""
        self._requests.labels(outcome).inc()
        self._audio.inc(audio_seconds)
        if outcome == "ok":
            self._request_seconds.observe(seconds)
            mean = self._mean_request_seconds or seconds
            self._mean_request_seconds = mean + _NEWEST_SHARE * (seconds - mean)
            if audio_seconds:
                self._factor.observe(seconds / audio_seconds)

    @property
    def mean_request_seconds(self) -> float:
        """Moving average of the time of requests that ended ok; 0 before the first."""
        return self._mean_request_seconds


class _Families(Collector):
    """Metrics of several processes as if they were of one."""

    def __init__(self, families: Iterable[MetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[MetricFamily]:
        return self._families


def joined_text(parts: Iterable[tuple[Mapping[str, str], Iterable[MetricFamily]]]) -> bytes:
    """Metrics of several processes in Prometheus' text format.

    Args:
        parts: Labels of each process, which all of its samples get, and its metrics.
    """
    joined: dict[str, MetricFamily] = {}
    for labels, families in parts:
        for family in families:
            target = joined.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            target.samples += [
                sample._replace(labels={**labels, **sample.labels}) for sample in family.samples
            ]
    registry = CollectorRegistry()
    registry.register(_Families([*joined.values()]))
    return generate_latest(registry)


class _LoadCollector(Collector):
    """Reads the engine's status at every scrape."""

    def __init__(self, status: Callable[[], EngineStatus]) -> None:
        self._status = status

    def collect(self) -> Iterable[MetricFamily]:
        status = self._status()
        yield GaugeMetricFamily(
            "bark_requests_waiting", "Engine requests without a slot.", status.waiting
        )
        yield GaugeMetricFamily(
            "bark_requests_running", "Engine requests that hold a slot.", status.running
        )
        used = GaugeMetricFamily("bark_slots_in_use", "Slots in use by stage.", labels=_STAGE)
        slots = GaugeMetricFamily("bark_slots", "Slots by stage.", labels=_STAGE)
        for name, stage in status.stages.items():
            used.add_metric([name], stage.slots_in_use)
            slots.add_metric([name], stage.slots)
        yield from (used, slots)
