"""Text to speech: what a caller asks for, checked before anything is said."""

import weakref
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import OptionsError
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.engine.engine import Engine
from bark_onnx.runtime.engine.future import SpeechFuture, wait_all
from bark_onnx.runtime.engine.status import EngineStatus, Observer
from bark_onnx.runtime.inference.models import StageModels
from bark_onnx.runtime.inference.pipeline import Request, generate_speech
from bark_onnx.runtime.inference.progress import OnProgress, Progress
from bark_onnx.runtime.inference.requests import RequestReader
from bark_onnx.runtime.longform.narration import NARRATOR, Manner, Narrator
from bark_onnx.runtime.longform.quality import Cleaning
from bark_onnx.runtime.longform.reading import History, Reading
from bark_onnx.runtime.options.generation import GenerationOptions, ResolvedOptions, is_positive_int
from bark_onnx.runtime.provenance.recorder import ProvenanceRecorder
from bark_onnx.runtime.text.segments import MAX_SECONDS, Splitting
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from bark_onnx.runtime.voices.library import VoiceInfo, VoiceLibrary, VoiceLike


class Bark:
    """A loaded bundle. Calls from several threads share the steps of one engine.

    Make one with `Bark.load`. It is a context manager that closes it at the end; one that is
    forgotten closes itself, once nothing that it was asked to say is left.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        provider: str,
        precision: str | None,
        threads: int | None,
        low_memory: bool,
        max_batch_size: int,
        wait: bool,
        max_queue: int | None,
    ) -> None:
        if not is_positive_int(max_batch_size):
            raise OptionsError(f"max_batch_size is {max_batch_size!r}, expected an integer from 1")
        if max_queue is not None and max_queue != 0 and not is_positive_int(max_queue):
            raise OptionsError(f"max_queue is {max_queue!r}, expected an integer from 0, or None")
        self._bundle = bundle
        self._tokenizer = TextTokenizer.from_bundle(bundle)
        self._stages = StageModels(
            bundle,
            provider=provider,
            precision=precision,
            threads=threads,
            max_batch_size=max_batch_size,
            low_memory=low_memory,
            wait=wait,
        )
        self._recipes = ProvenanceRecorder(
            bundle, precision=self._stages.precision, provider=self._stages.device.provider
        )
        self._requests = RequestReader(bundle, self._tokenizer, self._recipes)
        self._engine = Engine(self._stages, max_queue=max_queue)
        # The engine knows nothing of this object, so it can be forgotten while the thread idles.
        # At the interpreter's exit the engine ends by itself.
        weakref.finalize(self, self._engine.stop).atexit = False

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
    ) -> "Bark":
        """Load a bundle that `bark-export` made.

        Args:
            bundle: its folder, or its hub id.
            provider: "cpu", "cuda", or "auto": CUDA where it starts and runs such a bundle.
            precision: a precision of the bundle; None takes the fastest one for the provider.
            threads: of the CPU; None takes one per physical core.
            low_memory: keep one stage loaded at a time, and only while it has work.
            max_batch_size: Sequences decoded together at most.
            max_queue: texts that may be under way or wait beyond those; more raise QueueFullError.
                None: any number.
            verify: compare the files' checksums with bark.json as they are loaded.
            wait: until everything is loaded. Otherwise later stages go on being loaded while the
                first ones speak, and what is wrong with them is raised there.

        Raises:
            BarkError: the bundle is unusable, or onnxruntime cannot do what was asked.
        """
        return cls(
            Bundle(bundle, verify=verify),
            provider=provider,
            precision=precision,
            threads=threads,
            low_memory=low_memory,
            max_batch_size=max_batch_size,
            wait=wait,
            max_queue=max_queue,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        stages = self._stages
        return f"Bark({str(self._bundle.folder)!r}, {stages.device.provider}, {stages.precision})"

    @property
    def sample_rate_hz(self) -> int:
        """Of everything it says."""
        return self._bundle.manifest.shapes.codec.sample_rate_hz

    @property
    def voices(self) -> list[str]:
        """Names that `speak` takes as `voice`."""
        return self._bundle.voice_names()

    def find_voices(self, search: str = "") -> list[VoiceInfo]:
        """Name, language and length of the voices that match `search`; an empty one: all.

        Raises:
            VoiceError: no voice fits.
        """
        return VoiceLibrary(self._bundle).find(search)

    def voice(self, voice: VoiceLike) -> Voice | None:
        """The voice that `speak` takes something for, loaded and checked.

        Raises:
            VoiceError: it is unknown, malformed, or of another checkpoint.
        """
        return VoiceLibrary(self._bundle).load(voice).voice

    def describe(self) -> dict[str, Any]:
        """What was loaded, and what was picked where nothing was asked for."""
        manifest = self._bundle.manifest
        return {
            "bundle": str(self._bundle.folder),
            "source": manifest.source,
            "provider": self._stages.device.provider,
            "precision": self._stages.precision,
            "precisions": list(manifest.precisions),
            "attention": manifest.attention,
            "threads": self._stages.device.threads,
            "low_memory": self._stages.low_memory,
            "max_batch_size": self._stages.max_batch_size,
            "sample_rate_hz": self.sample_rate_hz,
            "voices": len(self.voices),
        }

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
        """Say one text.

        Args:
            text: up to 256 tokens, about 13 seconds.
            voice: a name in the bundle, a language such as "german" or "de-3", the path of an .npz
                file, a `Voice`, or a dict of its three arrays; None lets the model choose.
            seed: the same seed gives the same speech; None draws one.
            options: generation settings; None takes the checkpoint's.
            on_progress: called with the stage, what is done and what there will be at most.
            **overrides: single settings by the names of `GenerationOptions`.

        Raises:
            BarkError: the text is empty, the voice unknown, or a setting out of range.
        """
        return self.speak_batch(
            [text],
            voices=[voice],
            seed=seed,
            options=options,
            on_progress=on_progress,
            **overrides,
        )[0]

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
        """Have one text said in the background, together with whatever else is being said.

        Takes what `speak` takes; `on_progress` is called in the engine's thread.

        Returns:
            What to wait for, or to cancel.

        Raises:
            BarkError: as `speak` does, at once.
            QueueFullError: too many texts are not done yet.
            ClosedError: `close` was called.
        """
        chosen = (options or GenerationOptions()).replace(**overrides)
        resolved = self._resolve(chosen)
        request = self._requests.read(text, voice, seed, chosen)
        return self._submit([request], resolved, on_progress)[0]

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
        """Say several texts together. Each comes out as if said alone.

        Args:
            texts: as many as you like; `max_batch_size` of them are decoded at a time.
            voices: one for all, or a sequence with one per text.
            seed: one for all, or a sequence with one per text.
            options: generation settings; None takes the checkpoint's.
            on_progress: called with the stage, what is done and what there will be at most.
            **overrides: single settings by the names of `GenerationOptions`.

        Raises:
            BarkError: as `speak` does, before anything is said.
        """
        chosen = (options or GenerationOptions()).replace(**overrides)
        resolved = self._resolve(chosen)
        requests = self._requests.read_all(texts, voices, seed, chosen)
        return wait_all(self._submit(requests, resolved, on_progress))

    def close(self) -> None:
        """End what is being said with ClosedError, and free the models. Waits for one step."""
        self._engine.close()

    def engine_status(self) -> EngineStatus:
        """How busy the engine is, and what it has done so far."""
        return self._engine.status()

    def add_observer(self, observer: Observer) -> None:
        """Have an observer hear of every step from now on."""
        self._engine.add_observer(observer)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text of any length; `speak` reads the first 256.

        Raises:
            TextError: the text is not valid Unicode.
        """
        return self._tokenizer.count(text)

    def stream(
        self,
        text: str,
        *,
        voice: VoiceLike = None,
        cast: Mapping[str, VoiceLike] | None = None,
        seed: int | None = None,
        options: GenerationOptions | None = None,
        on_progress: OnProgress | None = None,
        language: str | None = None,
        max_seconds: float = MAX_SECONDS,
        continuity: History = "voice",
        silence_seconds: float | None = None,
        crossfade_seconds: float = 0.0,
        together: int = 1,
        takes: int = 1,
        trim: bool = False,
        stop_babble: bool = False,
        peak: float | None = None,
        **overrides: Any,
    ) -> Generator[Speech]:
        """Say a text of any length, piece by piece, each handed out as soon as it can follow.

        `together` pieces are said at a time; while one is used, those behind it go on being said.
        Closing the generator cancels them.

        Every speech has its text, and in `start_seconds` its place in the whole: `SpeechWriter`
        puts them together. A text of one piece sounds as if said by `speak`, and so does every
        piece, given its own seed, while no option changes it.

        Args:
            text: in one of Bark's languages; with a cast, lines such as "Anna: Hello!".
            voice: as for `speak`; None lets the model choose, anew for every piece.
            cast: voices by the names that lines begin with; other text has `voice`.
            seed: the same seed gives the same speech, whatever runs together; None draws one.
            options: generation settings; None takes the checkpoint's.
            on_progress: as for `speak`, anew for every piece: it hears of the next one only, in the
                engine's thread.
            language: whose sentences to tell apart, such as "de"; None recognises it.
            max_seconds: of a piece, estimated from its tokens.
            continuity: "voice" says every piece with the voice; "previous" goes on from the end of
                the speaker's last piece, so that the tone carries on and may drift.
            silence_seconds: between pieces; None is 0.25, or 0 with a cross-fade.
            crossfade_seconds: how long two pieces overlap instead.
            together: pieces said at the same time: faster in all, but each takes longer.
            takes: how often to try a piece at most, until it is not silent, clipped or too long.
            trim: cut silence off both ends of each piece.
            stop_babble: end a piece when its end is likely, or too long for its text.
            peak: scale each piece so that its loudest sample is this, at most 1.
            **overrides: single settings by the names of `GenerationOptions`.

        Raises:
            BarkError: as `speak` does, before anything is said.
        """
        narrator = Narrator(self._bundle, self._recipes, self.count_tokens, self.submit)
        return narrator.narrate(
            text,
            {NARRATOR: voice, **(cast or {})},
            seed=seed,
            options=(options or GenerationOptions()).replace(**overrides),
            manner=Manner(
                Splitting(language, max_seconds),
                Reading(continuity, silence_seconds, crossfade_seconds, together),
                Cleaning(takes, trim, stop_babble, peak),
            ),
            on_progress=on_progress,
        )

    def _submit(
        self, requests: list[Request], options: ResolvedOptions, on_progress: OnProgress | None
    ) -> list[SpeechFuture]:
        progress = Progress(on_progress)
        manifest = self._bundle.manifest
        syntheses = [generate_speech(request, options, manifest, progress) for request in requests]
        return self._engine.submit(syntheses, owner=self)

    def _resolve(self, options: GenerationOptions) -> ResolvedOptions:
        manifest = self._bundle.manifest
        return options.resolve(manifest.generation, manifest.shapes.semantic)
