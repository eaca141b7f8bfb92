"""The estimated time to the end of a text, whose segments run in parallel."""

import pytest

from bark_onnx.runtime.cli.speech.progress import TimeLeft

ROUND_SECONDS, CHARACTERS = 60.0, 50


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def ends(segments: int, concurrency: int) -> list[float]:
    """Times at which segments end: those of a round share most of it, then end one by one."""
    first = 0.65 if concurrency > 1 else 1.0
    step = (1 - first) / max(concurrency - 1, 1)
    return [
        ROUND_SECONDS * (number // concurrency + first + step * (number % concurrency))
        for number in range(segments)
    ]


@pytest.mark.parametrize(("segments", "concurrency"), [(45, 8), (17, 8), (6, 1), (9, 4)])
def test_estimate_is_close_once_a_round_is_complete(segments: int, concurrency: int) -> None:
    clock = Clock()
    left = TimeLeft(segments * CHARACTERS, concurrency, clock)
    times = ends(segments, concurrency)
    whole = -(-segments // concurrency) * ROUND_SECONDS
    for number, end in enumerate(times, 1):
        clock.now = 100.0 + end
        left.add(CHARACTERS)
        assert left.share == pytest.approx(number / segments)
        found = left.seconds()
        if number < concurrency:
            assert found is None
        else:
            assert found is not None
            assert abs(found - (times[-1] - end)) <= 0.25 * whole
    assert left.share == 1
    if segments % concurrency == 0:
        assert left.seconds() == 0


def test_estimate_counts_down_between_rounds_and_not_below_zero() -> None:
    clock = Clock()
    left = TimeLeft(100, 1, clock)
    clock.now += 10
    left.add(50)
    assert left.seconds() == pytest.approx(10)
    clock.now += 4
    assert left.seconds() == pytest.approx(6)
    clock.now += 40
    assert left.seconds() == 0


def test_text_of_one_round_has_no_estimate() -> None:
    left = TimeLeft(100, 8, Clock())
    for _ in range(4):
        left.add(25)
    assert (left.share, left.seconds()) == (1, None)
