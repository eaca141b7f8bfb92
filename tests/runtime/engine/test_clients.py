"""Fairness among clients: shares of the places, and turns among those that wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.graphs.errors import QueueFullError
from bark_onnx.runtime.engine.clients import PROGRAM, Client, ClientQueue, ClientQuota
from bark_onnx.runtime.engine.engine import Engine
from bark_onnx.runtime.engine.future import SpeechFuture
from tests.runtime.engine.conftest import Open
from tests.support.engine import PATIENCE, Gate
from tests.support.messages import assert_one_line
from tests.support.scripted import Script, Utterance

ONE, OTHER, THIRD = (Client(name, 0.5) for name in ("one", "other", "third"))


def quota(places: int | None) -> ClientQuota:
    return ClientQuota(places, kind="requests", remedy="max_queue")


def fill(of: ClientQuota, client: Client) -> int:
    """Take places one by one until one is refused; their number."""
    taken = 0
    try:
        while True:
            of.take(client)
            taken += 1
    except QueueFullError:
        return taken


def submit(engine: Engine, client: Client, count: int, first: int = 0) -> list[SpeechFuture]:
    """Submit single requests of a client."""
    short = Script([(0.0, 1, 1)])
    return [
        engine.submit([Utterance(name, short, short, fine=1).generator()], client=client)[0]
        for name in range(first, first + count)
    ]


@pytest.mark.parametrize(
    ("places", "share", "expected"),
    [(72, 0.5, 36), (72, 0.25, 18), (10, 0.1, 1), (10, 1.0, 10), (1, 0.5, 1), (3, 1e-9, 1)],
)
def test_one_client_holds_at_most_its_share(places: int, share: float, expected: int):
    counted = quota(places)
    assert fill(counted, Client("greedy", share)) == expected
    assert counted.held == expected


def test_clients_that_want_everything_get_equal_parts_and_leave_room_for_another():
    counted = quota(72)
    greedy = [Client(f"greedy {number}", 0.5) for number in range(5)]
    for client in greedy:
        fill(counted, client)
    for _ in range(200):  # what ends is replaced by whoever asks first
        for client in greedy:
            counted.release(client)
            fill(counted, client)
    parts = [counted._held[client] for client in greedy]
    assert max(parts) - min(parts) <= 1
    counted.take(Client("late", 0.5))


@given(steps=st.lists(st.tuples(st.sampled_from([ONE, OTHER, THIRD]), st.integers(0, 4))))
def test_no_sequence_of_requests_exceeds_the_places_or_keeps_out_a_client_without_any(
    steps: list[tuple[Client, int]],
):
    counted = quota(9)
    held = dict.fromkeys((ONE, OTHER, THIRD), 0)
    for client, count in steps:
        if count == 0 and held[client]:
            counted.release(client)
            held[client] -= 1
            continue
        try:
            counted.take(client, count)
        except QueueFullError:
            assert held[client] or count > 9 - sum(held.values())
        else:
            held[client] += count
        assert counted.held == sum(held.values()) <= 9


def test_a_refusal_is_one_line_with_the_share():
    counted = quota(10)
    fill(counted, ONE)
    with pytest.raises(QueueFullError) as caught:
        counted.take(ONE)
    assert_one_line(caught.value, "5 requests of this client", "50%", "10", "try again later")
    assert counted.held == 5


def test_a_quota_without_places_refuses_nothing():
    counted = quota(None)
    counted.take(ONE, 10**6)
    counted.take(ONE)
    assert counted.held == 10**6 + 1


def test_a_released_place_can_be_taken_again():
    counted = quota(2)
    counted.take(PROGRAM, 2)
    counted.release(PROGRAM)
    counted.release(PROGRAM)
    assert counted.held == 0
    counted.take(PROGRAM, 2)


def test_waiting_clients_take_turns():
    queue: ClientQueue[str] = ClientQueue()
    for client in (ONE, ONE, ONE, OTHER, OTHER, THIRD):
        queue.append(client, f"{client.name} {len(queue)}")
    assert len(queue) == 6
    taken = [queue.pop({}) for _ in range(6)]
    assert taken == ["one 0", "other 3", "third 5", "one 1", "other 4", "one 2"]
    assert [*queue] == []


def test_the_client_with_the_fewest_running_items_is_next():
    queue: ClientQueue[str] = ClientQueue()
    for client in (ONE, OTHER):
        for number in range(3):
            queue.append(client, f"{client.name} {number}")
    assert queue.pop({ONE: 2, OTHER: 1}) == "other 0"
    assert queue.pop({ONE: 2, OTHER: 2}) == "one 0"


def test_an_item_leaves_the_queue_wherever_it_waits():
    queue: ClientQueue[str] = ClientQueue()
    queue.append(ONE, "a")
    queue.append(ONE, "b")
    queue.append(OTHER, "c")
    queue.remove(OTHER, "c")
    queue.remove(ONE, "a")
    assert [*queue] == ["b"]
    queue.clear()
    assert not len(queue)


@pytest.mark.parametrize("low_memory", [False, True])
def test_a_late_client_waits_for_no_more_than_the_running_requests(
    open_engine: Open, low_memory: bool
):
    engine, models = open_engine(2, low_memory=low_memory)
    with Gate(models) as gate:
        hog = submit(engine, ONE, 1)
        gate.wait()
        hog += submit(engine, ONE, 39, first=1)
        late = submit(engine, OTHER, 2, first=40)
    for future in (*hog, *late):
        future.result(PATIENCE)
    started = sorted(future.timings.started for future in hog)
    for turn, future in enumerate(late):
        before = sum(moment < future.timings.started for moment in started)
        assert before <= 2 + turn


def test_a_client_at_its_share_keeps_others_from_nothing(open_engine: Open):
    engine, models = open_engine(2, max_queue=8)
    with Gate(models) as gate:
        hog = submit(engine, ONE, 5)
        gate.wait()
        with pytest.raises(QueueFullError, match="of this client"):
            submit(engine, ONE, 1, first=5)
        others = submit(engine, OTHER, 2, first=6)
        hog[4].cancel()
    for future in (*hog[:4], *others):
        future.result(PATIENCE)
    for _ in range(20):  # every place was given back
        submit(engine, ONE, 1)[0].result(PATIENCE)
    assert engine._quota.held == 0
