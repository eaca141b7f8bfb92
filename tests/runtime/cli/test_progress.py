"""Progress bars on a real terminal, and nowhere else."""

import os
import pty
import re
import struct
import subprocess
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.support.command import ENTRY_POINT, assert_fails, output_of, run_installed

TEXT = "Here is the first sentence of it. Then there is another one, somewhat longer."
OPTIONS = ("--max-seconds", "4", "--semantic-max-new-tokens", "40", "--seed", "1")
COLUMNS = 100


def on_a_terminal(*arguments: object) -> tuple[str, str]:
    """Standard error of a command on a terminal, and its standard output in a pipe."""
    screen, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [ENTRY_POINT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=terminal
    )
    os.close(terminal)
    shown = bytearray()
    while True:
        try:
            data = os.read(screen, 4096)
        except OSError:  # on Linux: the terminal is closed
            break
        if not data:
            break
        shown += data
    os.close(screen)
    out, _ = process.communicate()
    assert process.returncode == 0, shown.decode()
    return shown.decode(), out.decode()


def left_on(shown: str) -> str:
    """Contents of the last line of a terminal."""
    line: list[str] = []
    column = 0
    for character in shown:
        if character == "\r":
            column = 0
        elif character == "\n":
            line, column = [], 0
        else:
            line[column : column + 1] = character
            column += 1
    return "".join(line)


STAGES = "(semantic|coarse|fine|codec)"


@pytest.mark.parametrize(
    ("concurrency", "second"),  # of two segments: after a round of its own, or within the only one
    [(1, rf"\d+% done, \d\d:\d\d left; {STAGES}: .*/s\]"), (8, rf"\d+% done; {STAGES}: .* left\]")],
)
def test_terminal_shows_share_speed_and_remaining_time_temporarily(
    random_bundle: Path, tmp_path: Path, concurrency: int, second: str
) -> None:
    path = tmp_path / "a.wav"
    options = (*OPTIONS, "--concurrency", concurrency)
    shown, out = on_a_terminal("speak", TEXT, "-m", random_bundle, "-o", path, *options)
    for stage, unit in (
        ("semantic", "tokens"),
        ("coarse", "tokens"),
        ("fine", "passes"),
        ("codec", "frames"),
    ):
        assert re.search(rf"{stage}: +\d+%\|.*\d+/\d+ \[.*{unit}/s", shown), shown
    for line in filter(None, shown.split("\r")):
        assert line.count(" left") == (not line.isspace()), line
    assert re.search(rf"\r *{STAGES}: .* left\]", shown), shown
    assert re.search(second, shown), shown
    assert "\n" not in shown  # one line for all
    assert left_on(shown).strip() == ""
    assert out.startswith(f"{path}: ")


def test_simulated_terminal_overwrites_like_a_real_one() -> None:
    assert left_on("a bar\r     \rthe end") == "the end"
    assert left_on("ab\rc") == "cb"


def test_pipe_has_no_progress_bars(random_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    out = output_of(run_installed("speak", TEXT, "-m", random_bundle, "-o", path, *OPTIONS))
    assert out.count("\n") == 1
    assert "%" not in out


def test_malformed_setting_of_the_bars_is_one_line(random_bundle: Path) -> None:
    result = run_installed("speak", "Hi", "-m", random_bundle, TQDM_MININTERVAL="abc")
    assert_fails(result, 1, "TQDM_MININTERVAL", "malformed", "unset the variable")
