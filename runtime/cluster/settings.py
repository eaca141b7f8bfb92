"""Settings of the speaker replicas, validated before anything starts."""

from dataclasses import dataclass

from bark_onnx.graphs.errors import OptionsError

# Of the autoscaler, by simulation (docs/scale.md): a full batch is too late to start a replica, and
# replicas with little load look idle, so that they end in small steps.
TARGET_SHARE = 0.7  # of max_batch_size
DOWNSCALING_FACTOR = 0.5

_COUNTS = ("num_cpus", "max_batch_size", "replicas")


@dataclass(frozen=True)
class SpeakerSettings:
    """Settings that concern the speaker replicas: each has one `Bark`.

    Raises:
        OptionsError: A value is out of range.
    """

    bundle: str  # folder or hub id that every node can open, or "demo"
    provider: str = "auto"  # "cpu", "cuda", or "auto": CUDA where a replica has a GPU
    precision: str | None = None  # precision of the graphs; None: the fastest for the provider
    num_cpus: int = 1  # CPUs of a replica, which has as many threads
    num_gpus: float = 0.0  # GPUs of a replica; a fraction shares one
    low_memory: bool = False  # load only the stage that runs
    max_batch_size: int = 8  # segments that a replica decodes together
    max_queue: int = 64  # segments that wait in an ingress; beyond: 429
    replicas: int = 1  # speaker replicas; with max_replicas, the fewest
    max_replicas: int | None = None  # most replicas; None: as many as `replicas`, always
    warms_up: bool = True  # generate speech before a replica takes its first segment
    shutdown_seconds: float = 60.0  # for segments of a replica that is drained

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} is {getattr(self, name)}, expected an integer from 1")
        if self.num_gpus < 0:
            raise OptionsError(f"num_gpus is {self.num_gpus}, expected 0 or more")
        if self.most_replicas < self.replicas:
            raise OptionsError(
                f"max_replicas is {self.max_replicas}, expected at least replicas, {self.replicas}"
            )

    @property
    def most_replicas(self) -> int:
        """Number of replicas under full load."""
        return self.replicas if self.max_replicas is None else self.max_replicas

    @property
    def places(self) -> int:
        """Segments that an ingress accepts at a time: full batches, and those that wait."""
        return self.most_replicas * self.max_batch_size + self.max_queue
