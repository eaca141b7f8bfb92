"""Public API: generates speech for short texts, batches, and texts of any length."""

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.engine.clients import PROGRAM, Client
from bark_onnx.runtime.engine.future import SpeechFuture, wait_all
from bark_onnx.runtime.engine.loaded_bundle import LoadedBundle
from bark_onnx.runtime.inference.pipeline import Request
from bark_onnx.runtime.inference.progress import OnProgress
from bark_onnx.runtime.longform import streaming
from bark_onnx.runtime.longform.plan import DEFAULT_SPEAKER, StreamPlan, plan_stream
from bark_onnx.runtime.longform.window import SegmentTask
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.options.stream import STREAM_OPTION_NAMES, StreamOptions
from bark_onnx.runtime.voices.library import VoiceLike


class Bark(LoadedBundle):
    """A loaded bundle that generates speech. Calls from several threads share its batches."""

    def speak(
        self,
        text: str,
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        options: GenerationOptions | None = None,
        on_progress: OnProgress | None = None,
        **overrides: Any,
    ) -> Speech:
        """Generate speech for one text.

        Args:
            text: Text of up to 256 tokens, about 13 seconds.
            voice: Name in the bundle, language such as "german" or "de-3", path of an .npz file,
                `Voice`, or dict of its three arrays; None lets the model choose.
            seed: Seed, which determines the speech; None draws one.
            options: Generation options; None takes the checkpoint's.
            on_progress: Callback that receives the stage, the count done and the expected total.
            **overrides: Single generation options by name.

        Raises:
            BarkError: The text is empty, the voice unknown, or an option out of range.
        """
        future = self.submit(
            text, voice=voice, seed=seed, options=options, on_progress=on_progress, **overrides
        )
        return wait_all([future])[0]

    def submit(
        self,
        text: str,
        *,
        voice: VoiceLike = None,
        seed: int | None = None,
        options: GenerationOptions | None = None,
        on_progress: OnProgress | None = None,
        **overrides: Any,
    ) -> SpeechFuture:
        """Generate speech for one text in the background, batched with all other requests.

        Takes the arguments of `speak`; `on_progress` is called in the engine's thread.

        Raises:
            BarkError: As for `speak`, at once.
            QueueFullError: The engine's queue is full.
            ClosedError: `close` was called.
        """
        chosen = (options or GenerationOptions()).replace(**overrides)
        return self.submit_requests([self._builder.build(text, voice, seed, chosen)], on_progress)[
            0
        ]

    def speak_batch(
        self,
        texts: Sequence[str],
        *,
        voices: VoiceLike | Sequence[VoiceLike] = None,
        seed: int | Sequence[int] | None = None,
        options: GenerationOptions | None = None,
        on_progress: OnProgress | None = None,
        **overrides: Any,
    ) -> list[Speech]:
        """Generate speech for several texts. Results do not depend on the batch.

        Args:
            texts: Any number of texts; `max_batch_size` of them are decoded at a time.
            voices: One voice for all, or a sequence with one per text.
            seed: One seed for all, or a sequence with one per text.
            options: Generation options; None takes the checkpoint's.
            on_progress: Callback that receives the stage, the count done and the expected total.
            **overrides: Single generation options by name.

        Raises:
            BarkError: As for `speak`, before anything is generated.
        """
        chosen = (options or GenerationOptions()).replace(**overrides)
        requests = self._builder.build_batch(texts, voices, seed, chosen)
        return wait_all(self.submit_requests(requests, on_progress))

    def plan(
        self,
        text: str,
        *,
        voice: VoiceLike = None,
        speakers: Mapping[str, VoiceLike] | None = None,
        seed: int | None = None,
        options: GenerationOptions | None = None,
        stream: StreamOptions | None = None,
        **overrides: Any,
    ) -> StreamPlan:
        """Split and check a text of any length, without generating anything.

        Takes the arguments of `stream`, which accepts the plan instead of a text.

        Raises:
            BarkError: A voice is unknown, an option out of range, or a speaker has no line.
        """
        if DEFAULT_SPEAKER in (speakers or {}):
            raise OptionsError("speakers has an empty name; expected names of speakers")
        names = STREAM_OPTION_NAMES & overrides.keys()
        stream_overrides = {name: overrides.pop(name) for name in sorted(names)}
        return plan_stream(
            self._builder,
            text,
            {DEFAULT_SPEAKER: voice, **(speakers or {})},
            seed=seed,
            options=(options or GenerationOptions()).replace(**overrides),
            stream=(stream or StreamOptions()).replace(**stream_overrides),
        )

    def stream(
        self,
        text: str | StreamPlan,
        *,
        voice: VoiceLike = None,
        speakers: Mapping[str, VoiceLike] | None = None,
        seed: int | None = None,
        options: GenerationOptions | None = None,
        stream: StreamOptions | None = None,
        on_progress: OnProgress | None = None,
        **overrides: Any,
    ) -> Generator[Speech]:
        """Generate speech for a text of any length, segment by segment.

        Each speech is yielded as soon as those before it are, with its text and its place in the
        whole (`start_seconds`); `SpeechWriter` joins them. While one is used, those behind it are
        generated. Closing the generator cancels them. A text of one segment equals `speak`.

        Args:
            text: Text in one of Bark's languages, or a plan of one. With speakers, lines begin
                with a name: "Anna: Hello!".
            voice: As for `speak`; None lets the model choose, for every segment anew.
            speakers: Voices by the names that lines begin with; other text has `voice`.
            seed: Seed of the whole text, whatever the concurrency; None draws one.
            options: Generation options; None takes the checkpoint's.
            stream: Options of long text; None takes the defaults.
            on_progress: As for `speak`, for the segment that is yielded next.
            **overrides: Single options by name, of `GenerationOptions` or `StreamOptions`.

        Raises:
            BarkError: As for `plan`, before anything is generated.
        """
        named = {
            "voice": voice,
            "speakers": speakers,
            "seed": seed,
            "options": options,
            "stream": stream,
        }
        given = {name: value for name, value in named.items() if value is not None}
        plan = self._as_plan(text, given | overrides)
        return streaming.stream(plan, self.submit_segment, on_progress)

    def astream(
        self,
        text: str | StreamPlan,
        *,
        on_progress: OnProgress | None = None,
        **arguments: Any,
    ) -> AsyncGenerator[Speech]:
        """Generate speech as `stream` does, with the same arguments, as an async generator."""
        plan = self._as_plan(text, arguments)
        return streaming.astream(plan, self.submit_segment, on_progress)

    def submit_segment(
        self,
        task: SegmentTask,
        on_progress: OnProgress | None = None,
        *,
        client: Client = PROGRAM,
    ) -> SpeechFuture:
        """Generate speech for one segment of a plan in the background.

        Args:
            task: One attempt at the segment.
            on_progress: As for `speak`.
            client: Party that takes turns with others; by default all calls of the program.
        """
        text = task.segment.text
        ids, options = self._builder.tokenizer.encode(text), self._builder.resolve(task.options)
        request = Request(text, ids, task.voice, task.seed, options, task.provenance)
        return self.submit_requests([request], on_progress, client)[0]

    def _as_plan(self, text: str | StreamPlan, arguments: Mapping[str, Any]) -> StreamPlan:
        if not isinstance(text, StreamPlan):
            return self.plan(text, **arguments)
        if arguments:
            raise OptionsError(f"{min(arguments)} is part of the plan; pass it to Bark.plan")
        return text
