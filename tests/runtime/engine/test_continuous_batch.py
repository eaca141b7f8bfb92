"""Rows of a scripted decoder share its steps and come out as if each were alone."""

from collections import deque
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bark_onnx.runtime.engine.batch import BatchEntry
from bark_onnx.runtime.engine.continuous_batch import ContinuousBatch, SequenceGenerator, StepInput
from tests.support.scripted import Result, Script, ScriptedDecoder, logits_after


def run_rows(
    decoder: ScriptedDecoder, sequences: list[SequenceGenerator]
) -> Iterator[tuple[int, object]]:
    """All rows to their ends through one batch; index and result of each, as they end."""
    batch: ContinuousBatch = ContinuousBatch(decoder)
    waiting = deque(enumerate(sequences))
    entries: dict[BatchEntry, int] = {}
    while waiting or entries:
        while waiting and batch.has_free_slot:
            index, generator = waiting.popleft()
            entries[batch.add(generator)] = index
        for entry in batch.step().finished:
            assert entry.error is None
            yield entries.pop(entry), entry.result


windows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 4), st.integers(1, 5)), max_size=3
)


def _run(scripts: list[Script], slots: int) -> tuple[dict[int, Result], ScriptedDecoder]:
    decoder = ScriptedDecoder(slots)
    running: set[int] = set()
    sequences = [script.generator(name, running) for name, script in enumerate(scripts)]
    pairs = list(run_rows(decoder, sequences))
    assert len({index for index, _ in pairs}) == len(pairs)
    return dict(pairs), decoder


@settings(max_examples=300, deadline=None)
@given(scripts=st.lists(windows.map(Script), max_size=9), slots=st.integers(1, 4))
@example(scripts=[Script([(0.0, 1, 3)])] * 5, slots=2)
def test_rows_come_out_as_if_each_were_alone(scripts: list[Script], slots: int):
    together, _ = _run(scripts, slots)
    assert sorted(together) == list(range(len(scripts)))
    for index, script in enumerate(scripts):
        assert together[index] == _alone(script, index)


def _alone(script: Script, name: int) -> object:
    return dict(run_rows(ScriptedDecoder(1), [script.generator(name, set())]))[0]


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
    sequences = [script.generator(name, set()) for name, script in enumerate(scripts)]
    assert [index for index, _ in run_rows(decoder, sequences)] == [1, 2, 0]


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

    def watched(name: int, script: Script) -> SequenceGenerator[Result]:
        begun.add(name)
        return (yield from script.generator(name, running))

    feed, step = decoder.feed, decoder.step
    prompts = [0]  # since the last step

    def counted(slot: int, fed: StepInput) -> np.ndarray:
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
        assert results[index][1][0] == logits_after([index * 100])[0]


def test_a_token_with_history_is_fed_and_not_stepped():
    decoder = ScriptedDecoder(1)

    def generator() -> SequenceGenerator[None]:
        yield StepInput(np.array([1, 2]), 0)
        yield StepInput(np.array([3]), 2, np.array([4]))
        yield StepInput(np.array([5]), 3)

    list(run_rows(decoder, [generator()]))
    assert decoder.steps == [1]


# One at a time, as the engine does it


def _prompts_and_steps(batch: ContinuousBatch, decoder: ScriptedDecoder) -> str:
    """One step of a batch: "p" for a prompt, or how many rows shared a step."""
    sequences = batch.step().sequences
    return str(sequences) if sequences else "p"


def test_prompts_come_first_while_nobody_has_made_a_step():
    decoder = ScriptedDecoder(3)
    batch: ContinuousBatch = ContinuousBatch(decoder)
    for name in range(3):
        batch.add(Script([(0.0, 2, 9)]).generator(name, set()))
    assert "".join(_prompts_and_steps(batch, decoder) for _ in range(6)) == "ppp333"


def test_newcomers_hold_running_rows_up_by_one_prompt_at_a_time():
    decoder = ScriptedDecoder(4)
    batch: ContinuousBatch = ContinuousBatch(decoder)
    batch.add(Script([(0.0, 2, 30)]).generator(0, set()))
    assert "".join(_prompts_and_steps(batch, decoder) for _ in range(3)) == "p11"
    for name in range(1, 4):
        batch.add(Script([(0.0, 2, 30)]).generator(name, set()))
    assert "".join(_prompts_and_steps(batch, decoder) for _ in range(8)) == "p2p3p444"


def test_windows_that_slide_together_hold_others_up_by_one_prompt_at_a_time():
    decoder = ScriptedDecoder(4)
    batch: ContinuousBatch = ContinuousBatch(decoder)
    for name in range(3):
        batch.add(Script([(0.0, 2, 3), (0.5, 2, 9)]).generator(name, set()))
    batch.add(Script([(0.0, 2, 30)]).generator(3, set()))
    # Three tokens are a prompt and two steps; then three rows want another prompt.
    assert "".join(_prompts_and_steps(batch, decoder) for _ in range(14)) == "pppp44p2p3p444"


def test_rows_that_all_slide_at_once_go_on_sharing_every_step():
    decoder = ScriptedDecoder(3)
    batch: ContinuousBatch = ContinuousBatch(decoder)
    for name in range(3):
        batch.add(Script([(0.0, 2, 3), (0.5, 2, 3)]).generator(name, set()))
    assert "".join(_prompts_and_steps(batch, decoder) for _ in range(9)) == "ppp33ppp3"


def test_prompts_are_run_in_the_order_in_which_they_came_to_be_wanted():
    decoder = ScriptedDecoder(4)
    batch: ContinuousBatch = ContinuousBatch(decoder)
    order: list[int] = []

    def generator(name: int) -> SequenceGenerator[None]:
        yield StepInput(np.array([1, 2]), 0)
        order.append(name)
        for length in range(2, 12):
            yield StepInput(np.array([5]), length)

    entries = [batch.add(generator(name)) for name in range(2)]
    batch.step()
    batch.step()
    batch.step()
    entries += [batch.add(generator(name)) for name in range(2, 4)]
    batch.step()
    batch.remove(entries[0])  # the last row takes its slot, and goes before nobody for that
    batch.add(generator(4))
    for _ in range(5):
        batch.step()
    assert order == [0, 1, 2, 3, 4]


@settings(max_examples=200, deadline=None)
@given(
    scripts=st.lists(windows.map(Script), min_size=1, max_size=9),
    slots=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_rows_that_leave_early_do_not_disturb_the_others(scripts, slots, seed):
    rng = np.random.default_rng(seed)
    batch: ContinuousBatch = ContinuousBatch(ScriptedDecoder(slots))
    waiting = deque(enumerate(scripts))
    entries: dict[BatchEntry, int] = {}
    said: dict[int, object] = {}
    while waiting or entries:
        if waiting and batch.has_free_slot and rng.random() < 0.5:
            index, script = waiting.popleft()
            entries[batch.add(script.generator(index, set()))] = index
        if entries and rng.random() < 0.1:
            entry = list(entries)[rng.integers(len(entries))]
            batch.remove(entry)
            del entries[entry]
        for entry in batch.step().finished:
            assert entry.error is None
            said[entries.pop(entry)] = entry.result
    for index, result in said.items():
        assert result == _alone(scripts[index], index)


def test_an_empty_batch_has_nothing_to_do():
    step = ContinuousBatch(ScriptedDecoder(2)).step()
    assert (step.sequences, step.finished) == (0, [])


def test_a_row_that_raises_leaves_alone_and_the_others_go_on():
    decoder = ScriptedDecoder(2)
    batch: ContinuousBatch = ContinuousBatch(decoder)

    def raises() -> SequenceGenerator[None]:
        yield StepInput(np.array([1, 2]), 0)
        yield StepInput(np.array([3]), 2)
        raise ZeroDivisionError

    failing = batch.add(raises())
    other = batch.add(Script([(0.0, 2, 6)]).generator(1, set()))
    finished = [entry for _ in range(8) for entry in batch.step().finished]
    assert finished == [failing, other]
    assert isinstance(failing.error, ZeroDivisionError)
    assert not failing.run_failed
    assert (
        other.result
        == dict(run_rows(ScriptedDecoder(1), [Script([(0.0, 2, 6)]).generator(1, set())]))[0]
    )


@pytest.mark.parametrize(("failing_run", "lost"), [(1, [0]), (2, [1]), (3, [2]), (4, [0, 1, 2])])
def test_a_run_that_fails_ends_the_rows_that_shared_it(failing_run: int, lost: list[int]):
    decoder = ScriptedDecoder(3)
    runs = [0]

    def fail() -> None:
        runs[0] += 1
        if runs[0] == failing_run:
            raise MemoryError("no room")

    decoder.before_run = fail
    batch: ContinuousBatch = ContinuousBatch(decoder)
    entries = [batch.add(Script([(0.0, 2, 6)]).generator(name, set())) for name in range(3)]
    finished = [entry for _ in range(12) for entry in batch.step().finished]
    assert sorted(entries.index(entry) for entry in finished) == [0, 1, 2]
    assert [name for name, entry in enumerate(entries) if entry.run_failed] == lost
    for name, entry in enumerate(entries):
        if name in lost:
            assert isinstance(entry.error, MemoryError)
        else:
            assert entry.result == _alone(Script([(0.0, 2, 6)]), name)
    assert batch.has_free_slot
