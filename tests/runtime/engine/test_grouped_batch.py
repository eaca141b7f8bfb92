"""Sequences share a run where their inputs are of one kind."""

from collections.abc import Generator, Sequence

import pytest

from bark_onnx.runtime.engine.batch import GroupedBatch


class Runs:
    """Doubles numbers, and keeps what ran together."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.fails = False

    def __call__(self, inputs: Sequence[int]) -> list[int]:
        if self.fails:
            raise ValueError("no memory")
        self.groups.append(list(inputs))
        return [2 * each for each in inputs]


def sequence(*inputs: int) -> Generator[int, int, list[int]]:
    results = []
    for each in inputs:
        results.append((yield each))
    return results


def drain(batch: GroupedBatch) -> list:
    finished = []
    while not finished or batch._entries:
        finished += batch.step().finished
    return finished


def parity(number: int) -> int:
    return number % 2


def test_sequences_with_inputs_of_one_kind_share_a_run() -> None:
    runs = Runs()
    batch = GroupedBatch(runs, parity, 3)
    entries = [batch.add(sequence(*inputs)) for inputs in ((1, 2), (3, 5), (4,))]
    assert not batch.has_free_slot
    drain(batch)
    assert [entry.result for entry in entries] == [[2, 4], [6, 10], [8]]
    assert runs.groups == [[1, 3], [2, 4], [5]]


def test_the_oldest_sequence_is_never_overtaken() -> None:
    runs = Runs()
    batch = GroupedBatch(runs, parity, 2)
    batch.add(sequence(1, 3, 5))
    batch.add(sequence(2, 4, 6))
    drain(batch)
    assert runs.groups == [[1], [3], [5], [2], [4], [6]]


def test_one_slot_runs_one_sequence_at_a_time() -> None:
    runs = Runs()
    batch = GroupedBatch(runs, parity, 1)
    entry = batch.add(sequence(1, 2))
    assert not batch.has_free_slot
    assert batch.step().num_sequences == 1
    assert batch.step().finished == [entry]
    assert batch.has_free_slot
    assert runs.groups == [[1], [2]]


def test_a_failed_run_ends_the_sequences_that_shared_it_and_no_other() -> None:
    runs = Runs()
    batch = GroupedBatch(runs, parity, 3)
    entries = [batch.add(sequence(number)) for number in (1, 3, 2)]
    runs.fails = True
    assert batch.step().finished == entries[:2]
    assert all(entry.is_run_error and str(entry.error) == "no memory" for entry in entries[:2])
    runs.fails = False
    drain(batch)
    assert entries[2].result == [4]


def test_a_sequence_that_fails_or_ends_before_its_first_run_leaves_without_one() -> None:
    def failing() -> Generator[int, int, None]:
        raise KeyError("bad")
        yield 1

    runs = Runs()
    batch = GroupedBatch(runs, parity, 3)
    first, empty, last = batch.add(failing()), batch.add(sequence()), batch.add(sequence(7))
    output = batch.step()
    assert (output.num_sequences, output.finished) == (0, [first, empty])
    assert isinstance(first.error, KeyError)
    assert not first.is_run_error
    drain(batch)
    assert (empty.result, last.result) == ([], [14])


@pytest.mark.parametrize("leaving", [0, 1])
def test_a_removed_sequence_is_closed_and_the_other_goes_on(leaving: int) -> None:
    runs = Runs()
    batch = GroupedBatch(runs, parity, 2)
    entries = [batch.add(sequence(1, 3)), batch.add(sequence(5, 7))]
    batch.step()
    batch.remove(entries[leaving])
    assert batch.has_free_slot
    drain(batch)
    assert entries[leaving].result is None
    assert entries[1 - leaving].result is not None
