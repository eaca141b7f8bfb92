"""Interrupts that Python drops: raised in a finalizer, they are raised again behind it."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, time
from bark_onnx.graphs.interrupts import Interrupt, raise_interrupts

class Finalized:
    def __init__(self, signals):
        self.signals = signals

    def __del__(self):
        for number in self.signals:
            signal.raise_signal(number)
            pass  # where the handler runs

raise_interrupts()
try:
    Finalized([{signals}])
    Finalized([])  # Python goes on behind the finalizer
    time.sleep(30)
except Interrupt as interrupt:
    print("raised", int(interrupt.number))
    signal.raise_signal(signal.SIGINT)  # does not disturb the end
    time.sleep(0.1)
    print("ended")
"""


def run(*signals: signal.Signals) -> subprocess.CompletedProcess[str]:
    numbers = ", ".join(str(int(number)) for number in signals)
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{signals}", numbers)],
        capture_output=True,
        text=True,
        timeout=20,  # less than the program sleeps
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_in_a_finalizer_is_raised_behind_it(number: signal.Signals) -> None:
    done = run(number)
    assert (done.stdout.splitlines(), done.stderr) == ([f"raised {int(number)}", "ended"], "")


def test_other_exceptions_in_a_finalizer_are_reported_as_before() -> None:
    program = PROGRAM.replace(
        "signal.raise_signal(number)", "raise ValueError('of a finalizer')", 1
    )
    program = program.replace("time.sleep(30)", "print('slept')")
    done = subprocess.run(
        [sys.executable, "-c", program.replace("{signals}", "0")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "slept\n"
    assert "ValueError: of a finalizer" in done.stderr
