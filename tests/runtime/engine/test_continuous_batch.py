"""Sequences in one scripted decoder share its steps, each with the result of a single run."""

from collections import deque
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bark_onnx.runtime.engine.batch import BatchEntry
from bark_onnx.runtime.engine.continuous_batch import ContinuousBatch, SequenceGenerator, StepInput
from tests.support.scripted import Result, Script, ScriptedDecoder, SharingDecoder, logits_after


def run_all(
    decoder: ScriptedDecoder, sequences: list[SequenceGenerator]
) -> Iterator[tuple[int, object]]:
    """Run all sequences in one batch; yield index and result of each when it ends."""
    batch: ContinuousBatch = ContinuousBatch(decoder)
    waiting = deque(enumerate(sequences))
    entries: dict[BatchEntry, int] = {}
    while waiting or entries:
        while waiting and batch.has_free_slot:
            index, sequence = waiting.popleft()
            entries[batch.add(sequence)] = index
        for entry in batch.step().finished:
            assert entry.error is None
            yield entries.pop(entry), entry.result


windows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 4), st.integers(1, 5)), max_size=3
)


def _run(
    scripts: list[Script], slots: int, kind: type[ScriptedDecoder] = ScriptedDecoder
) -> tuple[dict[int, Result], ScriptedDecoder]:
    decoder = kind(slots)
    running: set[int] = set()
    sequences = [script.generator(name, running) for name, script in enumerate(scripts)]
    pairs = list(run_all(decoder, sequences))
    assert len({index for index, _ in pairs}) == len(pairs)
    return dict(pairs), decoder


@pytest.mark.parametrize("kind", [ScriptedDecoder, SharingDecoder])
@settings(max_examples=300, deadline=None)
@given(scripts=st.lists(windows.map(Script), max_size=9), slots=st.integers(1, 4))
@example(scripts=[Script([(0.0, 1, 3)])] * 5, slots=2)
def test_each_sequence_has_the_result_of_a_single_run(
    scripts: list[Script], slots: int, kind: type[ScriptedDecoder]
):
    results, _ = _run(scripts, slots, kind)
    assert sorted(results) == list(range(len(scripts)))
    for index, script in enumerate(scripts):
        assert results[index] == _alone(script, index)


def _alone(script: Script, name: int) -> object:
    """Result of a sequence in a batch of its own."""
    return dict(run_all(ScriptedDecoder(1), [script.generator(name, set())]))[0]


def test_an_empty_list_of_sequences_has_no_results():
    assert list(run_all(ScriptedDecoder(2), [])) == []


def test_sequences_that_end_at_once_need_no_run():
    results, decoder = _run([Script([])] * 5, 2)
    assert results == {index: (index, []) for index in range(5)}
    assert decoder.batch_sizes == []


def test_sequences_that_end_after_their_prefill_need_no_decode_step():
    results, decoder = _run([Script([(0.0, 3, 1)])] * 5, 2)
    assert sorted(results) == [0, 1, 2, 3, 4]
    assert decoder.batch_sizes == []


def test_sequences_finish_in_the_order_in_which_they_end():
    decoder = ScriptedDecoder(3)
    scripts = [Script([(0.0, 2, 9)]), Script([(0.0, 2, 3)]), Script([(0.0, 2, 6)])]
    sequences = [script.generator(name, set()) for name, script in enumerate(scripts)]
    assert [index for index, _ in run_all(decoder, sequences)] == [1, 2, 0]


def test_the_last_sequence_moves_with_its_cache_to_the_slot_of_one_that_ends():
    scripts = [Script([(0.0, 2, length)]) for length in (3, 9, 6, 9)]
    results, decoder = _run(scripts, 4)
    assert decoder.batch_sizes == [4, 4, 3, 3, 3, 2, 2, 2]
    assert [len(results[index][1]) for index in range(4)] == [3, 9, 6, 9]


@settings(max_examples=300, deadline=None)
@given(scripts=st.lists(windows.map(Script), max_size=9), slots=st.integers(1, 4))
@example(scripts=[Script([(0.0, 1, 1)]), Script([(0.0, 1, 4)]), Script([(0.0, 1, 4)])], slots=2)
def test_no_slot_is_idle_in_a_decode_step_while_sequences_wait(scripts: list[Script], slots: int):
    decoder = ScriptedDecoder(slots)
    running: set[int] = set()
    begun: set[int] = set()

    def watched(name: int, script: Script) -> SequenceGenerator[Result]:
        begun.add(name)
        return (yield from script.generator(name, running))

    prefill, decode = decoder.prefill, decoder.decode
    prefills = [0]  # since the last decode step

    def counted(slot: int, step: StepInput) -> np.ndarray:
        prefills[0] += 1
        return prefill(slot, step)

    def checked(ids: np.ndarray) -> np.ndarray:
        if len(begun) < len(scripts):
            assert len(running) == slots
        # A sequence has a slot without taking part only while it waits for its prefill.
        if len(ids) < len(running):
            assert prefills == [1]
        prefills[0] = 0
        return decode(ids)

    decoder.prefill = counted
    decoder.decode = checked
    list(run_all(decoder, [watched(name, script) for name, script in enumerate(scripts)]))


def test_a_prompt_of_one_token_is_prefilled_and_not_decoded_after_a_former_cache():
    scripts = [Script([(0.0, 1, 4)]) for _ in range(3)]
    results, decoder = _run(scripts, 1)
    assert decoder.batch_sizes == [1] * 9
    for index in range(3):
        assert results[index][1][0] == logits_after([index * 100])[0]


def test_a_token_with_history_is_prefilled_and_not_decoded():
    decoder = ScriptedDecoder(1)

    def sequence() -> SequenceGenerator[None]:
        yield StepInput(np.array([1, 2]), 0)
        yield StepInput(np.array([3]), 2, np.array([4]))
        yield StepInput(np.array([5]), 3)

    list(run_all(decoder, [sequence()]))
    assert decoder.batch_sizes == [1]


# Step by step, as the engine runs a batch


def _steps(batch: ContinuousBatch, count: int) -> str:
    """Steps of a batch: "p" for a prefill, the batch size for a decode step."""
    return "".join(str(batch.step().num_sequences or "p") for _ in range(count))


def test_prefills_run_first_while_no_sequence_has_decoded():
    batch: ContinuousBatch = ContinuousBatch(ScriptedDecoder(3))
    for name in range(3):
        batch.add(Script([(0.0, 2, 9)]).generator(name, set()))
    assert _steps(batch, 6) == "ppp333"


def test_new_sequences_delay_running_ones_by_one_prefill_at_a_time():
    batch: ContinuousBatch = ContinuousBatch(ScriptedDecoder(4))
    batch.add(Script([(0.0, 2, 30)]).generator(0, set()))
    assert _steps(batch, 3) == "p11"
    for name in range(1, 4):
        batch.add(Script([(0.0, 2, 30)]).generator(name, set()))
    assert _steps(batch, 8) == "p2p3p444"


def test_windows_that_slide_together_delay_others_by_one_prefill_at_a_time():
    batch: ContinuousBatch = ContinuousBatch(ScriptedDecoder(4))
    for name in range(3):
        batch.add(Script([(0.0, 2, 3), (0.5, 2, 9)]).generator(name, set()))
    batch.add(Script([(0.0, 2, 30)]).generator(3, set()))
    # Three tokens are a prefill and two decode steps; then three sequences need another prefill.
    assert _steps(batch, 14) == "pppp44p2p3p444"


def test_sequences_that_all_slide_at_once_still_share_every_decode_step():
    batch: ContinuousBatch = ContinuousBatch(ScriptedDecoder(3))
    for name in range(3):
        batch.add(Script([(0.0, 2, 3), (0.5, 2, 3)]).generator(name, set()))
    assert _steps(batch, 9) == "ppp33ppp3"


def test_prefills_that_begin_at_0_and_are_as_long_share_a_run_where_the_decoder_can():
    decoder = SharingDecoder(4)
    batch: ContinuousBatch = ContinuousBatch(decoder)
    for name in range(3):
        batch.add(Script([(0.0, 2, 3), (0.0, 2, 2), (0.5, 2, 9)]).generator(name, set()))
    batch.add(Script([(0.0, 3, 30)]).generator(3, set()))
    # Windows that slide: those at 0 meet in a run, and those that keep a part have one each.
    assert _steps(batch, 14) == "pp44p4p2p3p444"
    assert [len(slots) for slots in decoder.prefills] == [3, 1, 3, 1, 1, 1]


def test_windows_of_full_length_that_slide_are_planned_so_that_they_meet():
    decoder = SharingDecoder(3)
    batch: ContinuousBatch = ContinuousBatch(decoder)
    windows = Script([(0.0, 3, 9)] * 6)
    entries = [batch.add(windows.generator(0, set()))]
    for name in (1, 2):
        for _ in range(3):
            batch.step()
        entries.append(batch.add(windows.generator(name, set())))
    for _ in range(90):
        batch.step()
    assert [entry.result for entry in entries] == [_alone(windows, name) for name in range(3)]
    # A sequence that has not slid yet is not waited for.
    together = [len(slots) for slots in decoder.prefills]
    assert together == [1, 1, 1, 1, 1, 1, 3, 3, 3, 3]


def test_no_window_is_held_for_one_that_slides_much_later_or_has_another_length():
    for other in (Script([(0.0, 3, 100)] * 2), Script([(0.0, 4, 9)] * 9)):
        decoder = SharingDecoder(2)
        batch: ContinuousBatch = ContinuousBatch(decoder)
        batch.add(other.generator(1, set()))
        for _ in range(4):
            batch.step()
        batch.add(Script([(0.0, 3, 9)] * 5).generator(0, set()))
        running = [batch.step().num_sequences for _ in range(40)]
        assert [count for count in running if count == 1] == [], running


def test_a_shared_prefill_has_a_bounded_number_of_tokens():
    decoder = SharingDecoder(4)
    batch: ContinuousBatch = ContinuousBatch(decoder)
    for name in range(4):
        batch.add(Script([(0.0, 6_000, 9)]).generator(name, set()))
    assert _steps(batch, 3) == "pp4"
    assert decoder.prefills == [[0, 1], [2, 3]]


def test_a_failed_prefill_ends_the_sequences_that_shared_it():
    decoder = SharingDecoder(3)
    batch: ContinuousBatch = ContinuousBatch(decoder)
    entries = [
        batch.add(Script([(0.0, 2 + name // 2, 3)]).generator(name, set())) for name in range(3)
    ]

    def fail() -> None:
        decoder.before_run = lambda: None
        raise MemoryError("no room")

    decoder.before_run = fail
    assert batch.step().finished == entries[:2]
    finished = [entry for _ in range(3) for entry in batch.step().finished]
    assert finished == entries[2:]
    assert entries[2].result == _alone(Script([(0.0, 3, 3)]), 2)


def test_prefills_run_in_order_of_arrival():
    batch: ContinuousBatch = ContinuousBatch(ScriptedDecoder(4))
    order: list[int] = []

    def sequence(name: int) -> SequenceGenerator[None]:
        yield StepInput(np.array([1, 2]), 0)
        order.append(name)
        for length in range(2, 12):
            yield StepInput(np.array([5]), length)

    entries = [batch.add(sequence(name)) for name in range(2)]
    batch.step()
    batch.step()
    batch.step()
    entries += [batch.add(sequence(name)) for name in range(2, 4)]
    batch.step()
    batch.remove(entries[0])  # the last sequence moves to its slot without overtaking others
    batch.add(sequence(4))
    for _ in range(5):
        batch.step()
    assert order == [0, 1, 2, 3, 4]


@settings(max_examples=200, deadline=None)
@given(
    scripts=st.lists(windows.map(Script), min_size=1, max_size=9),
    slots=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_removed_sequences_do_not_disturb_the_others(scripts, slots, seed):
    rng = np.random.default_rng(seed)
    batch: ContinuousBatch = ContinuousBatch(ScriptedDecoder(slots))
    waiting = deque(enumerate(scripts))
    entries: dict[BatchEntry, int] = {}
    results: dict[int, object] = {}
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
            results[entries.pop(entry)] = entry.result
    for index, result in results.items():
        assert result == _alone(scripts[index], index)


def test_a_step_of_an_empty_batch_runs_nothing():
    step = ContinuousBatch(ScriptedDecoder(2)).step()
    assert (step.num_sequences, step.finished) == (0, [])


def test_a_sequence_that_raises_ends_alone_and_the_others_continue():
    batch: ContinuousBatch = ContinuousBatch(ScriptedDecoder(2))

    def raises() -> SequenceGenerator[None]:
        yield StepInput(np.array([1, 2]), 0)
        yield StepInput(np.array([3]), 2)
        raise ZeroDivisionError

    failing = batch.add(raises())
    other = batch.add(Script([(0.0, 2, 6)]).generator(1, set()))
    finished = [entry for _ in range(8) for entry in batch.step().finished]
    assert finished == [failing, other]
    assert isinstance(failing.error, ZeroDivisionError)
    assert not failing.is_run_error
    assert other.result == _alone(Script([(0.0, 2, 6)]), 1)


@pytest.mark.parametrize(("failing_run", "lost"), [(1, [0]), (2, [1]), (3, [2]), (4, [0, 1, 2])])
def test_a_failed_run_ends_the_sequences_that_shared_it(failing_run: int, lost: list[int]):
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
    assert [name for name, entry in enumerate(entries) if entry.is_run_error] == lost
    for name, entry in enumerate(entries):
        if name in lost:
            assert isinstance(entry.error, MemoryError)
        else:
            assert entry.result == _alone(Script([(0.0, 2, 6)]), name)
    assert batch.has_free_slot
