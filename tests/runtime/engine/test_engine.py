"""The engine on scripted models: requests share steps, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_onnx.graphs.contract import STAGES
from bark_onnx.graphs.errors import QueueFullError
from bark_onnx.runtime.engine.engine import Engine
from bark_onnx.runtime.engine.future import SpeechFuture, wait_all
from tests.runtime.engine.conftest import Open
from tests.support.engine import PATIENCE, Gate, outcome, submit, submit_group
from tests.support.messages import assert_one_line
from tests.support.scripted import Script, ScriptedModels, Utterance

scripts = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 4), st.integers(1, 5)), max_size=3
).map(Script)
requests = st.builds(Utterance, st.just(0), scripts, scripts, st.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(
    utterances=st.lists(requests, min_size=1, max_size=9),
    max_batch_size=st.integers(1, 4),
    low_memory=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_each_request_has_the_result_of_a_single_run_whenever_others_are_submitted(
    utterances: list[Utterance], max_batch_size: int, low_memory: bool, seed: int
):
    """Calls of several requests are submitted at random steps of the others; some are cancelled."""
    rng = np.random.default_rng(seed)
    models = ScriptedModels(max_batch_size, low_memory=low_memory)
    engine = Engine(models)
    waiting = [*utterances]
    for name, utterance in enumerate(utterances):
        utterance.name = name
    futures: list[SpeechFuture] = []
    cancelled = set()

    def disturb(stage: str = "", run: int = 0) -> None:
        if waiting and (not run or rng.random() < 0.3):
            count = int(rng.integers(1, len(waiting) + 1))
            futures.extend(submit_group(engine, *waiting[:count]))
            del waiting[:count]
        if rng.random() < 0.03:
            index = int(rng.integers(len(futures)))
            futures[index].cancel()
            cancelled.add(index)

    models.before = disturb
    try:
        disturb()
        while waiting or not all(future.done() for future in futures):
            for future in [*futures]:
                outcome(future)
            if waiting:
                disturb()
        for index, utterance in enumerate(utterances):
            if not futures[index].cancelled():
                assert futures[index].result() == utterance.alone()
            else:
                assert index in cancelled
        status = engine.status()
        assert (status.waiting, status.running) == (0, 0)
        assert all(stage.slots_in_use == 0 for stage in status.stages.values())
    finally:
        engine.close()


def test_requests_of_a_group_enter_the_coarse_stage_together(open_engine: Open):
    engine, models = open_engine(3)
    lengths = (3, 9, 6)
    group = [Utterance(i, Script([(0.0, 2, n)]), fine=0) for i, n in enumerate(lengths)]
    wait_all(submit_group(engine, *group))
    last = len(models.runs) - models.runs[::-1].index("semantic")
    assert "coarse" not in models.runs[:last]
    # Two windows: the prefill and four decode steps, then the prefill and one step.
    assert models.decoders["coarse"].batch_sizes == [3] * 5


def test_new_requests_join_the_steps_of_running_ones(open_engine: Open):
    engine, models = open_engine(2)
    first, second = (Utterance(name, Script([(0.0, 2, 20)])) for name in range(2))
    with Gate(models, run=5) as gate:
        futures = submit(engine, first)
        gate.wait()
        futures += submit(engine, second)
    assert [outcome(future) for future in futures] == [first.alone(), second.alone()]
    assert models.decoders["semantic"].batch_sizes[:6] == [1, 1, 1, 1, 2, 2]


def test_a_request_in_a_late_stage_alternates_with_steps_of_others(open_engine: Open):
    engine, models = open_engine()
    short, long = Utterance(0, Script([]), Script([]), fine=4), Utterance(1, Script([(0, 2, 9)]))
    with Gate(models) as gate:
        futures = submit(engine, long)
        gate.wait()
        futures += submit(engine, short)
    for future in futures:
        future.result(PATIENCE)
    first = models.runs.index("fine")
    assert models.runs[first : first + 8] == ["fine", "semantic"] * 4
    assert futures[1].timings.finished < futures[0].timings.finished


def test_low_memory_finishes_a_stage_before_the_next_is_opened(open_engine: Open):
    engine, models = open_engine(2, low_memory=True)
    utterances = [Utterance(name, Script([(0.0, 2, 3 + name)])) for name in range(5)]
    with Gate(models) as gate:
        futures = submit(engine, utterances[0])
        gate.wait()
        # Too late for the first round of stages.
        futures += submit(engine, *utterances[1:])
    assert [outcome(future) for future in futures] == [each.alone() for each in utterances]
    assert models.opened == [*STAGES, *STAGES]
    assert models.open_now == set()


def test_a_full_queue_refuses_requests_until_one_is_done(open_engine: Open):
    engine, models = open_engine(2, max_queue=1)
    with Gate(models) as gate:
        futures = submit(engine, *(Utterance(name) for name in range(3)))
        gate.wait()
        with pytest.raises(QueueFullError) as caught:
            submit(engine, Utterance(3))
        assert_one_line(caught.value, "3 requests", "1 more", "at most 3", "try again later")
        futures[2].cancel()
    outcome(futures[2])
    assert futures[2].cancelled()
    (accepted,) = submit(engine, Utterance(4))
    assert accepted.result(PATIENCE) == Utterance(4).alone()


def test_a_group_beyond_the_queue_is_refused_as_a_whole(open_engine: Open):
    engine, _ = open_engine(2, max_queue=0)
    group = [Utterance(name) for name in range(3)]
    with pytest.raises(QueueFullError):
        submit_group(engine, *group)
    assert engine.status().waiting == 0
    assert wait_all(submit_group(engine, *group[:2])) == [each.alone() for each in group[:2]]


def test_an_empty_group_starts_no_thread(open_engine: Open):
    engine, _ = open_engine()
    assert submit_group(engine) == []
    assert engine._thread is None
