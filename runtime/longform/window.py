"""The window over a long text: which segments run, which attempts are accepted, in which order.

Free of I/O, threads and clocks: a driver submits `next_task`, reports results with `add_result`,
and returns what `pop_ready` has (`streaming.py` has the drivers).
"""

import warnings
from collections import deque
from dataclasses import dataclass, field, replace

from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.longform.crossfade import Crossfader
from bark_onnx.runtime.longform.plan import StreamPlan
from bark_onnx.runtime.longform.quality import limit_duration, postprocess, quality_issues
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.provenance.provenance import Provenance
from bark_onnx.runtime.seeds import segment_seed
from bark_onnx.runtime.text.segments import Segment


@dataclass(frozen=True)
class SegmentTask:
    """One attempt at one segment: everything that a request needs."""

    index: int  # position of the segment, from 0
    attempt: int  # from 0
    segment: Segment
    voice: Voice | None  # None: the model chooses
    seed: int
    options: GenerationOptions
    provenance: Provenance | None  # of the whole text, with the number of the segment


@dataclass
class _SegmentState:
    """A segment that was submitted and not returned yet."""

    speech: Speech | None = None  # best attempt so far
    issues: list[str] = field(default_factory=list)  # of that attempt
    error: BaseException | None = None
    is_settled: bool = False  # no further attempt is needed or allowed


class SegmentWindow:
    """The segments of one text between the next one to return and the last one submitted."""

    def __init__(self, plan: StreamPlan) -> None:
        self.next_index = 0  # position of the segment that is returned next
        self._plan = plan
        self._num_submitted = 0
        self._states: dict[int, _SegmentState] = {}
        self._retries: deque[SegmentTask] = deque()
        self._voices = dict(plan.voices)  # by speaker
        self._crossfader = Crossfader(plan.stream.gap_seconds, plan.stream.crossfade_seconds)

    @property
    def is_finished(self) -> bool:
        """Whether every segment was returned."""
        return self.next_index == len(self._plan.segments)

    @property
    def has_started(self) -> bool:
        """Whether any task was submitted."""
        return self._num_submitted > 0

    def next_task(self) -> SegmentTask | None:
        """The task to submit now; None while the window is full or a voice is awaited.

        The same task is returned until `mark_submitted` is called.
        """
        if self._retries:
            return self._retries[0]
        index = self._num_submitted
        is_full = index - self.next_index >= self._plan.stream.concurrency
        if index == len(self._plan.segments) or is_full or self._awaits_voice(index):
            return None
        return self._first_attempt(index)

    def mark_submitted(self, task: SegmentTask) -> None:
        """Record that the task of `next_task` was submitted."""
        if task.attempt:
            self._retries.popleft()
        else:
            self._states[task.index] = _SegmentState()
            self._num_submitted += 1

    def add_result(self, task: SegmentTask, result: Speech | BaseException) -> None:
        """Record how a submitted task ended.

        A faulty attempt is repeated while the plan allows it. An exception is raised by
        `pop_ready` once the segments before it were returned.
        """
        state = self._states[task.index]
        if isinstance(result, BaseException):
            state.error, state.is_settled = result, True
            return
        max_attempts = self._plan.stream.attempts
        issues = quality_issues(result, task.segment) if max_attempts > 1 else []
        if state.speech is None or len(issues) < len(state.issues):
            state.speech, state.issues = result, issues
        if state.issues and task.attempt + 1 < max_attempts:
            retry = task.attempt + 1
            seed = self._seed(task.index, retry)
            self._retries.append(replace(task, attempt=retry, seed=seed))
            return
        state.is_settled = True
        self._keep_voice(task.segment.speaker, state.speech)

    def pop_ready(self) -> Speech | None:
        """The next speech in order, postprocessed and placed in the whole; None if not settled.

        Raises:
            Exception: The segment failed.
        """
        state = self._states.get(self.next_index)
        if state is None or not state.is_settled:
            return None
        del self._states[self.next_index]
        if state.error is not None:
            raise state.error
        assert state.speech is not None
        if state.issues:
            warnings.warn(
                f"segment {self.next_index + 1}: none of {self._plan.stream.attempts} attempts "
                f"passes, the best is {' and '.join(state.issues)}; try another seed or voice",
                stacklevel=2,
            )
        speaker = self._plan.segments[self.next_index].speaker
        self.next_index += 1
        speech = postprocess(state.speech, self._plan.stream)
        return self._crossfader.append(speech, speaker, is_last=self.is_finished)

    def _first_attempt(self, index: int) -> SegmentTask:
        plan, segment = self._plan, self._plan.segments[index]
        options = plan.options
        if plan.stream.limit_duration:
            options = limit_duration(options, segment, plan.semantic_rate_hz)
        number = index + 1 if len(plan.segments) > 1 else None
        return SegmentTask(
            index=index,
            attempt=0,
            segment=segment,
            voice=self._voices[segment.speaker],
            seed=self._seed(index),
            options=options,
            provenance=plan.provenance and replace(plan.provenance, segment=number),
        )

    def _seed(self, index: int, attempt: int = 0) -> int:
        return segment_seed(self._plan.seed, index, attempt, bits=self._plan.stream.seed_bits)

    def _awaits_voice(self, index: int) -> bool:
        """Whether an earlier segment of the same speaker has yet to provide the voice."""
        speaker = self._plan.segments[index].speaker
        if self._plan.stream.history != "first" or self._voices[speaker] is not None:
            return False
        return any(
            self._plan.segments[other].speaker == speaker and not state.is_settled
            for other, state in self._states.items()
        )

    def _keep_voice(self, speaker: str, speech: Speech) -> None:
        """Make a segment the history of those that follow, where the options ask for it."""
        history = self._plan.stream.history
        if not len(speech.semantic_tokens):
            return
        if history == "previous":
            self._voices[speaker] = speech.to_voice(speech.voice_name)
        elif history == "first" and self._voices[speaker] is None:
            self._voices[speaker] = speech.to_voice()
