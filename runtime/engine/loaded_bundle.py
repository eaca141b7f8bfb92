"""A loaded bundle: its models, its engine, and what can be asked about them."""

import weakref
from pathlib import Path
from typing import Self

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import OptionsError
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.engine.clients import PROGRAM, Client
from bark_onnx.runtime.engine.engine import Engine
from bark_onnx.runtime.engine.future import SpeechFuture
from bark_onnx.runtime.engine.status import BarkInfo, EngineStatus, Observer
from bark_onnx.runtime.inference.models import StageModels
from bark_onnx.runtime.inference.pipeline import Request, generate_speech
from bark_onnx.runtime.inference.progress import OnProgress, Progress
from bark_onnx.runtime.inference.requests import RequestBuilder
from bark_onnx.runtime.options.generation import is_positive_int
from bark_onnx.runtime.provenance.recorder import ProvenanceRecorder
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from bark_onnx.runtime.voices.library import VoiceInfo, VoiceLibrary, VoiceLike


class LoadedBundle:
    """A bundle with its models and its engine; `Bark` adds the generation of speech.

    `load` makes one. It is a context manager that closes itself; without `with`, it is closed once
    it is unreferenced and its last request is done.
    """

    def __init__(self, bundle: Bundle, models: StageModels, *, max_queue: int | None) -> None:
        self._bundle = bundle
        self._models = models
        self._builder = request_builder(
            bundle,
            precision=models.precision,
            provider=models.target.provider.name,
            onnxruntime_version=models.onnxruntime_version,
        )
        self._engine = Engine(models, max_queue=max_queue)
        # The engine holds no reference to this object, so that it can be collected while the
        # engine idles. At the interpreter's exit the engine ends by itself.
        weakref.finalize(self, self._engine.stop).atexit = False
        if models.needs_preparation:
            self._engine.prepare()

    @classmethod
    def load(
        cls,
        bundle: str | Path,
        *,
        provider: str = "auto",
        precision: str | None = None,
        threads: int | None = None,
        low_memory: bool = False,
        max_batch_size: int = 8,
        max_queue: int | None = None,
        verify: bool = True,
        wait: bool = True,
    ) -> Self:
        """Load a bundle made by `bark-export`.

        Args:
            bundle: Folder or hub id.
            provider: "cpu", "cuda", "webgpu", "webgpu-low-power", or "auto", which takes CUDA
                where it starts and supports the bundle, and otherwise the CPU.
            precision: Precision of the graphs; None takes the fastest one for the provider.
            threads: CPU threads; None takes one per physical core.
            low_memory: Whether only the stage that runs is loaded.
            max_batch_size: Sequences decoded together at most.
            max_queue: Requests accepted beyond one batch before QueueFullError is raised. None:
                any number.
            verify: Whether checksums are compared with bark.json as files are loaded.
            wait: Whether to return after every stage is loaded. Otherwise later stages load while
                the first ones run, and their errors are raised there.

        Raises:
            BarkError: The bundle is unusable, or ONNX Runtime does not support the request.
        """
        if not is_positive_int(max_batch_size):
            raise OptionsError(f"max_batch_size is {max_batch_size!r}, expected an integer from 1")
        if max_queue is not None and max_queue != 0 and not is_positive_int(max_queue):
            raise OptionsError(f"max_queue is {max_queue!r}, expected an integer from 0, or None")
        opened = Bundle(bundle, verify=verify)
        models = StageModels(
            opened,
            provider=provider,
            precision=precision,
            threads=threads,
            max_batch_size=max_batch_size,
            low_memory=low_memory,
            background=not wait,
        )
        return cls(opened, models, max_queue=max_queue)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        provider, precision = self._models.target.provider.name, self._models.precision
        return f"{type(self).__name__}({str(self._bundle.folder)!r}, {provider}, {precision})"

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the audio."""
        return self._bundle.manifest.shapes.codec.sample_rate_hz

    @property
    def voices(self) -> list[str]:
        """Names of the bundle's voices."""
        return self._bundle.voice_names()

    def find_voices(self, search: str = "") -> list[VoiceInfo]:
        """Name, language and length of the voices that match.

        Args:
            search: Part of a name, or a language such as "german" or "de"; empty matches all.

        Raises:
            VoiceError: No voice matches.
        """
        return self._builder.voices.find(search)

    def voice(self, voice: VoiceLike) -> Voice | None:
        """The voice that `speak` uses for a value of `voice`, loaded and checked.

        Raises:
            VoiceError: The voice is unknown, malformed, or from another checkpoint.
        """
        return self._builder.voices.load(voice).voice

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a text of any length; `speak` uses the first 256.

        Raises:
            TextError: The text is not valid Unicode.
        """
        return self._builder.tokenizer.count(text)

    def describe(self) -> BarkInfo:
        """The loaded bundle and the settings it runs with."""
        manifest, models = self._bundle.manifest, self._models
        return BarkInfo(
            bundle=str(self._bundle.folder),
            source=manifest.source,
            provider=models.target.provider.name,
            precision=models.precision,
            precisions=manifest.precisions,
            attention=manifest.attention,
            threads=models.target.threads,
            low_memory=models.low_memory,
            max_batch_size=models.max_batch_size,
            sample_rate_hz=self.sample_rate_hz,
            voices=len(self.voices),
        )

    def engine_status(self) -> EngineStatus:
        """Load of the engine, and its work so far."""
        return self._engine.status()

    def add_observer(self, observer: Observer) -> None:
        """Call `observer.on_step` after every step from now on."""
        self._engine.add_observer(observer)

    def close(self) -> None:
        """Fail unfinished requests with ClosedError, and free the models. Waits for one step."""
        self._engine.close()

    def submit_requests(
        self,
        requests: list[Request],
        on_progress: OnProgress | None = None,
        client: Client = PROGRAM,
    ) -> list[SpeechFuture]:
        """Generate the speech of one call's requests in the background: of all, or of none.

        Args:
            requests: Requests that were checked, as `submit` and `submit_segment` make them.
            on_progress: As for `speak`.
            client: Party that takes turns with others.

        Raises:
            EngineError: The engine is closed, has died, or its queue is full; also without
                requests.
        """
        progress, manifest = Progress(on_progress), self._bundle.manifest
        generators = [generate_speech(request, manifest, progress) for request in requests]
        return self._engine.submit(generators, keepalive=self, client=client)


def request_builder(
    bundle: Bundle, *, precision: str, provider: str, onnxruntime_version: str
) -> RequestBuilder:
    """What every request to a bundle is built from.

    Args:
        bundle: The bundle.
        precision: Precision of the graphs that generate the speech.
        provider: Provider that runs them.
        onnxruntime_version: Version of ONNX Runtime that runs them.
    """
    recorder = ProvenanceRecorder(
        bundle,
        precision=precision,
        provider=provider,
        onnxruntime_version=onnxruntime_version,
    )
    tokenizer = TextTokenizer.from_bundle(bundle)
    return RequestBuilder(bundle.manifest, tokenizer, VoiceLibrary(bundle), recorder)
