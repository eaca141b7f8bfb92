"""bark-onnx speak --play, with a scripted player in place of the system's."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import soundfile

from bark_onnx.graphs.errors import PlayerError
from bark_onnx.runtime.audio.player import PLAYERS, SpeechPlayer, find_player
from tests.support.command import ENTRY_POINT, Run, assert_fails, output_of
from tests.support.messages import assert_one_line

SETTINGS = ("--seed", 3, "--semantic-max-new-tokens", 15)
TEXT = "Here is the first sentence of it. Then there is another one, somewhat longer."


@pytest.fixture
def speak(run: Run, random_bundle: Path) -> Run:
    return lambda *arguments: run("speak", *arguments, "-m", random_bundle, *SETTINGS)


def script(player: Path, body: str) -> None:
    """Replace the program of the player."""
    player.write_text(f"#!{sys.executable}\nimport sys, os, time\n{body}\n")


def test_segments_are_played_and_no_file_is_written(
    speak: Run, player: Path, tmp_path: Path
) -> None:
    out = output_of(speak(TEXT, "--play", "--max-seconds", 4))
    assert out.startswith("played: ")
    played = (player.parent / "heard").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == []
    speak(TEXT, "-o", "a.pcm", "--raw", "--max-seconds", 4)
    assert played == (tmp_path / "a.pcm").read_bytes()
    arguments = (player.parent / "arguments").read_text()
    assert arguments == "-q -t raw -f S16_LE -c 1 -r 24000 -"


def test_a_file_is_written_while_playing_if_it_is_named(
    speak: Run, player: Path, tmp_path: Path
) -> None:
    found = json.loads(output_of(speak("Hi", "--play", "-o", "a.wav", "--json", "--no-metadata")))
    assert found["output"] == "a.wav"
    assert (player.parent / "heard").read_bytes() == (tmp_path / "a.wav").read_bytes()[44:]
    assert json.loads(output_of(speak("Hi", "--play", "--json")))["output"] is None


def test_speech_is_played_at_the_requested_rate(speak: Run, player: Path) -> None:
    output_of(speak("Hi", "--play", "--sample-rate", 48_000))
    assert "-r 48000" in (player.parent / "arguments").read_text()


def test_a_missing_player_is_one_line_before_the_model_loads(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("speak", "Hi", "-m", "nowhere", "--play")
    assert_fails(result, 1, "No program to play sound", "aplay (alsa-utils)", "play (sox)")


def test_a_format_is_refused_if_nothing_is_written(run: Run, player: Path) -> None:
    assert_fails(run("speak", "Hi", "-m", "nowhere", "--play", "--raw"), 1, "--format raw", "-o")


@pytest.mark.parametrize("program", [player.program for player in PLAYERS])
def test_every_known_player_is_found_and_gets_the_rate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str
) -> None:
    path = tmp_path / program
    path.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    command = find_player().command(16_000)
    assert command[0] == program
    assert any("16000" in part for part in command)
    assert not any("RATE" in part for part in command)


BROKEN = "sys.stdin.buffer.read(10)\nprint('no such\\nsound card', file=sys.stderr)\nsys.exit(3)"


def test_a_failed_player_is_one_line_and_the_file_is_complete(
    speak: Run, player: Path, tmp_path: Path
) -> None:
    script(player, BROKEN)
    status, out, err = speak(TEXT * 5, "--play", "-o", "a.wav")
    assert status == 1
    assert_one_line(err.strip(), "aplay ended too soon", "status 3", "sound card")
    seconds = soundfile.info(tmp_path / "a.wav").duration
    assert out.startswith(f"a.wav: {seconds:.2f} s of audio")
    speak(TEXT * 5, "-o", "b.wav")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_a_failed_player_ends_the_command_if_nothing_is_written(speak: Run, player: Path) -> None:
    script(player, BROKEN)
    assert_fails(speak(TEXT * 5, "--play"), 1, "aplay ended too soon", "status 3", "sound card")


def test_a_player_that_cannot_start_is_one_line(speak: Run, player: Path) -> None:
    player.write_text("#!/nowhere/at/all\n")
    assert_fails(speak("Hi", "--play"), 1, "aplay: cannot be started", "No such file")


@pytest.mark.parametrize("when", ["generating", "playing"])
def test_an_interrupt_stops_command_and_player(
    player: Path, random_bundle: Path, tmp_path: Path, when: str
) -> None:
    script(player, "open('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)")
    text = TEXT * (40 if when == "generating" else 1)
    process = subprocess.Popen(
        [
            *(ENTRY_POINT, "speak", text, "-m", random_bundle, *map(str, SETTINGS)),
            *("--play", "-o", "a.wav"),
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    awaited = ".*.partial" if when == "generating" else "a.wav"
    while process.poll() is None and not (
        (tmp_path / "pid").is_file()
        and (tmp_path / "pid").stat().st_size
        and any(path.stat().st_size > 10_000 for path in tmp_path.glob(awaited))
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert_one_line(err.strip(), "interrupted; a.wav has the first")
    assert soundfile.info(tmp_path / "a.wav").frames > 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_lost_notification_does_not_delay_the_end(player: Path) -> None:
    stale = threading.Lock()
    stale.acquire()

    def interrupt_notify(found: SpeechPlayer) -> None:
        # What an interrupt within `notify` leaves behind: a waiter that waits no longer.
        found._waiting.not_empty._waiters.appendleft(stale)  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), SpeechPlayer(24_000) as found:
        interrupt_notify(found)
    assert not found._thread.is_alive()


def test_the_scripted_player_is_the_only_one_found(player: Path) -> None:
    assert shutil.which("aplay") == str(player)
    assert shutil.which("paplay") is None


def test_a_thread_that_cannot_be_started_is_one_line_and_ends_the_player(
    player: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    found = SpeechPlayer(24_000)
    with pytest.raises(PlayerError) as caught, found:
        pass
    assert_one_line(caught.value, player.name, "can't start new thread")
    assert found._process.returncode is not None
