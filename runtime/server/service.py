"""What all requests share: the loaded bundle, its voices, the gate, the counters."""

import asyncio
import dataclasses
import math
import time
from collections.abc import Callable

from bark_onnx.graphs.errors import BarkError
from bark_onnx.runtime import Bark, GenerationOptions
from bark_onnx.runtime.audio.encoders.encoder import open_encoder
from bark_onnx.runtime.audio.files.formats import FORMATS
from bark_onnx.runtime.server.admission import AdmissionController
from bark_onnx.runtime.server.errors import ApiError, shutting_down
from bark_onnx.runtime.server.logs import log
from bark_onnx.runtime.server.metrics import Metrics
from bark_onnx.runtime.server.settings import ServerSettings
from bark_onnx.runtime.server.voices import VoiceRegistry
from bark_onnx.runtime.text.segments import split_text

_WARM_UP = GenerationOptions.greedy().replace(semantic_max_new_tokens=60)
_WARM_UP_TEXT = "One sentence is followed by another one, and that one by the next. " * 6
_OPENAI_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
_LOADING_SECONDS = 5  # when to ask a server again that is not ready
_LONGEST_RETRY_SECONDS = 60


class SpeechService:
    """One bundle that is served.

    Args:
        settings: of the server.
        load: gives the bundle, as long as that may take.

    Attributes:
        failure: why the bundle could not be loaded.
        on_failure: called when that is so.
    """

    def __init__(self, settings: ServerSettings, load: Callable[[], Bark]) -> None:
        self.settings = settings
        self.gate = AdmissionController(settings.shutdown_seconds, settings.max_connections)
        self.metrics = Metrics()
        self.created = int(time.time())
        self.failure: BarkError | None = None
        self._load = load
        self.on_failure: Callable[[], object] | None = None
        self._bark: Bark | None = None
        self._voices: VoiceRegistry | None = None

    @property
    def is_ready(self) -> bool:
        """Whether requests to speak are taken."""
        return self._bark is not None and not self.gate.draining

    @property
    def bark(self) -> Bark:
        """Who speaks.

        Raises:
            ApiError: the bundle is still being loaded.
        """
        if self._bark is None:
            raise self._not_ready()
        return self._bark

    @property
    def voices(self) -> VoiceRegistry:
        """The voices there are.

        Raises:
            ApiError: the bundle is still being loaded.
        """
        if self._voices is None:
            raise self._not_ready()
        return self._voices

    @property
    def retry_seconds(self) -> int:
        """When a request that found the queue full may come again."""
        return min(max(math.ceil(self.metrics.mean_request_seconds), 1), _LONGEST_RETRY_SECONDS)

    async def start(self) -> None:
        """Load the bundle and say something, in another thread; `failure` is what went wrong."""
        try:
            bark, self._voices = await asyncio.to_thread(self._open)
        except BarkError as error:
            self.failure = error
            if self.on_failure is not None:
                self.on_failure()
            return
        bark.add_observer(self.metrics)
        self.metrics.watch(bark.engine_status)
        self._bark = bark
        log.info("ready", extra={"fields": dataclasses.asdict(bark.describe())})

    async def stop(self) -> None:
        """End the engine; what it has not done fails."""
        if self._bark is not None:
            await asyncio.to_thread(self._bark.close)

    def check_model(self, model: str | None) -> None:
        """Raise unless a model has one of the names of this one.

        Raises:
            ApiError: it is another one.
        """
        if model is not None and model not in self.model_ids:
            known = ", ".join(self.model_ids)
            raise ApiError(
                404,
                f"Model {model[:60]!r} not found; expected one of {known}",
                param="model",
                code="model_not_found",
            )

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Names of the one model, those that OpenAI's clients send included."""
        return tuple(dict.fromkeys((self.settings.model_id, *_OPENAI_MODELS)))

    def check_ready(self) -> None:
        """Raise unless requests to speak are taken.

        Raises:
            ApiError: the bundle is still being loaded, or the server is stopping.
        """
        if self.gate.draining:
            raise shutting_down()
        if self._bark is None:
            raise self._not_ready()

    def _open(self) -> tuple[Bark, VoiceRegistry]:
        bark = self._load()
        try:
            voices = VoiceRegistry(
                bark.voices,
                check=bark.voice,
                aliases=self.settings.aliases,
                uploads=self.settings.uploads,
            )
            if self.settings.warms_up:
                _warm_up(bark)
        except BaseException:
            bark.close()
            raise
        return bark, voices

    def _not_ready(self) -> ApiError:
        return ApiError(
            503, "The bundle is being loaded", code="not_ready", retry_seconds=_LOADING_SECONDS
        )


def _warm_up(bark: Bark) -> None:
    """Load what the first request would wait for, and everybody else with it."""
    split_text(_WARM_UP_TEXT, count_tokens=bark.count_tokens)  # the data of languages: 0.6 s
    speech = bark.speak("Hello", options=_WARM_UP)
    encoder = open_encoder(FORMATS["mp3"], speech.sample_rate_hz, streamed=True)
    encoder.add(speech.samples)
    encoder.finish()
