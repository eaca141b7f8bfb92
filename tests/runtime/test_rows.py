"""Rows of a scripted decoder share its steps and come out as if each were alone."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bark_onnx.runtime.batches import Seat
from bark_onnx.runtime.rows import Feed, Row, RowBatch

Result = tuple[int, list[float]]


def _logits(tokens: list[int]) -> np.ndarray:
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
        self._out = np.zeros((slots, 2), np.float32)  # reused, as the real one does

    def feed(self, slot: int, feed: Feed) -> np.ndarray:
        assert 0 <= feed.start <= self.lengths[slot]
        self.caches[slot] = [*self.caches[slot][: feed.start], *feed.ids.tolist()]
        self.lengths[slot] = len(self.caches[slot])
        self._out[slot] = _logits(self.caches[slot])
        return self._out[slot]

    def step(self, ids: np.ndarray) -> np.ndarray:
        self.steps.append(len(ids))
        for slot, token in enumerate(ids.tolist()):
            self.caches[slot] = [*self.caches[slot], token]
            self.lengths[slot] += 1
            self._out[slot] = _logits(self.caches[slot])
        return self._out[: len(ids)]

    def move(self, source: int, target: int) -> None:
        self.caches[target] = self.caches[source][: self.lengths[source]]
        self.lengths[target] = self.lengths[source]

    def swap(self, first: int, second: int) -> None:
        kept = self.caches[first][: self.lengths[first]]
        self.caches[first] = self.caches[second][: self.lengths[second]]
        self.caches[second] = kept
        self.lengths[[first, second]] = self.lengths[[second, first]]


def run_rows(decoder: ScriptedDecoder, rows: list[Row]) -> Iterator[tuple[int, object]]:
    """All rows to their ends through one batch; index and result of each, as they end."""
    batch: RowBatch = RowBatch(decoder)
    waiting = deque(enumerate(rows))
    seats: dict[Seat, int] = {}
    while waiting or seats:
        while waiting and batch.has_room:
            index, row = waiting.popleft()
            seats[batch.join(row)] = index
        for seat in batch.step().ended:
            assert seat.error is None
            yield seats.pop(seat), seat.result


@dataclass
class Script:
    """A row: windows that each keep part of the cache, feed a prompt, then draw tokens.

    Rows that have begun and not ended are in `running`.
    """

    windows: list[tuple[float, int, int]]  # part kept, tokens of the prompt, tokens drawn after it

    def row(self, name: int, running: set[int]) -> Row[Result]:
        running.add(name)
        seen: list[float] = []
        length = 0
        for part, prompt, drawn in self.windows:
            start = int(part * length)
            feed = Feed(np.arange(prompt) + name * 100, start)
            length = start + prompt
            for _ in range(drawn):
                logits = yield feed
                assert logits[1] == length
                seen.append(float(logits[0]))
                feed = Feed(np.array([int(logits[0]) % 97]), length)
                length += 1
            length -= 1  # the last token was drawn and never fed
        running.discard(name)
        return name, seen


windows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 4), st.integers(1, 5)), max_size=3
)


def _run(scripts: list[Script], slots: int) -> tuple[dict[int, Result], ScriptedDecoder]:
    decoder = ScriptedDecoder(slots)
    running: set[int] = set()
    rows = [script.row(name, running) for name, script in enumerate(scripts)]
    pairs = list(run_rows(decoder, rows))
    assert len({index for index, _ in pairs}) == len(pairs)
    return dict(pairs), decoder


@settings(max_examples=300, deadline=None)
@given(scripts=st.lists(windows.map(Script), max_size=9), slots=st.integers(1, 4))
@example(scripts=[Script([(0.0, 1, 3)])] * 5, slots=2)
def test_rows_come_out_as_if_each_were_alone(scripts: list[Script], slots: int):
    together, _ = _run(scripts, slots)
    assert sorted(together) == list(range(len(scripts)))
    for index, script in enumerate(scripts):
        alone = dict(run_rows(ScriptedDecoder(1), [script.row(index, set())]))
        assert together[index] == alone[0]


def test_no_rows_give_nothing():
    assert list(run_rows(ScriptedDecoder(2), [])) == []


def test_rows_that_end_at_once_need_no_decoder():
    results, decoder = _run([Script([])] * 5, 2)
    assert results == {index: (index, []) for index in range(5)}
    assert decoder.steps == []


def test_rows_that_end_after_their_prompt_need_no_step():
    results, decoder = _run([Script([(0.0, 3, 1)])] * 5, 2)
    assert sorted(results) == [0, 1, 2, 3, 4]
    assert decoder.steps == []


def test_rows_are_given_out_in_the_order_in_which_they_end():
    decoder = ScriptedDecoder(3)
    scripts = [Script([(0.0, 2, 9)]), Script([(0.0, 2, 3)]), Script([(0.0, 2, 6)])]
    rows = [script.row(name, set()) for name, script in enumerate(scripts)]
    assert [index for index, _ in run_rows(decoder, rows)] == [1, 2, 0]


def test_a_row_that_ends_makes_room_and_the_last_one_takes_its_slot_with_its_cache():
    scripts = [Script([(0.0, 2, length)]) for length in (3, 9, 6, 9)]
    results, decoder = _run(scripts, 4)
    assert decoder.steps == [4, 4, 3, 3, 3, 2, 2, 2]
    assert [len(results[index][1]) for index in range(4)] == [3, 9, 6, 9]


@settings(max_examples=300, deadline=None)
@given(scripts=st.lists(windows.map(Script), max_size=9), slots=st.integers(1, 4))
@example(scripts=[Script([(0.0, 1, 1)]), Script([(0.0, 1, 4)]), Script([(0.0, 1, 4)])], slots=2)
def test_no_slot_is_idle_in_a_step_while_rows_wait(scripts: list[Script], slots: int):
    decoder = ScriptedDecoder(slots)
    running: set[int] = set()
    begun: set[int] = set()

    def watched(name: int, script: Script) -> Row[Result]:
        begun.add(name)
        return (yield from script.row(name, running))

    feed, step = decoder.feed, decoder.step
    prompts = [0]  # since the last step

    def counted(slot: int, fed: Feed) -> np.ndarray:
        prompts[0] += 1
        return feed(slot, fed)

    def checked(ids: np.ndarray) -> np.ndarray:
        if len(begun) < len(scripts):
            assert len(running) == slots
        # A row is in a slot and not in the step only if it waits for its turn to run a prompt.
        if len(ids) < len(running):
            assert prompts == [1]
        prompts[0] = 0
        return step(ids)

    decoder.feed = counted
    decoder.step = checked
    list(run_rows(decoder, [watched(name, script) for name, script in enumerate(scripts)]))


def test_a_prompt_of_one_token_is_fed_and_not_stepped_into_a_former_cache():
    scripts = [Script([(0.0, 1, 4)]) for _ in range(3)]
    results, decoder = _run(scripts, 1)
    assert decoder.steps == [1] * 9
    for index in range(3):
        assert results[index][1][0] == _logits([index * 100])[0]


def test_a_token_with_history_is_fed_and_not_stepped():
    decoder = ScriptedDecoder(1)

    def row() -> Row[None]:
        yield Feed(np.array([1, 2]), 0)
        yield Feed(np.array([3]), 2, np.array([4]))
        yield Feed(np.array([5]), 3)

    list(run_rows(decoder, [row()]))
    assert decoder.steps == [1]
