"""Which stage works next: a round for everybody, or one stage after the other."""

from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.graphs.contract import STAGES
from bark_onnx.runtime.engine.policy import RoundRobinPolicy, StageSequentialPolicy

busy_stages = st.lists(st.sampled_from(STAGES), min_size=1, unique=True)


def test_stages_that_have_work_take_turns_and_the_latest_begins():
    turns = RoundRobinPolicy()
    chosen = [turns.choose(STAGES) for _ in range(8)]
    assert chosen == ["codec", "fine", "coarse", "semantic"] * 2


def test_a_stage_without_work_is_passed_over():
    turns = RoundRobinPolicy()
    chosen = [turns.choose(["semantic", "fine"]) for _ in range(4)]
    assert chosen == ["fine", "semantic"] * 2


@given(rounds=st.lists(busy_stages, min_size=4, max_size=30))
def test_a_stage_that_has_work_waits_for_each_other_stage_once_at_most(rounds: list):
    turns = RoundRobinPolicy()
    waited = dict.fromkeys(STAGES, 0)
    for busy in rounds:
        chosen = turns.choose(busy)
        assert chosen in busy
        for stage in STAGES:
            waited[stage] = 0 if stage == chosen or stage not in busy else waited[stage] + 1
        assert max(waited.values()) < len(STAGES)


def test_taking_turns_lets_anybody_begin():
    assert RoundRobinPolicy().admits(0)
    assert RoundRobinPolicy().admits(1000)


@given(busy=busy_stages)
def test_stage_by_stage_chooses_the_earliest(busy: list):
    assert StageSequentialPolicy().choose(busy) == min(busy, key=STAGES.index)


def test_stage_by_stage_lets_nobody_begin_while_others_are_under_way():
    assert StageSequentialPolicy().admits(0)
    assert not StageSequentialPolicy().admits(1)
