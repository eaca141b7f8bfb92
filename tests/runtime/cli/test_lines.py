"""bark-onnx speak --lines: a file per line, whether or not other lines fail."""

import errno
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import soundfile

from bark_onnx.graphs.errors import EngineError
from bark_onnx.runtime import Bark, Speech, SpeechFuture, SpeechWriter, StreamOptions
from bark_onnx.runtime.cli.options.stream import build_stream_options, line_concurrency
from bark_onnx.runtime.longform.window import SegmentTask
from bark_onnx.runtime.seeds import segment_seed
from tests.support.command import ENTRY_POINT, Run, assert_fails, output_of

SHORT = ("--semantic-max-new-tokens", 15)
LINES = "One, to begin with.\n\n  And the third line.  \r\n\u200b\nThe fifth.\n"


@pytest.fixture
def speak(run: Run, random_bundle: Path, tmp_path: Path) -> Run:
    """Runs `bark-onnx speak --lines` with a file and the random bundle."""
    (tmp_path / "lines.txt").write_bytes(LINES.encode())
    return lambda *arguments: run(
        *("speak", "-i", "lines.txt", "-m", random_bundle, "--lines", *SHORT, *arguments)
    )


@pytest.mark.parametrize(
    ("given", "has_lines", "lines", "segments"),
    [
        ({}, False, None, 8),
        ({"concurrency": 3}, False, None, 3),
        ({"history": "previous"}, False, None, 1),
        ({"history": "first"}, False, None, 8),
        ({}, True, 8, 1),
        ({"concurrency": 3}, True, 3, 1),
        ({"history": "previous", "concurrency": 3}, True, 3, 1),
    ],
)
def test_concurrency_applies_to_lines_or_to_segments(
    given: dict[str, Any], has_lines: bool, lines: int | None, segments: int
) -> None:
    values = {**asdict(StreamOptions()), "concurrency": None, **given}
    options = build_stream_options(values, has_lines=has_lines)
    assert options == StreamOptions(**{**values, "concurrency": segments})
    if has_lines:
        assert line_concurrency(values) == lines


def file_names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_folder_has_a_file_per_line_named_by_its_number(speak: Run, tmp_path: Path) -> None:
    status, out, err = speak("-o", "out/", "--seed", 3)
    assert status == 1  # line 4 has no tokens
    assert err == "bark-onnx: line 4: The text is empty; expected at least one word\n"
    shown = [line.split(": ")[0] for line in out.splitlines()]
    assert shown == ["out/001.wav", "out/003.wav", "out/005.wav"]
    assert file_names(tmp_path / "out") == ["001.wav", "003.wav", "005.wav"]


@pytest.mark.parametrize("concurrency", [1, 8])
def test_each_file_equals_a_single_run_with_the_seed_of_its_line(
    speak: Run, run: Run, random_bundle: Path, tmp_path: Path, concurrency: int
) -> None:
    voice = ("--voice", "v2/en_speaker_0")
    speak("-o", "line-{n}.flac", "--seed", 3, "--concurrency", concurrency, *voice)
    for number, text in ((1, "One, to begin with."), (3, "And the third line.")):
        seed = segment_seed(3, number - 1)
        arguments = ("-m", random_bundle, *SHORT, *voice, "--seed", seed, "-o", "alone.flac")
        output_of(run("speak", text, *arguments))
        alone = (tmp_path / "alone.flac").read_bytes()
        assert (tmp_path / f"line-{number}.flac").read_bytes() == alone


def test_json_has_an_object_per_line_without_errors(speak: Run) -> None:
    status, out, err = speak("-o", "{n:02}.ogg", "--seed", 3, "--json", "--sample-rate", 16_000)
    assert status == 1
    assert err.startswith("bark-onnx: line 4: ")
    found = [json.loads(line) for line in out.splitlines()]
    assert [each["line"] for each in found] == [1, 3, 5]
    assert [each["output"] for each in found] == ["01.ogg", "03.ogg", "05.ogg"]
    assert [each["seed"] for each in found] == [segment_seed(3, index) for index in (0, 2, 4)]
    for each in found:
        info = soundfile.info(each["output"])
        assert info.samplerate == each["sample_rate_hz"] == 16_000
        assert info.duration == pytest.approx(each["seconds"], abs=1e-3)


def test_format_of_a_folder_is_that_of_the_option_and_old_files_are_replaced(
    speak: Run, tmp_path: Path
) -> None:
    (tmp_path / "001.mp3").write_bytes(b"old")
    (tmp_path / "002.mp3").write_bytes(b"old")
    speak("-o", ".", "--format", "mp3")
    assert soundfile.info(tmp_path / "001.mp3").frames > 0
    assert (tmp_path / "002.mp3").read_bytes() == b"old"


def test_folder_that_cannot_be_created_is_one_line(
    speak: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert_fails(speak("-o", "out/"), 1, "out: cannot be created (No space left on device)")
    assert file_names(tmp_path) == ["lines.txt"]


def test_timestamps_have_a_file_per_line(speak: Run, tmp_path: Path) -> None:
    speak("-o", "{n}.wav", "--timestamps", "{n:03}.srt")
    assert "One, to begin with." in (tmp_path / "001.srt").read_text("utf-8")
    assert "The fifth." in (tmp_path / "005.srt").read_text("utf-8")
    assert not (tmp_path / "004.srt").exists()


def test_other_lines_are_written_when_one_fails_in_the_engine(
    speak: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = Bark.submit_segment

    def fail_once(self: Bark, task: SegmentTask, on_progress: Any) -> SpeechFuture:
        if "third" in task.segment.text:
            raise EngineError("it broke")
        return submit(self, task, on_progress)

    monkeypatch.setattr(Bark, "submit_segment", fail_once)
    status, out, err = speak("-o", "{n}.wav")
    assert status == 1
    assert "bark-onnx: line 3: it broke\n" in err
    assert len(out.splitlines()) == 2
    assert file_names(tmp_path) == ["1.wav", "5.wav", "lines.txt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--voice", "unknown"), ("unknown", "not found")),
        (("--attempts", 0), ("attempts is 0",)),
        (("--concurrency", 0), ("concurrency is 0", "from 1")),
        (("--semantic-max-new-tokens", 5000), ("5000", "context holds")),
        (("--seed", -1), ("seed is -1", "from 0")),
    ],
)
def test_error_of_every_line_is_printed_once(
    speak: Run, tmp_path: Path, arguments: tuple[object, ...], words: tuple[str, ...]
) -> None:
    status, out, err = speak("-o", "{n}.wav", *arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert all(word in err for word in words)
    assert file_names(tmp_path) == ["lines.txt"]


def test_interrupt_leaves_complete_files(random_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("Here is a line.\n" * 500)
    process = subprocess.Popen(
        [
            *(ENTRY_POINT, "speak", "-i", "lines.txt", "-m", random_bundle, "--lines"),
            *("-o", "out/", "--semantic-max-new-tokens", "15", "--concurrency", "3"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not (tmp_path / "out" / "004.wav").is_file():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    files = sorted((tmp_path / "out").iterdir())
    assert 4 <= len(files) < 500
    assert all(path.suffix == ".wav" for path in files)
    assert len({soundfile.info(path).frames > 0 for path in files}) == 1
    assert err.startswith("bark-onnx: interrupted; ")
    assert err.endswith(" of 500 files are written\n")
    assert err.count("\n") == 1
    assert len(out.splitlines()) <= len(files)


def test_interrupt_while_a_file_is_written_leaves_it_complete(
    speak: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SpeechWriter.write

    def interrupt(self: SpeechWriter, speech: Speech) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        write(self, speech)

    monkeypatch.setattr(SpeechWriter, "write", interrupt)
    status, out, err = speak("-o", "{n}.wav", "--timestamps", "{n}.srt", "--concurrency", 1)
    assert (status, out, err) == (130, "", "bark-onnx: interrupted; 1 of 4 files are written\n")
    assert file_names(tmp_path) == ["1.srt", "1.wav", "lines.txt"]
    assert soundfile.info(tmp_path / "1.wav").frames > 0
