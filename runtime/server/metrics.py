"""What Prometheus reads from /metrics."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bark_onnx.runtime.engine.status import EngineStatus

_SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
_FACTORS = (0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8, 16, 32)
_ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_NEWEST = 0.2  # share of the newest request in the mean


class Metrics:
    """Everything that is counted; one per server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._mean_request_seconds = 0.0
        self._requests = Counter(
            "bark_requests",
            "Requests to speak by outcome: ok, invalid, refused, cancelled, timeout, failed.",
            ["outcome"],
            registry=self._registry,
        )
        self._first_audio = Histogram(
            "bark_time_to_first_audio_seconds",
            "From a request's arrival to its first audio.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "bark_request_seconds",
            "From a request's arrival to its last byte, of those that ended well.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._audio = Counter(
            "bark_audio_seconds", "Seconds of audio that were sent.", registry=self._registry
        )
        self._factor = Histogram(
            "bark_real_time_factor",
            "Seconds that a request took over seconds of its audio; below 1 is faster than sound.",
            buckets=_FACTORS,
            registry=self._registry,
        )
        self._tokens = Counter(
            "bark_tokens", "PerTokenInt8 of all steps by stage.", ["stage"], registry=self._registry
        )
        self._step_seconds = Counter(
            "bark_step_seconds",
            "Seconds in steps by stage; rate(bark_tokens_total) over it is the speed while busy.",
            ["stage"],
            registry=self._registry,
        )
        self._speed = Gauge(
            "bark_tokens_per_second",
            "PerTokenInt8 over seconds of the newest step by stage.",
            ["stage"],
            registry=self._registry,
        )
        self._batch = Histogram(
            "bark_batch_rows",
            "PerTokenInt8 that share a step by stage.",
            ["stage"],
            buckets=_ROWS,
            registry=self._registry,
        )

    def watch(self, status: Callable[[], EngineStatus]) -> None:
        """Report how busy an engine is, asked at every scrape."""
        self._registry.register(_LoadCollector(status))

    def on_step(self, stage: str, rows: int, seconds: float) -> None:
        """Count a step of the engine, in whose thread this is called."""
        self._tokens.labels(stage).inc(rows)
        self._step_seconds.labels(stage).inc(seconds)
        self._speed.labels(stage).set(rows / seconds if seconds else 0)
        self._batch.labels(stage).observe(rows)

    def on_first_audio(self, seconds: float) -> None:
        """Count the wait of one request for its first audio."""
        self._first_audio.observe(seconds)

    def on_end(self, outcome: str, *, seconds: float, audio_seconds: float) -> None:
        """Count a request that has ended."""
        self._requests.labels(outcome).inc()
        self._audio.inc(audio_seconds)
        if outcome == "ok":
            self._request_seconds.observe(seconds)
            mean = self._mean_request_seconds or seconds
            self._mean_request_seconds = mean + _NEWEST * (seconds - mean)
            if audio_seconds:
                self._factor.observe(seconds / audio_seconds)

    @property
    def mean_request_seconds(self) -> float:
        """How long recent requests took; 0 before the first."""
        return self._mean_request_seconds

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _LoadCollector(Collector):
    """Asks the engine when it is asked itself."""

    def __init__(self, status: Callable[[], EngineStatus]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        status = self._status()
        yield GaugeMetricFamily("bark_queue_length", "Jobs that hold no slot.", status.waiting)
        yield GaugeMetricFamily("bark_jobs_running", "Jobs that hold a slot.", status.running)
        used = GaugeMetricFamily("bark_slots_in_use", "Slots in use by stage.", labels=["stage"])
        there = GaugeMetricFamily("bark_slots", "Slots by stage.", labels=["stage"])
        for name, stage in status.stages.items():
            used.add_metric([name], stage.slots_in_use)
            there.add_metric([name], stage.slots)
        yield from (used, there)
