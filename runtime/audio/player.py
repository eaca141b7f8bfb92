"""Plays speeches as they come, through whatever program the system has for it.

Programs that read samples from a pipe are on nearly every desktop and need nothing built or linked.
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

_MOST_PIECES = 64  # that wait to be played; more make whoever speaks wait
_LOOK_UP_SECONDS = 0.2  # how soon an interrupt is noticed


@dataclass(frozen=True)
class Player:
    """A program that plays signed 16-bit mono samples from its standard input."""

    program: str
    arguments: tuple[str, ...]  # RATE stands for the sample rate
    package: str  # to install it

    def command(self, sample_rate_hz: int) -> list[str]:
        """The command line for one rate."""
        return [
            self.program,
            *(part.replace("RATE", str(sample_rate_hz)) for part in self.arguments),
        ]


# Not pw-play: what it takes standard input for differs between its versions. Not afplay: it wants
# a file that it can go back in.
PLAYERS = (
    Player(
        "paplay",
        ("--raw", "--format=s16le", "--channels=1", "--rate=RATE"),
        "pulseaudio-utils",
    ),
    Player(
        "aplay",
        ("-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", "RATE", "-"),
        "alsa-utils",
    ),
    Player(
        "ffplay",
        (
            *("-nodisp", "-autoexit", "-loglevel", "error"),
            *("-f", "s16le", "-sample_rate", "RATE", "-i", "-"),
        ),
        "ffmpeg",
    ),
    Player(
        "play",
        ("-q", "-t", "raw", "-e", "signed-integer", "-b", "16", "-L", "-c", "1", "-r", "RATE", "-"),
        "sox",
    ),
)


def find_player() -> Player:
    """The first player that is installed.

    Raises:
        PlayerError: there is none.
    """
    for player in PLAYERS:
        if shutil.which(player.program) is not None:
            return player
    known = ", ".join(f"{player.program} ({player.package})" for player in PLAYERS)
    raise PlayerError(f"No program to play sound was found; install one of {known}")


class SpeechPlayer:
    """Plays speeches in a `with` block, which ends when the last one has been heard.

    An error or an interrupt stops the sound.

    Args:
        sample_rate_hz: to play at; speeches of another rate are converted.

    Raises:
        PlayerError: there is no player.
        AudioError: the rate is out of range.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        check_rate(sample_rate_hz)
        self._player = find_player()
        self._track = SpeechTimeline(sample_rate_hz)
        self._command = self._player.command(sample_rate_hz)
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_MOST_PIECES)
        self._failed = threading.Event()
        self._feeder = threading.Thread(target=self._feed, name="bark-onnx player", daemon=True)

    @property
    def seconds(self) -> float:
        """What was handed over so far."""
        return self._track.seconds

    def __enter__(self) -> Self:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(  # noqa: S603 (from the table above)
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
            )
        except OSError as error:
            self._complaints.close()
            raise PlayerError(
                f"{self._player.program}: cannot be started ({error.strerror})"
            ) from error
        self._feeder.start()
        return self

    def write(self, speech: Speech) -> None:
        """Have a speech played after those before it; returns at once unless many wait.

        Raises:
            PlayerError: the player has ended.
            AudioError: the speech has another sample rate than the one before.
        """
        self._put(pcm_bytes(self._track.add(speech)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._put(pcm_bytes(self._track.finish()))
                self._put(None)
                self._wait()
        finally:
            self._stop()

    def _stop(self) -> None:
        """End the program and the thread, if they have not ended by themselves."""
        self._process.kill()
        self._process.wait()
        with suppress(queue.Full):  # then the thread is writing, which fails now
            self._waiting.put_nowait(None)
        self._feeder.join()
        assert self._process.stdin is not None
        with suppress(OSError):  # what was not heard is lost
            self._process.stdin.close()
        self._complaints.close()

    def _put(self, data: bytes | None) -> None:
        while not self._failed.is_set():
            try:
                self._waiting.put(data, timeout=_LOOK_UP_SECONDS)
            except queue.Full:
                continue
            return
        raise self._failure()

    def _wait(self) -> None:
        """Until everything has been heard."""
        while True:
            try:
                status = self._process.wait(_LOOK_UP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            if status or self._failed.is_set():
                raise self._failure()
            return

    def _feed(self) -> None:
        """Hand over what waits; in a thread of its own, since the pipe takes it as it is heard."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            while (data := self._waiting.get()) is not None:
                pipe.write(data)
                pipe.flush()
            pipe.close()
        except OSError:
            self._failed.set()

    def _failure(self) -> PlayerError:
        status = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        reason = f": {lines[-1].strip()}" if lines else ""
        return PlayerError(f"{self._player.program} ended too soon, with status {status}{reason}")
