"""A lock that is shared, or held alone."""

import threading
import time

from bark_onnx.runtime.inference.providers.shared_lock import SharedLock

PATIENCE = 10.0


def test_threads_share_it() -> None:
    lock, inside = SharedLock(), threading.Barrier(3)

    def share() -> None:
        with lock.shared():
            inside.wait(PATIENCE)  # all three are inside at the same time

    threads = [threading.Thread(target=share) for _ in range(2)]
    for thread in threads:
        thread.start()
    share()
    for thread in threads:
        thread.join(PATIENCE)
    assert not inside.broken


def test_one_thread_is_alone_among_many() -> None:
    lock, sharing, alone, wrong = SharedLock(), set(), set(), []

    def work(number: int) -> None:
        for turn in range(60):
            if (turn + number) % 4:
                with lock.shared():
                    sharing.add(number)
                    wrong.extend(alone)
                    sharing.discard(number)
            else:
                with lock.alone():
                    alone.add(number)
                    time.sleep(0)
                    wrong.extend(sharing | (alone - {number}))
                    alone.discard(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_the_thread_that_holds_it_alone_may_share_it() -> None:
    lock = SharedLock()
    with lock.alone(), lock.shared(), lock.shared():
        pass
    with lock.shared():
        pass


def test_a_thread_that_waits_to_be_alone_comes_before_new_ones_that_share() -> None:
    lock, order = SharedLock(), []
    first = lock.shared()
    first.__enter__()
    wants_alone = threading.Thread(target=lambda: _enter(lock.alone(), order, "alone"))
    wants_alone.start()
    _wait_until(lambda: lock._waiting == 1)
    late = threading.Thread(target=lambda: _enter(lock.shared(), order, "shared"))
    late.start()
    time.sleep(0.05)
    assert order == []
    first.__exit__(None, None, None)
    wants_alone.join(PATIENCE)
    late.join(PATIENCE)
    assert order == ["alone", "shared"]


def _enter(context, order: list[str], name: str) -> None:
    with context:
        order.append(name)


def _wait_until(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)
