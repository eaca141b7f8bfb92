"""Policies: a step of every busy stage per round, or one stage at a time."""

from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.graphs.contract import STAGES
from bark_onnx.runtime.engine.policy import RoundRobinPolicy, StageSequentialPolicy

busy_stages = st.lists(st.sampled_from(STAGES), min_size=1, unique=True)


def test_round_robin_gives_each_busy_stage_a_turn_beginning_with_the_latest():
    policy = RoundRobinPolicy()
    chosen = [policy.next_stage(STAGES) for _ in range(8)]
    assert chosen == ["codec", "fine", "coarse", "semantic"] * 2


def test_round_robin_skips_idle_stages():
    policy = RoundRobinPolicy()
    chosen = [policy.next_stage(["semantic", "fine"]) for _ in range(4)]
    assert chosen == ["fine", "semantic"] * 2


@given(rounds=st.lists(busy_stages, min_size=4, max_size=30))
def test_round_robin_lets_a_busy_stage_wait_for_each_other_stage_once_at_most(rounds: list):
    policy = RoundRobinPolicy()
    waited = dict.fromkeys(STAGES, 0)
    for busy in rounds:
        chosen = policy.next_stage(busy)
        assert chosen in busy
        for stage in STAGES:
            waited[stage] = 0 if stage == chosen or stage not in busy else waited[stage] + 1
        assert max(waited.values()) < len(STAGES)


def test_round_robin_admits_requests_at_any_time():
    assert RoundRobinPolicy().can_admit(0)
    assert RoundRobinPolicy().can_admit(1000)


@given(busy=busy_stages)
def test_stage_sequential_chooses_the_earliest_stage(busy: list):
    assert StageSequentialPolicy().next_stage(busy) == min(busy, key=STAGES.index)


def test_stage_sequential_admits_no_request_while_another_is_unfinished():
    assert StageSequentialPolicy().can_admit(0)
    assert not StageSequentialPolicy().can_admit(1)
