"""bark-onnx speak in pipes and scripts: standard output, formats, rates, JSON, input."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from bark_onnx.runtime import Bark
from bark_onnx.runtime.seeds import segment_seed
from tests.support.command import ENTRY_POINT, Run, assert_fails, output_of, run_installed

RATE = 24_000
SETTINGS = ("--seed", 3, "--semantic-max-new-tokens", 15)
TEXT = "Here is the first sentence of it. Then there is another one, somewhat longer."


class Stdout(io.TextIOWrapper):
    """Standard output that records bytes."""

    def __init__(self, *, is_terminal: bool = False) -> None:
        self.bytes = io.BytesIO()
        self._is_terminal = is_terminal
        super().__init__(self.bytes, encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture
def speak(run: Run, random_bundle: Path) -> Run:
    """Runs `bark-onnx speak` with the random bundle and a fixed seed."""
    return lambda *arguments, **settings: run(
        *("speak", *arguments, "-m", random_bundle, *SETTINGS), **settings
    )


def piped(speak: Run, *arguments: object) -> tuple[bytes, str]:
    """Standard output and standard error of a command that succeeds."""
    stdout = Stdout()
    with pytest.MonkeyPatch.context() as patch:  # in the test itself: pytest replaces it before
        patch.setattr(sys, "stdout", stdout)
        status, _, err = speak(*arguments, "-o", "-")
    assert status == 0, err
    return stdout.bytes.getvalue(), err


def decoded_seconds(data: bytes) -> float:
    with av.open(io.BytesIO(data)) as file:
        (track,) = file.streams.audio
        return sum(frame.samples for frame in file.decode(audio=0)) / track.rate


# Standard output


def test_standard_output_has_the_sound_and_standard_error_the_summary(
    random_bundle: Path, tmp_path: Path
) -> None:
    command = [ENTRY_POINT, "speak", TEXT, "-m", random_bundle, *map(str, SETTINGS)]
    done = subprocess.run([*command, "-o", "-"], capture_output=True, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.decode().startswith("standard output: ")
    assert done.stderr.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []
    subprocess.run(
        [*command, "-o", tmp_path / "a.wav", "--no-metadata"], check=True, capture_output=True
    )
    file = (tmp_path / "a.wav").read_bytes()
    assert len(done.stdout) == len(file)
    assert done.stdout[44:] == file[44:]
    assert done.stdout[4:8] == done.stdout[40:44] == b"\xff\xff\xff\xff"


def test_closed_pipe_ends_the_command_without_an_error(random_bundle: Path) -> None:
    process = subprocess.Popen(
        [
            *(ENTRY_POINT, "speak", TEXT * 50, "-m", random_bundle, "-o", "-"),
            *map(str, SETTINGS),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(4) == b"RIFF"
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("name", ["wav", "flac", "ogg", "mp3", "opus"])
def test_standard_output_supports_every_format(speak: Run, name: str) -> None:
    sound, err = piped(speak, TEXT, "--format", name)
    seconds = float(err.split(": ")[1].split(" s of")[0])
    assert decoded_seconds(sound) == pytest.approx(seconds, abs=0.15)


def test_raw_output_has_no_header(speak: Run, tmp_path: Path) -> None:
    sound, _ = piped(speak, "Hello", "--raw")
    for arguments in (("-o", "a.pcm", "--raw"), ("-o", "a.wav", "--no-metadata")):
        output_of(speak("Hello", *arguments))
    assert len(sound) > 1000
    assert (tmp_path / "a.pcm").read_bytes() == sound
    assert (tmp_path / "a.wav").read_bytes()[44:] == sound


def test_terminal_as_output_is_refused(speak: Run) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", Stdout(is_terminal=True))
        result = speak("Hello", "-o", "-")
    assert_fails(result, 1, "is a terminal", "-o speech.wav", "--play")


def test_closed_standard_output_is_one_line(speak: Run) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        result = speak("Hello", "-o", "-")
    assert_fails(result, 1, "Standard output is closed")


def test_closed_standard_input_is_one_line(random_bundle: Path) -> None:
    command = f"{ENTRY_POINT} speak - -m {random_bundle} <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert_fails(
        (done.returncode, done.stdout, done.stderr), 1, "Standard input is closed", "--input"
    )


# Formats and rates


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("a.opus", (), ("OGG", "OPUS", 24_000)),
        ("a.ogg", (), ("OGG", "VORBIS", 24_000)),
        ("a.opus", ("--sample-rate", 48_000), ("OGG", "OPUS", 48_000)),
        ("a.wav", ("--sample-rate", 8_000), ("WAV", "PCM_16", 8_000)),
        ("a.flac", ("--sample-rate", 44_100), ("FLAC", "PCM_16", 44_100)),
        ("a.data", ("--format", "flac"), ("FLAC", "PCM_16", 24_000)),
        ("a.wav", ("--format", "wav"), ("WAV", "PCM_16", 24_000)),
    ],
)
def test_format_and_rate_of_the_file_are_those_of_the_options(
    speak: Run, name: str, arguments: tuple[object, ...], expected: tuple[object, ...]
) -> None:
    out = output_of(speak(TEXT, "-o", name, *arguments))
    info = soundfile.info(name)
    assert (info.format, info.subtype, info.samplerate) == expected
    assert info.duration == pytest.approx(float(out.split(": ")[1].split(" s of")[0]), abs=0.01)


def test_default_file_name_has_the_suffix_of_the_format(speak: Run, tmp_path: Path) -> None:
    assert output_of(speak("Hello", "--format", "flac")).startswith("speech.flac: ")
    assert soundfile.info(tmp_path / "speech.flac").format == "FLAC"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("-o", "a.wav", "--format", "mp3"), 1, ("suffix means wav", "format is mp3")),
        (("-o", "a.wav", "--raw"), 1, ("suffix means wav", "format is raw")),
        (("-o", "-", "--format", "aac"), 2, ("--format", "'aac'", "'opus'")),
        (("-o", "-", "--format", "opus", "--sample-rate", 44_100), 1, ("opus", "44100", "24000")),
        (("-o", "a.mp3", "--sample-rate", 96_000), 1, ("mp3", "96000", "48000")),
        (("--sample-rate", 7_000), 1, ("--sample-rate is 7000", "8000 to 192000")),
        (("--sample-rate", "cd"), 2, ("--sample-rate", "'cd'")),
        (("-o", "-", "--lines"), 1, ("--lines", "-o out/", "{n:03}")),
        (("--lines",), 1, ("--lines", "-o out/", "{n:03}")),
        (("--lines", "-o", "a.wav"), 1, ("--lines", "a.wav", "-o out/", "{n:03}")),
        (("--lines", "-o", "a/b/"), 1, ("no such folder",)),
        (("--lines", "-o", "a/{n}.wav"), 1, ("a: no such folder",)),
        (("--lines", "-o", "text.txt/"), 1, ("text.txt is a file", "expected a folder")),
        (("--lines", "-o", "{n}.m4a"), 1, ("'.m4a'", "unknown")),
        (("--lines", "-o", "{n}.wav", "--format", "mp3"), 1, ("suffix means wav",)),
        (("--lines", "-o", "{n}.opus", "--sample-rate", 44_100), 1, ("opus", "44100")),
        (("--lines", "-o", "{n}.wav", "--timestamps", "a.srt"), 1, ("a.srt", "pattern")),
        (("--lines", "-o", "{n}.wav", "--timestamps", "{n}.txt"), 1, ("'.txt'", ".srt")),
        (("--lines", "-o", "{n}.wav", "--speaker", "A=x"), 1, ("--lines and --speaker",)),
        (("--lines", "-o", "{n}.wav", "--play"), 1, ("--lines and --play",)),
        (("--lines", "-o", "{n}.wav", "--concurrency", 0), 1, ("concurrency is 0", "from 1")),
        (("--history", "previous", "--concurrency", 2), 1, ("concurrency is 2", "expected 1")),
        (("--silence-seconds", 0.1, "--crossfade-seconds", 0.1), 1, ("only one of them",)),
        (("--attempts", 0), 1, ("attempts is 0", "from 1")),
        (("--seed", -1), 1, ("seed is -1", "from 0")),
    ],
)
def test_impossible_options_are_refused_before_the_model_loads(
    run: Run,
    player: Path,
    tmp_path: Path,
    arguments: tuple[object, ...],
    status: int,
    words: tuple[str, ...],
) -> None:
    (tmp_path / "text.txt").write_text("Hello")
    # A bundle that does not exist: loading it would be another error.
    assert_fails(run("speak", "-i", "text.txt", "-m", "nowhere", *arguments), status, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_format_that_libsndfile_lacks_is_refused_before_the_model_loads(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundfile, "check_format", lambda container, encoding: False)
    assert_fails(run("speak", "Hi", "-m", "nowhere", "-o", "a.mp3"), 1, "mp3", "cannot write it")


# JSON

KEYS = [
    *("output", "replaced", "seconds", "sample_rate_hz", "seed", "voice", "segments", "timings"),
    *("real_time_factor", "precision", "provider"),
]


def check_object(found: dict[str, Any]) -> None:
    assert [key for key in found if key != "line"] == KEYS
    assert found["seconds"] == pytest.approx(found["segments"][-1]["end"])
    assert set(found["timings"]) == {"loading", "speaking"}
    assert all(seconds >= 0 for seconds in found["timings"].values())
    assert found["real_time_factor"] > 0
    assert (found["precision"], found["provider"]) == ("fp32", "cpu")


def test_standard_output_has_only_json(speak: Run, random_bark: Bark) -> None:
    out = output_of(
        speak(TEXT, "--json", "-o", "a.flac", "--voice", "v2/en_speaker_0", "--max-seconds", 4)
    )
    assert out.count("\n") == 1
    found = json.loads(out)
    check_object(found)
    assert (found["output"], found["voice"]) == ("a.flac", "v2/en_speaker_0")
    assert (found["sample_rate_hz"], found["seed"]) == (RATE, 3)
    assert found["seconds"] == pytest.approx(soundfile.info("a.flac").duration, abs=1e-5)
    assert " ".join(segment["text"] for segment in found["segments"]) == TEXT
    seeds = [segment["seed"] for segment in found["segments"]]
    assert seeds == [segment_seed(3, index) for index in range(len(seeds))]
    assert len(seeds) > 1


def test_json_is_on_standard_error_when_standard_output_has_the_sound(speak: Run) -> None:
    sound, err = piped(speak, "Hello", "--json", "--sample-rate", 8_000)
    found = json.loads(err)
    check_object(found)
    assert (found["output"], found["sample_rate_hz"]) == ("-", 8_000)
    assert sound.startswith(b"RIFF")


# Input


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbfHello.\r\nAnd bye.\r\n", b"Hello.\nAnd bye.\n"], ids=["windows", "unix"]
)
@pytest.mark.parametrize("source", ["-", ("-i", "-"), ("-i", "a.txt")])
def test_byte_order_mark_and_windows_line_ends_are_ignored(
    speak: Run, tmp_path: Path, data: bytes, source: Any
) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    arguments = source if isinstance(source, tuple) else (source,)
    found = json.loads(output_of(speak(*arguments, "--json", stdin=data)))
    assert found["segments"][0]["text"] == "Hello.\nAnd bye.\n"


@pytest.mark.parametrize("data", [b"", b" \r\n\n", b"\xef\xbb\xbf"])
def test_empty_file_is_refused_before_the_model_loads(
    run: Run, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert_fails(run("speak", "-i", "a.txt", "-m", "nowhere"), 1, "a.txt: the text is empty")
    assert_fails(
        run("speak", "-", "-m", "nowhere", stdin=data), 1, "standard input: the text is empty"
    )


def test_two_inputs_are_refused(run: Run) -> None:
    assert_fails(run("speak", "-", "-i", "-", "-m", "nowhere"), 1, "both a text and --input")


def test_installed_command_pipes_raw_sound(random_bundle: Path) -> None:
    shell = f'printf "Hello" | {ENTRY_POINT} speak - -m {random_bundle} -o - --raw | wc -c'
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
    assert done.returncode == 0
    assert int(done.stdout) > 1000
    assert int(done.stdout) % 2 == 0
    assert done.stderr.startswith("standard output: ")


def test_installed_command_writes_lines(random_bundle: Path, tmp_path: Path) -> None:
    result = run_installed(
        *("speak", "-", "-m", random_bundle, "--lines", "-o", f"{tmp_path}/", *SETTINGS),
        stdin=b"One.\nTwo.\n",
    )
    assert len(output_of(result).splitlines()) == 2
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["001.wav", "002.wav"]
    assert np.ptp(soundfile.read(tmp_path / "002.wav")[0]) > 0
