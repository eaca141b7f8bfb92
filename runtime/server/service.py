"""State that all requests share: the loaded bundle, its voices, admission control, metrics."""

import asyncio
import dataclasses
import math
import time
from collections.abc import Callable, Mapping

from bark_onnx.graphs.errors import BarkError, ServerError, first_line
from bark_onnx.runtime import Bark, GenerationOptions
from bark_onnx.runtime.audio.encoders.encoder import open_encoder
from bark_onnx.runtime.audio.files.formats import RESPONSE_FORMATS, ResponseFormat
from bark_onnx.runtime.server.admission import AdmissionController
from bark_onnx.runtime.server.aliases import OPENAI_MODELS, is_openai_model
from bark_onnx.runtime.server.clients import ClientThreads
from bark_onnx.runtime.server.errors import ApiError, shutting_down
from bark_onnx.runtime.server.logs import log
from bark_onnx.runtime.server.metrics import Metrics
from bark_onnx.runtime.server.readiness import Readiness
from bark_onnx.runtime.server.settings import ServerSettings
from bark_onnx.runtime.server.tiers import Tier
from bark_onnx.runtime.server.uploads import UploadFolder
from bark_onnx.runtime.server.voices import VoiceRegistry
from bark_onnx.runtime.text.sentences import detect_language, sentence_ends

_WARM_UP = GenerationOptions.greedy().replace(semantic_max_new_tokens=60)
_WARM_UP_TEXT = "One sentence is followed by another one, and that one by the next. " * 6
_WARM_UP_FORMATS: tuple[ResponseFormat, ...] = ("mp3", "aac")  # one of either library
_PROBE = GenerationOptions.greedy().replace(semantic_max_new_tokens=5)
_LOADING_RETRY_SECONDS = 5
_MAX_RETRY_SECONDS = 60


class SpeechService:
    """One served bundle.

    Args:
        settings: Settings of the server.
        load: Function that returns the bundle; called in a worker thread.

    Attributes:
        admission: Admission control of speech requests.
        metrics: Counters of /metrics.
        readiness: Whether speech requests succeed.
        threads: Threads for texts and voices of requests.
        created: Unix time of the start.
        startup_error: Error that prevented loading the bundle.
        on_startup_error: Called after `startup_error` is set.
        tiers: Parts of the server that run in processes of their own, by name; none here.
    """

    def __init__(self, settings: ServerSettings, load: Callable[[], Bark]) -> None:
        self.settings = settings
        self.admission = AdmissionController(
            limit=_speech_limit(settings.max_connections),
            shutdown_seconds=settings.shutdown_seconds,
        )
        self.metrics = Metrics()
        self.readiness = Readiness(lambda: self.bark.speak("Hello", options=_PROBE))
        self.threads = ClientThreads()
        self.created = int(time.time())
        self.startup_error: BarkError | None = None
        self.on_startup_error: Callable[[], object] | None = None
        self.tiers: Mapping[str, Tier] = {}
        self._load = load
        self._bark: Bark | None = None
        self._voices: VoiceRegistry | None = None

    @property
    def bark(self) -> Bark:
        """The loaded bundle.

        Raises:
            ApiError: The bundle is still loading.
        """
        if self._bark is None:
            raise _not_ready()
        return self._bark

    @property
    def voices(self) -> VoiceRegistry:
        """The available voices.

        Raises:
            ApiError: The bundle is still loading.
        """
        if self._voices is None:
            raise _not_ready()
        return self._voices

    @property
    def retry_seconds(self) -> int:
        """Suggested wait after a full queue, from the duration of recent requests."""
        return min(max(math.ceil(self.metrics.mean_request_seconds), 1), _MAX_RETRY_SECONDS)

    async def start(self) -> None:
        """Load and warm up the bundle in a worker thread; an error is kept as `startup_error`."""
        try:
            bark, self._voices = await asyncio.to_thread(self._open)
        except BarkError as error:
            self._fail(error)
            return
        except Exception as error:  # a broken package, missing memory
            log.exception("failed")
            cause = f"{type(error).__name__}: {first_line(error)}"
            self._fail(ServerError(f"The server cannot start ({cause}); the log has more"))
            return
        self.observe(bark)
        self._bark = bark
        log.info("ready", extra={"fields": dataclasses.asdict(bark.describe())})

    def observe(self, bark: Bark) -> None:
        """Begin to count the work of the loaded bundle."""
        bark.add_observer(self.metrics)
        self.metrics.watch(bark.engine_status)

    async def metrics_text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return self.metrics.text()

    async def stop(self) -> None:
        """Close the bundle; requests that are still running fail."""
        self.threads.close()
        if self._bark is not None:
            await asyncio.to_thread(self._bark.close)

    def check_model(self, model: str | None) -> None:
        """Check the model's name in a request.

        Raises:
            ApiError: The name is neither one of `model_ids` nor a snapshot of OpenAI's models.
        """
        if model is not None and model not in self.model_ids and not is_openai_model(model):
            known = ", ".join(self.model_ids)
            raise ApiError(
                404,
                f"Model {model[:60]!r} not found; expected one of {known}",
                param="model",
                code="model_not_found",
            )

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Names of the model: its own and OpenAI's."""
        return tuple(dict.fromkeys((self.settings.model_id, *OPENAI_MODELS)))

    def check_ready(self) -> None:
        """Check that speech requests are accepted.

        Raises:
            ApiError: The bundle is still loading, or the server is stopping.
        """
        if self.admission.is_draining:
            raise shutting_down()
        _ = self.bark  # raises while it loads

    def _fail(self, error: BarkError) -> None:
        if self.admission.is_draining:  # which may be why nothing was loaded
            return
        self.startup_error = error
        if self.on_startup_error is not None:
            self.on_startup_error()

    def _open(self) -> tuple[Bark, VoiceRegistry]:
        bark = self._load()
        try:
            voices = VoiceRegistry(
                bark.voices,
                check=bark.voice,
                aliases=self.settings.aliases,
                uploads=_upload_folder(self.settings),
            )
            if self.settings.warms_up:
                _warm_up(bark)
        except BaseException:
            bark.close()
            raise
        return bark, voices


def _speech_limit(max_connections: int) -> int:
    """Limit of speech requests: a tenth of the connections is kept for other ones."""
    return max(max_connections - max(max_connections // 10, 1), 1)


def _upload_folder(settings: ServerSettings) -> UploadFolder | None:
    if settings.uploads is None:
        return None
    return UploadFolder(
        settings.uploads,
        max_file_bytes=settings.max_body_bytes,
        max_bytes=settings.max_uploads_bytes,
    )


def _not_ready() -> ApiError:
    return ApiError(
        503, "The bundle is loading", code="not_ready", retry_seconds=_LOADING_RETRY_SECONDS
    )


def _warm_up(bark: Bark) -> None:
    """Load lazily loaded data and libraries, which would delay the first request."""
    # Language data: 0.6 s.
    list(sentence_ends(_WARM_UP_TEXT, detect_language(_WARM_UP_TEXT)))
    speech = bark.speak("Hello", options=_WARM_UP)
    for name in _WARM_UP_FORMATS:
        encoder = open_encoder(RESPONSE_FORMATS[name], speech.sample_rate_hz, streamed=True)
        encoder.add(speech.samples)
        encoder.finish()
