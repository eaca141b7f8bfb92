"""Generates rows on one loaded bundle, several at a time, as the bytes of their files.

Knows neither the folder nor where it runs: in the process of the command, or in a worker of Ray.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bark_onnx.graphs.errors import (
    AudioError,
    BarkError,
    BatchError,
    EngineError,
    printable,
    shortened,
    system_reason,
)
from bark_onnx.runtime.audio.files.writer import SpeechWriter
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.batch.row import MAX_ERROR, Row, split_options
from bark_onnx.runtime.longform.plan import StreamPlan
from bark_onnx.runtime.longform.streaming import FinishedText, stream_many
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.options.stream import StreamOptions


@dataclass(frozen=True)
class SpeakerSettings:
    """How rows are generated and encoded."""

    bundle: str  # as it was given, for the provenance
    audio_format: str
    sample_rate_hz: int
    metadata: bool  # whether files have their provenance
    generation: GenerationOptions
    stream: StreamOptions  # of each row, whose segments follow one another
    concurrency: int  # rows generated at the same time


@dataclass(frozen=True)
class FinishedRow:
    """A row that was generated or has failed."""

    row: Row
    sound: bytes | None  # contents of the file; None: not generated, as `error` says
    seconds: float = 0.0  # of audio
    error: str | None = None


OnRow = Callable[[FinishedRow], None]


class Speaker:
    """Generates rows.

    Args:
        bark: Loaded bundle.
        settings: Settings of all rows.
        scratch: Folder for temporary files; None takes the system's.
        voice_of: Voice to load for a row; by default the one it names.
    """

    def __init__(
        self,
        bark: Bark,
        settings: SpeakerSettings,
        *,
        scratch: Path | None = None,
        voice_of: Callable[[Row], str | None] = lambda row: row.voice,
    ) -> None:
        self._bark = bark
        self._settings = settings
        self._scratch = scratch
        self._voice_of = voice_of

    def speak(self, rows: Iterable[Row], on_row: OnRow) -> None:
        """Generate rows, and report each as soon as it has ended.

        Raises:
            BarkError: The engine died, or a temporary file cannot be written.
        """
        with closing(self.stream(rows, on_row)) as finished:
            for row in finished:
                on_row(row)

    def stream(self, rows: Iterable[Row], on_failure: OnRow) -> Generator[FinishedRow]:
        """Generate rows, and yield each as soon as it has ended.

        Args:
            rows: Rows without an error.
            on_failure: Receives rows that cannot begin.

        Raises:
            BarkError: As for `speak`.
        """
        started: dict[int, Row] = {}  # by position of the plan
        plans = self._plans(rows, started, on_failure)
        submit, concurrency = self._bark.submit_segment, self._settings.concurrency
        with (
            TemporaryDirectory(prefix="bark-onnx-", dir=self._scratch) as folder,
            closing(stream_many(plans, submit, concurrency=concurrency)) as texts,
        ):
            for text in texts:
                yield self._finish(started.pop(text.index), text, Path(folder))

    def _plans(
        self, rows: Iterable[Row], started: dict[int, Row], on_failure: OnRow
    ) -> Iterator[StreamPlan]:
        """Plan rows; those with an error are reported at once."""
        positions = count()
        for row in rows:
            try:
                plan = self._plan(row)
            except BarkError as error:
                on_failure(_failed(row, error))
            else:
                started[next(positions)] = row
                yield plan

    def _plan(self, row: Row) -> StreamPlan:
        assert row.text is not None
        generation, stream = split_options(row.options)
        return self._bark.plan(
            row.text,
            voice=self._voice_of(row),
            seed=row.seed,
            options=self._settings.generation.replace(**generation),
            stream=self._settings.stream.replace(**stream),
        )

    def _finish(self, row: Row, text: FinishedText, folder: Path) -> FinishedRow:
        if text.error is not None:
            if isinstance(text.error, EngineError):
                self._bark.speak_batch([])  # raises if the engine died, and no row can follow
            return _failed(row, text.error)
        speeches = [self._describe(speech, row) for speech in text.speeches]
        try:
            sound, seconds = self._encode(speeches, folder)
        except AudioError as error:
            return _failed(row, error)
        return FinishedRow(row, sound, seconds)

    def _encode(self, speeches: list[Speech], folder: Path) -> tuple[bytes, float]:
        """The contents of the file of a row, and its length in seconds."""
        settings = self._settings
        path = folder / f"sound.{settings.audio_format}"
        try:
            with SpeechWriter(
                path,
                settings.sample_rate_hz,
                audio_format=settings.audio_format,
                metadata=settings.metadata,
            ) as writer:
                for speech in speeches:
                    writer.write(speech)
            return path.read_bytes(), writer.seconds
        except (AudioError, OSError) as error:
            cause = _system_error(error)
            if cause is not None:
                raise BatchError(
                    f"{folder}: cannot be written ({system_reason(cause)}); earlier rows are kept"
                ) from error
            raise AudioError(str(error).removeprefix(f"{path}: ")) from error
        finally:
            path.unlink(missing_ok=True)

    def _describe(self, speech: Speech, row: Row) -> Speech:
        """The speech with the bundle and the voice as they were given, whatever the machine."""
        provenance = speech.provenance
        if provenance is None:
            return speech
        voice = provenance.voice
        if voice is not None and row.voice is not None and self._voice_of(row) != row.voice:
            voice = replace(voice, name=printable(row.voice))
        bundle = replace(provenance.bundle, path=printable(self._settings.bundle))
        return replace(speech, provenance=replace(provenance, bundle=bundle, voice=voice))


def _failed(row: Row, error: BarkError) -> FinishedRow:
    return FinishedRow(row, None, error=shortened(str(error), MAX_ERROR))


def _system_error(error: BaseException) -> OSError | None:
    """The system's error that caused another one."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__
    return cause
