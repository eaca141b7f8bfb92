"""Text to speech: the four stages one after the other, for one text or many at once."""

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import (
    CODEBOOK_INDEX,
    CODES,
    FRAME_INDICES,
    STAGES,
    Stage,
)
from bark_onnx.graphs.errors import BundleError, OptionsError, TextError
from bark_onnx.graphs.precisions import CPU_FASTEST_FIRST
from bark_onnx.graphs.voices import Tokens, Voice
from bark_onnx.runtime.audio import Speech
from bark_onnx.runtime.bundle import Bundle, VoiceLike
from bark_onnx.runtime.coarse import coarse_length, generate_coarse
from bark_onnx.runtime.decoder import CausalSessions, open_decoder
from bark_onnx.runtime.fine import fine_passes, generate_fine
from bark_onnx.runtime.options import GenerationOptions, ResolvedOptions, is_count
from bark_onnx.runtime.progress import Counter, OnProgress
from bark_onnx.runtime.rows import Decoder, Row, run_rows
from bark_onnx.runtime.semantic import generate_semantic, semantic_prompt
from bark_onnx.runtime.sessions import open_device, open_session

_SEED_BITS = 32


@dataclass(frozen=True)
class _Request:
    """One text to speak."""

    text: str
    text_ids: Tokens
    voice: Voice | None
    seed: int
    rng: np.random.Generator


class Bark:
    """A loaded bundle. Calls from several threads wait for each other.

    Make one with `Bark.load`.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        provider: str,
        precision: str | None,
        threads: int | None,
        low_memory: bool,
        max_rows: int,
    ) -> None:
        if not is_count(max_rows):
            raise OptionsError(f"max_rows is {max_rows!r}, expected an integer from 1")
        self._bundle = bundle
        self._device = open_device(provider, threads)
        self._precision = _pick_precision(bundle, precision)
        self._low_memory = low_memory
        self._max_rows = max_rows
        self._tokenizer = bundle.tokenizer()
        self._stages: dict[Stage, Any] = {}  # decoders and sessions by stage
        self._lock = threading.Lock()
        if not low_memory:
            for stage in STAGES:
                self._stages[stage] = self._open(stage)

    @classmethod
    def load(
        cls,
        bundle: str | Path,
        *,
        provider: str = "auto",
        precision: str | None = None,
        threads: int | None = None,
        low_memory: bool = False,
        max_rows: int = 8,
        verify: bool = True,
    ) -> "Bark":
        """Load a bundle that `bark-export` made.

        Args:
            bundle: its folder, or its hub id.
            provider: "auto" or "cpu".
            precision: a precision of the bundle; None takes the fastest one for the provider.
            threads: of the CPU; None takes one per physical core.
            low_memory: keep one stage loaded at a time; every call loads them anew.
            max_rows: texts that `speak_batch` decodes together at most.
            verify: compare the files' checksums with bark.json as they are loaded.

        Raises:
            BarkError: the bundle is unusable, or onnxruntime cannot do what was asked.
        """
        return cls(
            Bundle(bundle, verify=verify),
            provider=provider,
            precision=precision,
            threads=threads,
            low_memory=low_memory,
            max_rows=max_rows,
        )

    def __repr__(self) -> str:
        return f"Bark({str(self._bundle.folder)!r}, {self._device.provider}, {self._precision})"

    @property
    def sample_rate_hz(self) -> int:
        """Of everything it says."""
        return self._bundle.manifest.shapes.codec.sample_rate_hz

    @property
    def voices(self) -> list[str]:
        """Names that `speak` takes as `voice`."""
        return self._bundle.voice_names()

    def describe(self) -> dict[str, Any]:
        """What was loaded, and what was picked where nothing was asked for."""
        manifest = self._bundle.manifest
        return {
            "bundle": str(self._bundle.folder),
            "source": manifest.source,
            "provider": self._device.provider,
            "precision": self._precision,
            "precisions": list(manifest.precisions),
            "attention": manifest.attention,
            "threads": self._device.threads,
            "low_memory": self._low_memory,
            "max_rows": self._max_rows,
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
            voice: a name in the bundle, the path of an .npz file, a `Voice`, or a dict of its three
                arrays; None lets the model choose.
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
            texts: as many as you like; `max_rows` of them are decoded at a time.
            voices: one for all, or a sequence with one per text.
            seed: one for all, or a sequence with one per text.
            options: generation settings; None takes the checkpoint's.
            on_progress: called with the stage, what is done and what there will be at most.
            **overrides: single settings by the names of `GenerationOptions`.

        Raises:
            BarkError: as `speak` does, before anything is said.
        """
        manifest = self._bundle.manifest
        resolved = (
            (options or GenerationOptions())
            .replace(**overrides)
            .resolve(manifest.generation, manifest.shapes.semantic)
        )
        requests = self._requests(texts, voices, seed)
        with self._lock:
            return self._speak(requests, resolved, on_progress)

    def _requests(
        self,
        texts: Sequence[str],
        voices: VoiceLike | Sequence[VoiceLike],
        seed: int | Sequence[int] | None,
    ) -> list[_Request]:
        if isinstance(texts, str):
            raise TextError("texts is a single text; expected a sequence of texts, or use speak")
        seeds = [*seed] if isinstance(seed, Sequence) else [seed] * len(texts)
        voice_list = _one_each(voices, len(texts))
        for what, found in (("voices", len(voice_list)), ("seeds", len(seeds))):
            if found != len(texts):
                raise OptionsError(f"{found} {what} for {len(texts)} texts; expected as many")
        requests = []
        for text, voice, given in zip(texts, voice_list, seeds, strict=True):
            if not isinstance(text, str):
                raise TextError(f"The text is a {type(text).__name__}; expected a string")
            number = secrets.randbits(_SEED_BITS) if given is None else given
            requests.append(
                _Request(
                    text,
                    self._tokenizer.encode(text),
                    self._bundle.voice(voice),
                    number,
                    _generator(number),
                )
            )
        return requests

    def _speak(
        self,
        requests: list[_Request],
        options: ResolvedOptions,
        on_progress: OnProgress | None,
    ) -> list[Speech]:
        manifest = self._bundle.manifest
        settings, shapes = manifest.generation, manifest.shapes
        # 1. Text to semantic tokens, all rows together.
        prompts = [
            semantic_prompt(request.text_ids, request.voice, settings.semantic, shapes.semantic)
            for request in requests
        ]
        semantic = self._decode(
            Counter("semantic", len(requests) * options.semantic_max_new_tokens, on_progress),
            [
                generate_semantic(prompt, settings.semantic, options, request.rng)
                for request, prompt in zip(requests, prompts, strict=True)
            ],
        )
        # 2. Semantic tokens to the first codebooks, all rows together.
        total = sum(coarse_length(len(tokens), settings) for tokens in semantic)
        coarse = self._decode(
            Counter("coarse", total, on_progress),
            [
                generate_coarse(tokens, request.voice, settings, options.coarse, request.rng)
                for request, tokens in zip(requests, semantic, strict=True)
            ],
        )
        # 3. The first codebooks to all of them, row by row.
        fine = self._fine(coarse, requests, options, on_progress)
        # 4. Codes to audio, row by row: the codec is no faster on several.
        samples = self._codec(fine, on_progress)
        return [
            Speech(
                samples=audio,
                sample_rate_hz=self.sample_rate_hz,
                semantic_tokens=tokens,
                coarse_tokens=np.ascontiguousarray(first.T),
                fine_tokens=np.ascontiguousarray(codes.T),
                text=request.text,
                voice_name=request.voice.name if request.voice else "",
                seed=request.seed,
            )
            for request, tokens, first, codes, audio in zip(
                requests, semantic, coarse, fine, samples, strict=True
            )
        ]

    def _decode(self, counter: Counter, rows: list[Row[Tokens]]) -> list[Tokens]:
        with self._stage(counter.stage) as decoder:
            results = dict(run_rows(decoder, [counter.counted(row) for row in rows]))
        return [results[index] for index in range(len(rows))]

    def _fine(
        self,
        coarse: list[Tokens],
        requests: list[_Request],
        options: ResolvedOptions,
        on_progress: OnProgress | None,
    ) -> list[Tokens]:
        settings = self._bundle.manifest.generation
        passes = sum(
            fine_passes(len(codes), request.voice, settings)
            for request, codes in zip(requests, coarse, strict=True)
        )
        counter = Counter("fine", passes, on_progress)
        with self._stage("fine") as session:

            def predict(codes: Tokens, codebook: int, frames: Tokens) -> NDArray[np.float32]:
                feeds = {CODES: codes, CODEBOOK_INDEX: np.array(codebook), FRAME_INDICES: frames}
                logits: NDArray[np.float32] = session.run(None, feeds)[0]
                counter.add()
                return logits

            return [
                generate_fine(codes, request.voice, settings, options.fine, request.rng, predict)
                for request, codes in zip(requests, coarse, strict=True)
            ]

    def _codec(
        self, fine: list[Tokens], on_progress: OnProgress | None
    ) -> list[NDArray[np.float32]]:
        counter = Counter("codec", sum(len(codes) for codes in fine), on_progress)
        samples = []
        with self._stage("codec") as session:
            for codes in fine:
                if len(codes):
                    samples.append(session.run(None, {CODES: codes.T[None]})[0][0])
                else:
                    samples.append(np.zeros(0, np.float32))
                counter.add(len(codes))
        return samples

    @contextmanager
    def _stage(self, stage: Stage) -> Iterator[Any]:
        """The decoder or session of a stage; loaded for this block alone when memory is low."""
        if self._low_memory:
            yield self._open(stage)
        else:
            yield self._stages[stage]

    def _open(self, stage: Stage) -> Decoder | Any:
        contract = self._bundle.contract(stage)
        session = open_session(self._bundle.graph(self._precision, stage), contract, self._device)
        if stage == "fine" or stage == "codec":
            return session
        prompt = self._bundle.prompt_graph(self._precision, stage)
        sessions = CausalSessions(
            session if prompt is None else open_session(prompt, contract, self._device), session
        )
        shape = getattr(self._bundle.manifest.shapes, stage)
        return open_decoder(sessions, contract, shape, self._max_rows)


def _pick_precision(bundle: Bundle, precision: str | None) -> str:
    present = bundle.manifest.precisions
    if precision is None:
        return next((name for name in CPU_FASTEST_FIRST if name in present), present[0])
    if precision not in present:
        raise BundleError(
            f"{bundle.folder} has no {precision} graphs, only {', '.join(present)}; "
            f"export with --precision {precision}"
        )
    return precision


def _generator(seed: int) -> np.random.Generator:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise OptionsError(f"seed is {seed!r}, expected an integer from 0")
    return np.random.default_rng(int(seed))


def _one_each(voices: VoiceLike | Sequence[VoiceLike], count: int) -> list[VoiceLike]:
    if isinstance(voices, Sequence) and not isinstance(voices, str):
        return [*voices]
    return [voices] * count
