"""SpeechWriter: sound files to which speech is appended."""

import dataclasses
import errno
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from bark_onnx.runtime import AudioError, Speech, SpeechWriter
from tests.support.messages import assert_one_line
from tests.support.provenance import PROVENANCE

RATE = 24_000
FORMATS = ["wav", "flac", "ogg", "mp3", "opus"]


def speech(seconds: float, start_seconds: float = 0.0, level: float = 0.5) -> Speech:
    tokens = np.zeros((8, 8), np.int64)
    samples = level * np.sin(np.arange(round(seconds * RATE)) / 20)
    return Speech(
        samples.astype(np.float32),
        RATE,
        tokens[0],
        tokens[:2],
        tokens,
        "Hello",
        "",
        0,
        start_seconds,
    )


def write_until(path: Path, second: Callable[[], Any]) -> None:
    """Write one second, then the speech that `second` returns; an exception is raised."""
    with SpeechWriter(path, RATE) as file:
        file.write(speech(1))
        found = second()
        if isinstance(found, BaseException):
            raise found
        file.write(found)


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_speech_gives_the_bytes_of_its_own_file(tmp_path: Path, suffix: str) -> None:
    single = speech(2)
    single.save(tmp_path / f"a.{suffix}")
    with SpeechWriter(tmp_path / f"b.{suffix}", RATE) as file:
        file.write(single)
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert first == second
    assert len(list(tmp_path.iterdir())) == 2


def test_speeches_are_placed_at_their_start_after_silence(tmp_path: Path) -> None:
    one, two = speech(1), speech(0.5, 1.25)
    with SpeechWriter(tmp_path / "a.wav", RATE) as file:
        file.write(one)
        assert file.seconds == 1
        file.write(two)
        assert file.seconds == 1.75
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    expected = np.concatenate([one.samples, np.zeros(RATE // 4), two.samples])
    assert rate == RATE
    np.testing.assert_allclose(samples, expected, atol=1e-4)


def test_speeches_without_a_start_follow_each_other(tmp_path: Path) -> None:
    with SpeechWriter(tmp_path / "a.wav", RATE) as file:
        file.write(speech(1))
        file.write(speech(1))
    assert soundfile.info(tmp_path / "a.wav").frames == 2 * RATE


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_speech_written_before_an_interrupt_can_be_played(
    tmp_path: Path, suffix: str, error: type[BaseException]
) -> None:
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(error):
        write_until(path, error)
    samples, _ = soundfile.read(path)
    assert RATE <= len(samples) < 1.2 * RATE
    assert samples.std() > 0.1
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_an_interrupt_before_the_first_speech_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), SpeechWriter(tmp_path / "a.wav", RATE):
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.wav": b"old"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_empty_speech_is_a_readable_file_or_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix in ("wav", "ogg"):
        with SpeechWriter(path, RATE) as file:
            file.write(speech(0))
        assert soundfile.info(path).frames == 0
        return
    with pytest.raises(AudioError) as caught, SpeechWriter(path, RATE) as file:
        file.write(speech(0))
    assert_one_line(caught.value, path.name, "no audio was generated", "wav, ogg or raw")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.m4a", ("'.m4a'", "unknown")), ("nowhere/a.wav", ("nowhere", "no such folder"))],
)
def test_a_path_is_checked_before_the_block(
    tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(AudioError) as caught:
        SpeechWriter(tmp_path / name, RATE)
    assert_one_line(caught.value, *words)


def test_a_full_disk_is_one_line_and_keeps_earlier_speech(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill_disk() -> Speech:
        monkeypatch.setattr(soundfile.SoundFile, "write", full)
        return speech(1)

    with pytest.raises(AudioError) as caught:
        write_until(tmp_path / "a.wav", fill_disk)
    assert_one_line(caught.value, "a.wav", "cannot be written", "No space left on device")
    assert soundfile.info(tmp_path / "a.wav").frames == RATE


LIMITED = """
import resource, sys
import numpy as np
from tests.runtime.audio.files.test_writer import RATE, SpeechWriter, speech, with_provenance

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
with SpeechWriter(sys.argv[1], RATE) as file:
    for start in range(1000):
        file.write(with_provenance(speech(1, start)))
"""


def stderr_of_limited(path: Path, limit: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path, str(limit)], capture_output=True, text=True
    )
    return done.stderr.strip().splitlines()


def with_provenance(single: Speech) -> Speech:
    return dataclasses.replace(single, provenance=PROVENANCE)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("limit", [100_000, 100_100, 101_001])
def test_limit_of_the_system_keeps_earlier_speech_and_names_the_reason(
    tmp_path: Path, suffix: str, limit: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    error = stderr_of_limited(path, limit)[-1]
    found = re.search(
        r"a\.\w+: cannot be written \(File too large\); it has the first ([\d.]+) s", error
    )
    assert found, error
    samples, _ = soundfile.read(path)
    assert len(samples) / RATE == pytest.approx(float(found[1]), abs=0.01)
    assert len(samples) > 2 * RATE
    assert np.abs(samples[: RATE // 2]).max() > 0.3
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("suffix", "limit"), [("wav", 20_044), ("flac", 20_000)])
def test_first_speech_that_does_not_fit_is_kept_in_part(
    tmp_path: Path, suffix: str, limit: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    error = stderr_of_limited(path, limit)[-1]
    found = re.search(r"cannot be written \(File too large\); it has the first ([\d.]+) s", error)
    assert found, error
    samples, _ = soundfile.read(path)
    assert len(samples) / RATE == pytest.approx(float(found[1]), abs=0.01)
    assert len(samples) >= 8192
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", FORMATS)
def test_old_file_is_kept_where_the_first_speech_does_not_fit(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    error = stderr_of_limited(path, 1000)[-1]
    assert error.endswith(f"a.{suffix}: cannot be written (File too large)")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_length_of_an_mp3_that_is_cut_off_is_corrected(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    assert stderr_of_limited(path, 100_000)[0].startswith("Traceback")  # and nothing of libmpg123
    with soundfile.SoundFile(path) as sound:
        assert sound.frames == len(sound.read())


def test_last_words_that_do_not_fit_are_cut_off(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("bark_onnx.runtime.audio.files.atomic_sound_file.add_tags", full)
    with pytest.raises(AudioError) as caught, SpeechWriter(tmp_path / "a.wav", RATE) as file:
        file.write(speech(1))
    assert_one_line(caught.value, "No space left on device", "it has the first 1.00 s")
    assert file.is_written
    assert soundfile.info(tmp_path / "a.wav").frames == RATE


@pytest.mark.parametrize("suffix", FORMATS)
def test_named_pipe_receives_the_sound_as_it_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    os.mkfifo(path)
    with ThreadPoolExecutor() as pool:
        received = pool.submit(path.read_bytes)
        with SpeechWriter(path, RATE) as file:
            file.write(with_provenance(speech(1)))
            file.write(speech(1, 1))
    assert path.is_fifo()
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    with av.open(io.BytesIO(received.result())) as sound:
        seconds = sum(frame.samples / frame.sample_rate for frame in sound.decode(audio=0))
    assert seconds == pytest.approx(2, abs=0.1)


def test_reader_that_leaves_a_pipe_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def leave() -> Speech:
        os.close(reader)
        return speech(1)

    with pytest.raises(AudioError) as caught:
        write_until(path, leave)
    assert_one_line(caught.value, "a.wav: cannot be written (Broken pipe)")


def test_device_stays_a_device() -> None:
    with SpeechWriter(os.devnull, RATE, audio_format="wav") as file:
        file.write(speech(1))
    speech(1).resample(8000)
    assert not Path(os.devnull).is_file()
    with (
        pytest.raises(AudioError) as caught,
        SpeechWriter("/dev/full", RATE, audio_format="wav") as file,
    ):
        file.write(speech(1))
    assert_one_line(caught.value, "/dev/full: cannot be written (No space left on device)")


@pytest.mark.parametrize("suffix", FORMATS)
def test_two_writers_of_one_file_leave_one_whole_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    alone = tmp_path / f"alone.{suffix}"
    speech(3, level=0.9).save(alone)
    with SpeechWriter(path, RATE) as first, SpeechWriter(path, RATE) as second:
        second.write(speech(1, level=0.1))
        first.write(speech(3, level=0.9))
    assert path.read_bytes() == alone.read_bytes()  # the first block ends last


def test_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"old")
    (tmp_path / "link.wav").symlink_to("a.wav")
    speech(1).save(tmp_path / "link.wav")
    assert (tmp_path / "link.wav").is_symlink()
    assert soundfile.info(tmp_path / "a.wav").frames == RATE


def test_write_protected_file_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"old")
    (tmp_path / "a.wav").chmod(0o444)
    with pytest.raises(AudioError) as caught:
        SpeechWriter(tmp_path / "a.wav", RATE)
    assert_one_line(caught.value, "a.wav is write-protected", "another name")
    assert (tmp_path / "a.wav").read_bytes() == b"old"


def test_writing_outside_of_the_block_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AudioError) as caught:
        SpeechWriter(tmp_path / "a.wav", RATE).write(speech(1))
    assert_one_line(caught.value, "a.wav is not open", "with block")


@pytest.mark.parametrize("rate", ["x", 0, 24_000.0, None])
def test_rate_is_checked_before_the_block(tmp_path: Path, rate: Any) -> None:
    with pytest.raises(AudioError) as caught:
        SpeechWriter(tmp_path / "a.wav", rate)
    assert_one_line(caught.value, "sample_rate_hz is", "expected an integer from 8000")


def test_folder_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(AudioError) as caught:
        SpeechWriter(tmp_path, RATE)
    assert_one_line(caught.value, "is a folder; expected the name of a file")
