"""An interrupt between any two calls leaves the old file or the new one, and nothing else.

Python raises the interrupt of a signal when a function begins and after a call of C, which is where
`sys.setprofile` reports events.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bark_onnx.graphs.files.atomic_write import atomic_folder, atomic_write
from bark_onnx.graphs.interrupts import Interrupt, raise_interrupts, release_frames


class InterruptAt:
    """Raises an interrupt at one event of what an action calls."""

    def __init__(self, number: int) -> None:
        self._left = number

    def run(self, action: Callable[[], None]) -> bool:
        """Whether the action was interrupted."""
        raise_interrupts()
        try:
            sys.setprofile(self._profile)
            action()
        except Interrupt as stop:
            release_frames(stop)
            return True
        finally:
            sys.setprofile(None)
        return False

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "c_return") or argument is sys.setprofile:
            return
        if is_finalizer(frame):  # from which an interrupt is raised again later
            return
        if self._left == 0:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGTERM)
        self._left -= 1


@pytest.fixture(autouse=True)
def _usual_handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers, hook = {number: signal.getsignal(number) for number in numbers}, sys.unraisablehook
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    sys.unraisablehook = hook
    Interrupt.raised = None


def is_finalizer(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


def write_file(folder: Path) -> None:
    with atomic_write(folder / "target") as file:
        file.write(b"new")


def write_folder(folder: Path) -> None:
    with atomic_folder(folder / "target") as partial:
        (partial / "file").write_bytes(b"new")


def fail_to_write(folder: Path) -> None:
    try:
        with atomic_write(folder / "target") as file:
            file.write(b"new")
            raise ValueError
    except ValueError:
        return


def content(path: Path) -> bytes:
    return (path / "file").read_bytes() if path.is_dir() else path.read_bytes()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a descriptor may be left to its finalizer
@pytest.mark.parametrize("action", [write_file, write_folder, fail_to_write])
@pytest.mark.parametrize("has_former", [True, False])
def test_an_interrupt_at_any_event_leaves_one_whole_target(
    action: Callable[[Path], None], has_former: bool, tmp_path: Path
) -> None:
    number, is_interrupted = 0, True
    while is_interrupted:
        folder = tmp_path / str(number)
        folder.mkdir()
        target = folder / "target"
        if has_former and action is write_folder:
            target.mkdir()
            (target / "file").write_bytes(b"old")
        elif has_former:
            target.write_bytes(b"old")
        is_interrupted = InterruptAt(number).run(lambda folder=folder: action(folder))  # type: ignore[misc]
        found = [path.name for path in folder.iterdir()]
        assert found == ["target"] or (not has_former and found == []), number
        assert not found or content(target) in (b"old", b"new"), number
        number += 1
    assert number > 20
