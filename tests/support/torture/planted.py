"""Commands with a known defect each, in place of bark-onnx: the judges have to find them."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

from tests.support.torture.sounds import tone

OUTPUT = Path("out.wav")


def clear_line() -> None:
    sys.exit(_fail("it cannot be done; do something else"))


def sound() -> None:
    OUTPUT.write_bytes(tone()[:-2])


def has_a_traceback() -> None:
    raise RuntimeError("a bug")


def says_two_lines() -> None:
    sys.exit(_fail("it cannot be done", "and there is more to say"))


def has_a_name_on_two_lines() -> None:
    sys.exit(_fail("no\u2028where: no such folder"))


def says_nothing() -> None:
    sys.exit(1)


def says_it_without_its_name() -> None:
    sys.stderr.write("terminate called without an active exception\n")
    sys.exit(1)


def crashes() -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs() -> None:
    while True:
        time.sleep(1)


def destroys_a_file() -> None:
    OUTPUT.write_bytes(b"RIFF")
    sys.exit(_fail("it cannot be written"))


def removes_a_file() -> None:
    OUTPUT.unlink(missing_ok=True)
    sys.exit(_fail("it cannot be written"))


def leaves_a_partial_file() -> None:
    Path(".bark-onnx-01234567-89abcdef.partial").write_bytes(b"RIFF")
    sys.exit(_fail("it cannot be written"))


def leaves_a_partial_file_and_succeeds() -> None:
    sound()
    Path(".bark-onnx-01234567-89abcdef.partial").write_bytes(b"RIFF")


def writes_elsewhere() -> None:
    sound()
    Path("elsewhere.txt").write_text("a file that was not asked for")


def changes_the_bundle() -> None:
    sound()
    for path in Path("B").glob("*.json"):
        path.unlink()
        path.write_text("{}")


def writes_no_sound() -> None:
    OUTPUT.unlink(missing_ok=True)


def writes_junk() -> None:
    OUTPUT.write_bytes(b"junk")


def writes_no_frames() -> None:
    soundfile.write(OUTPUT, np.zeros(0, np.float32), 24_000)


def writes_a_constant() -> None:
    soundfile.write(OUTPUT, np.full(2400, -1.0, np.float32), 24_000)


def writes_samples_that_are_not_finite() -> None:
    samples = np.sin(np.arange(2400) / 9).astype(np.float32)
    samples[700] = np.nan
    soundfile.write(OUTPUT, samples, 24_000, "FLOAT")


def _fail(*lines: str) -> int:
    for line in lines:
        sys.stderr.write(f"bark-onnx: {line}\n")
    return 1
