"""Stages without models: decoders and sessions whose answers depend on everything they were fed."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.runtime.inference.decoders.decoder import SequenceGenerator, StepInput
from bark_onnx.runtime.inference.fine import FinePass
from bark_onnx.runtime.inference.pipeline import StageCall

Result = tuple[int, list[float]]


def logits_after(tokens: list[int]) -> np.ndarray:
    """What the scripted transformer says after some tokens: a function of all of them."""
    value = 0
    for token in tokens:
        value = (value * 31 + token + 7) % 1_000_003
    return np.array([value, len(tokens)], np.float32)


class ScriptedDecoder:
    """Caches are lists of tokens. Slots that nobody owns hold what was left there."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self.caches: list[list[int]] = [[] for _ in range(slots)]
        self.steps: list[int] = []  # rows of each step
        self.before_run: Callable[[], None] = lambda: None
        self._out = np.zeros((slots, 2), np.float32)  # reused, as the real one does

    def feed(self, slot: int, feed: StepInput) -> np.ndarray:
        self.before_run()
        assert 0 <= feed.past_length <= self.lengths[slot]
        self.caches[slot] = [*self.caches[slot][: feed.past_length], *feed.input_ids.tolist()]
        self.lengths[slot] = len(self.caches[slot])
        self._out[slot] = logits_after(self.caches[slot])
        return self._out[slot]

    def step(self, input_ids: np.ndarray) -> np.ndarray:
        self.before_run()
        self.steps.append(len(input_ids))
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


@dataclass
class Script:
    """A row: windows that each keep part of the cache, feed a prompt, then draw tokens.

    Rows that have begun and not ended are in `running`.
    """

    windows: list[tuple[float, int, int]]  # part kept, tokens of the prompt, tokens drawn after it

    def generator(self, name: int, running: set[int]) -> SequenceGenerator[Result]:
        running.add(name)
        seen: list[float] = []
        length = 0
        for part, prompt, drawn in self.windows:
            past_length = int(part * length)
            feed = StepInput(np.arange(prompt) + name * 100, past_length)
            length = past_length + prompt
            for _ in range(drawn):
                logits = yield feed
                assert logits[1] == length
                seen.append(float(logits[0]))
                feed = StepInput(np.array([int(logits[0]) % 97]), length)
                length += 1
            length -= 1  # the last token was drawn and never fed
        running.discard(name)
        return name, seen


class ScriptedSession:
    """The fine stage's or the codec's session: says how much it was given."""

    def __init__(self) -> None:
        self.before_run: Callable[[], None] = lambda: None

    def run(self, _: None, feeds: dict[str, Any]) -> list[np.ndarray]:
        self.before_run()
        return [np.array([feeds["codes"].size, feeds["codes"].sum()], np.float32)[None]]


class ScriptedModels:
    """What an engine needs of `StageModels`.

    `opened` has every opening in order; `units` every run of a transformer. `before` is called
    before each run with the stage and how often it has run.
    """

    def __init__(self, max_batch_size: int = 2, *, low_memory: bool = False) -> None:
        self.max_batch_size = max_batch_size
        self.low_memory = low_memory
        self.opened: list[Stage] = []
        self.open_now: set[Stage] = set()
        self.closed = False
        self.units: list[Stage] = []
        self.runs: Counter[Stage] = Counter()
        self.before: Callable[[Stage, int], None] = lambda stage, runs: None
        self.before_open: Callable[[Stage], None] = lambda stage: None
        self.decoders = {stage: ScriptedDecoder(max_batch_size) for stage in STAGES[:2]}

    @contextmanager
    def use(self, stage: Stage) -> Iterator[Any]:
        self.before_open(stage)
        self.opened.append(stage)
        self.open_now.add(stage)
        assert not self.low_memory or self.open_now == {stage}
        opened = self.decoders.get(stage) or ScriptedSession()
        opened.before_run = lambda: self._before(stage)
        yield opened
        self.open_now.discard(stage)

    def close(self) -> None:
        self.closed = True

    def _before(self, stage: Stage) -> None:
        assert stage in self.open_now
        assert not self.closed
        self.units.append(stage)
        self.runs[stage] += 1
        self.before(stage, self.runs[stage])


@dataclass
class Utterance:
    """A request of an engine: a script for each causal stage, and fine passes."""

    name: int
    semantic: Script = field(default_factory=lambda: Script([(0.0, 2, 4)]))
    coarse: Script = field(default_factory=lambda: Script([(0.0, 3, 5), (0.0, 3, 2)]))
    fine: int = 3
    on_unit: Callable[[Stage], None] = lambda stage: None

    def synthesis(self) -> Generator[StageCall, Any, Any]:
        said = []
        for stage, script in (("semantic", self.semantic), ("coarse", self.coarse)):
            generator = script.generator(self.name, set())
            said.append((yield StageCall(stage, self._watched(stage, generator))))
        said.append((yield StageCall("fine", self._watched("fine", self._fine()))))
        said.append((yield StageCall("codec", self._watched("codec", self._codec()))))
        return said

    def alone(self) -> list[Any]:
        """What it says when nobody else does."""
        synthesis, result = self.synthesis(), None
        stages = ScriptedModels(1)
        try:
            while True:
                work = synthesis.send(result)
                with stages.use(work.stage) as opened:
                    result = _run_alone(work, opened)
        except StopIteration as end:
            return end.value

    def _watched(
        self, stage: Stage, generator: Generator[Any, Any, Any]
    ) -> Generator[Any, Any, Any]:
        try:
            wanted = next(generator)
            while True:
                output = yield wanted
                self.on_unit(stage)  # what comes out is here, and not yet handed over
                wanted = generator.send(output)
        except StopIteration as end:
            return end.value

    def _fine(self) -> Generator[FinePass, np.ndarray, list[float]]:
        said = []
        for codebook in range(self.fine):
            codes = np.full((self.name + 1, 8), codebook)
            said.append(float((yield FinePass(codes, codebook, np.arange(1))).sum()))
        return said

    def _codec(self) -> Generator[np.ndarray, np.ndarray, float]:
        return float((yield np.full((self.name + 1, 8), self.fine)).sum())


def _run_alone(work: StageCall, opened: Any) -> Any:
    """A row by itself, without any batch."""
    output = None
    try:
        while True:
            wanted = work.generator.send(output)
            if isinstance(wanted, StepInput):
                output = opened.feed(0, wanted)
            else:
                codes = wanted.codes[None] if isinstance(wanted, FinePass) else wanted.T[None]
                output = opened.run(None, {"codes": codes})[0][0]
    except StopIteration as end:
        return end.value
