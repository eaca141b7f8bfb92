"""Stages without models: outputs depend on every input, so that a mixed-up batch shows."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.runtime.inference.decoders.decoder import SequenceGenerator, StepInput
from bark_onnx.runtime.inference.draws import StepScores
from bark_onnx.runtime.inference.fine import FineModel, FinePass
from bark_onnx.runtime.inference.pipeline import StageCall

Result = tuple[int, list[float]]


def logits_after(tokens: list[int]) -> np.ndarray:
    """Logits of the scripted transformer after some tokens: a hash of all of them, their count."""
    value = 0
    for token in tokens:
        value = (value * 31 + token + 7) % 1_000_003
    return np.array([value, len(tokens)], np.float32)


class ScriptedDecoder:
    """A decoder whose caches are lists of tokens. Free slots keep what was left in them."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self.caches: list[list[int]] = [[] for _ in range(slots)]
        self.batch_sizes: list[int] = []  # of all decode steps
        self.before_run: Callable[[], None] = lambda: None
        self._out = np.zeros((slots, 2), np.float32)  # reused, as by the real decoder

    def prefill(self, slot: int, step: StepInput) -> np.ndarray:
        self.before_run()
        assert 0 <= step.past_length <= self.lengths[slot]
        self.caches[slot] = [*self.caches[slot][: step.past_length], *step.input_ids.tolist()]
        self.lengths[slot] = len(self.caches[slot])
        self._out[slot] = logits_after(self.caches[slot])
        return self._out[slot]

    def decode(self, input_ids: np.ndarray) -> np.ndarray:
        self.before_run()
        self.batch_sizes.append(len(input_ids))
        for slot, token in enumerate(input_ids.tolist()):
            assert len(self.caches[slot]) == self.lengths[slot]
            self.caches[slot] = [*self.caches[slot], token]
            self.lengths[slot] += 1
            self._out[slot] = logits_after(self.caches[slot])
        return self._out[: len(input_ids)]

    def copy_slot(self, source: int, target: int) -> None:
        self.caches[target] = self.caches[source][: self.lengths[source]]
        self.lengths[target] = self.lengths[source]

    def swap_slots(self, first: int, second: int) -> None:
        kept = self.caches[first][: self.lengths[first]]
        self.caches[first] = self.caches[second][: self.lengths[second]]
        self.caches[second] = kept
        self.lengths[[first, second]] = self.lengths[[second, first]]


class SharingDecoder(ScriptedDecoder):
    """A decoder whose prefills share runs, of any slots."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self.prefills: list[list[int]] = []  # slots of every run

    def prepare(self) -> None:
        """Nothing is captured."""

    def prefill_scores(self, slots: Sequence[int], steps: Sequence[StepInput]) -> StepScores:
        self.before_run()
        self.prefills.append([*slots])
        assert len({len(step.input_ids) for step in steps}) == 1
        assert len(slots) == 1 or not any(step.past_length for step in steps)
        self.before_run, before = (lambda: None), self.before_run
        rows = [self.prefill(slot, step) for slot, step in zip(slots, steps, strict=True)]
        self.before_run = before
        return StepScores(lambda: np.stack(rows))

    def decode_scores(self, input_ids: np.ndarray) -> StepScores:
        logits = self.decode(input_ids)
        return StepScores(lambda: logits)

    def shared_prefill(self, slots: Sequence[int]) -> list[int]:
        return sorted(slots)


@dataclass
class Script:
    """A sequence: windows that each keep part of the cache, run a prompt, then generate tokens."""

    windows: list[tuple[float, int, int]]  # part kept, tokens of the prompt, tokens generated

    def generator(self, name: int, running: set[int]) -> SequenceGenerator[Result]:
        """The sequence; its name is in `running` from its beginning to its end."""
        running.add(name)
        seen: list[float] = []
        length = 0
        for part, prompt, generated in self.windows:
            past_length = int(part * length)
            step = StepInput(np.arange(prompt) + name * 100, past_length)
            length = past_length + prompt
            for _ in range(generated):
                logits = yield step
                assert logits[1] == length
                seen.append(float(logits[0]))
                step = StepInput(np.array([int(logits[0]) % 97]), length)
                length += 1
            length -= 1  # the last token was generated and never run
        running.discard(name)
        return name, seen


class ScriptedSession:
    """Session of the fine stage or the codec: returns sums of its input."""

    def __init__(self) -> None:
        self.before_run: Callable[[], None] = lambda: None

    def run(self, _: object, inputs: dict[str, Any]) -> list[np.ndarray]:
        self.before_run()
        return [(inputs["codes"] + 1).sum(axis=1).astype(np.float32)]


class ScriptedModels:
    """Stands for `StageModels`.

    Attributes:
        opened: Every opening of a stage, in order.
        runs: Every run of a stage, in order.
        before: Called before each run with the stage and how often it has run.
        before_open: Called before each opening with the stage.
        before_prepare: Called as the models are prepared.
    """

    def __init__(self, max_batch_size: int = 2, *, low_memory: bool = False) -> None:
        self.max_batch_size = max_batch_size
        self.low_memory = low_memory
        self.shares_runs = False
        self.opened: list[Stage] = []
        self.open_now: set[Stage] = set()
        self.closed = False
        self.runs: list[Stage] = []
        self.before: Callable[[Stage, int], None] = lambda stage, count: None
        self.before_open: Callable[[Stage], None] = lambda stage: None
        self.before_prepare: Callable[[], None] = lambda: None
        self.decoders = {stage: ScriptedDecoder(max_batch_size) for stage in STAGES[:2]}
        self._counts: Counter[Stage] = Counter()

    @contextmanager
    def acquire(self, stage: Stage) -> Iterator[Any]:
        self.before_open(stage)
        self.opened.append(stage)
        self.open_now.add(stage)
        assert not self.low_memory or self.open_now == {stage}
        model = self.decoders.get(stage) or ScriptedSession()
        model.before_run = lambda: self._before(stage)
        yield FineModel(model) if stage == "fine" else model
        self.open_now.discard(stage)

    def prepare(self) -> None:
        self.before_prepare()

    def close(self) -> None:
        self.closed = True

    def _before(self, stage: Stage) -> None:
        assert stage in self.open_now
        assert not self.closed
        self.runs.append(stage)
        self._counts[stage] += 1
        self.before(stage, self._counts[stage])


@dataclass
class Utterance:
    """A request for an engine: a script for each causal stage, and fine passes."""

    name: int
    semantic: Script = field(default_factory=lambda: Script([(0.0, 2, 4)]))
    coarse: Script = field(default_factory=lambda: Script([(0.0, 3, 5), (0.0, 3, 2)]))
    fine: int = 3
    on_run: Callable[[Stage], None] = lambda stage: None

    def generator(self) -> Generator[StageCall, Any, Any]:
        results = []
        for stage, script in (("semantic", self.semantic), ("coarse", self.coarse)):
            sequence = script.generator(self.name, set())
            results.append((yield StageCall(stage, self._watched(stage, sequence))))
        results.append((yield StageCall("fine", self._watched("fine", self._fine()))))
        results.append((yield StageCall("codec", self._watched("codec", self._codec()))))
        return results

    def alone(self) -> list[Any]:
        """The result of the request without any other request, and without an engine."""
        generator, result = self.generator(), None
        models = ScriptedModels(1)
        try:
            while True:
                call = generator.send(result)
                with models.acquire(call.stage) as model:
                    result = _run_alone(call, model)
        except StopIteration as end:
            return end.value

    def _watched(
        self, stage: Stage, sequence: Generator[Any, Any, Any]
    ) -> Generator[Any, Any, Any]:
        try:
            pending_input = next(sequence)
            while True:
                output = yield pending_input
                self.on_run(stage)  # before the sequence receives the output
                pending_input = sequence.send(output)
        except StopIteration as end:
            return end.value

    def _fine(self) -> Generator[FinePass, np.ndarray, list[float]]:
        sums = []
        for codebook in range(self.fine):
            codes = np.full((self.name + 1, 8), codebook)
            sums.append(float((yield FinePass(codes, codebook, np.arange(1))).sum()))
        return sums

    def _codec(self) -> Generator[np.ndarray, np.ndarray, float]:
        return float((yield np.full((self.name + 1, 8), self.fine)).sum())


def _run_alone(call: StageCall, model: Any) -> Any:
    """Result of a sequence without any batch."""
    output = None
    try:
        while True:
            pending = call.generator.send(output)
            if isinstance(pending, StepInput):
                output = model.prefill(0, pending)
            else:
                is_pass = isinstance(pending, FinePass)
                codes = pending.codes[None] if is_pass else pending.T[None]
                session = model.session if is_pass else model
                output = session.run(None, {"codes": codes})[0][0]
    except StopIteration as end:
        return end.value
