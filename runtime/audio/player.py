"""Plays speech as it is generated, through a program of the system.

Nearly every desktop has one that reads samples from a pipe, so no library is built or linked.
"""

import queue
import shutil
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from bark_onnx.graphs.errors import PlayerError
from bark_onnx.runtime.audio.encoders.pcm import pcm_bytes
from bark_onnx.runtime.audio.files.formats import check_rate
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timeline import SpeechTimeline

_MAX_WAITING = 64  # speeches; `write` blocks on more
_SIGNAL_POLL_SECONDS = 0.2  # how soon an interrupt is noticed


@dataclass(frozen=True)
class Player:
    """A program that plays signed 16-bit mono samples from its standard input."""

    program: str
    arguments: str  # with RATE for the sample rate
    package: str  # that contains it

    def command(self, sample_rate_hz: int) -> list[str]:
        """The command line for a sample rate."""
        return [self.program, *self.arguments.replace("RATE", str(sample_rate_hz)).split()]


# Not pw-play: its reading of standard input differs between versions. Not afplay: it needs a file
# that can seek.
PLAYERS = (
    Player("paplay", "--raw --format=s16le --channels=1 --rate=RATE", "pulseaudio-utils"),
    Player("aplay", "-q -t raw -f S16_LE -c 1 -r RATE -", "alsa-utils"),
    Player("ffplay", "-nodisp -autoexit -loglevel error -f s16le -sample_rate RATE -i -", "ffmpeg"),
    Player("play", "-q -t raw -e signed-integer -b 16 -L -c 1 -r RATE -", "sox"),
)


def find_player() -> Player:
    """The first player that is installed.

    Raises:
        PlayerError: No player is installed.
    """
    for player in PLAYERS:
        if shutil.which(player.program) is not None:
            return player
    known = ", ".join(f"{player.program} ({player.package})" for player in PLAYERS)
    raise PlayerError(f"No program to play sound was found; install one of {known}")


class SpeechPlayer:
    """Plays speeches in a `with` block, which ends after the last one was played.

    An error or an interrupt stops the sound.

    Args:
        sample_rate_hz: Sample rate of the player, to which speeches are converted.

    Raises:
        PlayerError: No player is installed.
        AudioError: The rate is out of range.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        check_rate(sample_rate_hz)
        self._player = find_player()
        self._timeline = SpeechTimeline(sample_rate_hz)
        self._command = self._player.command(sample_rate_hz)
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_MAX_WAITING)
        self._has_failed = threading.Event()
        self._thread = threading.Thread(
            target=self._write_loop, name="bark-onnx player", daemon=True
        )

    def __enter__(self) -> Self:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(  # noqa: S603 (from the table above)
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
            )
        except OSError as error:
            self._stderr.close()
            raise PlayerError(
                f"{self._player.program}: cannot be started ({error.strerror})"
            ) from error
        try:
            self._thread.start()
        except RuntimeError as error:
            self._stop()
            raise PlayerError(
                f"{self._player.program}: a thread for it cannot be started ({error})"
            ) from error
        return self

    def write(self, speech: Speech) -> None:
        """Play a speech after the previous one; returns at once unless many wait.

        Raises:
            PlayerError: The player has ended.
            AudioError: The sample rate differs from that of the previous speech.
        """
        self._put(pcm_bytes(self._timeline.add(speech)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._put(pcm_bytes(self._timeline.finish()))
                self._put(None)
                self._wait()
        finally:
            self._stop()

    def _stop(self) -> None:
        """Stop the program and the thread, if they still run."""
        self._process.kill()
        self._process.wait()
        # Again and again: an interrupt within `notify` loses the next one.
        while self._thread.is_alive():
            with suppress(queue.Full):  # if full, the thread is writing, which fails now
                self._waiting.put_nowait(None)
            self._thread.join(_SIGNAL_POLL_SECONDS)
        assert self._process.stdin is not None
        with suppress(OSError):  # the rest is not played
            self._process.stdin.close()
        self._stderr.close()

    def _put(self, data: bytes | None) -> None:
        while not self._has_failed.is_set():
            try:
                self._waiting.put(data, timeout=_SIGNAL_POLL_SECONDS)
            except queue.Full:
                continue
            return
        raise self._failure()

    def _wait(self) -> None:
        """Wait until everything was played."""
        while True:
            try:
                status = self._process.wait(_SIGNAL_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            if status or self._has_failed.is_set():
                raise self._failure()
            return

    def _write_loop(self) -> None:
        """Write to the pipe, in a thread of its own: the pipe takes samples as they are played."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            while (data := self._waiting.get()) is not None:
                pipe.write(data)
                pipe.flush()
            pipe.close()
        except OSError:
            self._has_failed.set()

    def _failure(self) -> PlayerError:
        status = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        reason = f": {lines[-1].strip()}" if lines else ""
        return PlayerError(f"{self._player.program} ended too soon, with status {status}{reason}")
