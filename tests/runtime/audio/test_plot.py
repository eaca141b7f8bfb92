"""Pictures of speech."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bark_onnx.graphs.installation import install_command
from bark_onnx.runtime import AudioError, Speech
from bark_onnx.runtime.audio.plot import save_plot
from tests.support.command import Run, assert_fails, output_of
from tests.support.messages import assert_one_line
from tests.support.provenance import PROVENANCE

RATE = 24_000
SHORT = ("--semantic-max-new-tokens", 10, "--seed", 1)
NAMES = (
    "Grüße",
    "नमस्ते",
    "こんにちは",
    "Привет",
    "$5, or $6_a^2",
    "\x1b[0m ♪ \u2028",
    "$\\frac{" * 100,
)


def speech(seconds: float, start_seconds: float = 0.0, pitch_hz: float = 440) -> Speech:
    tokens = np.zeros((8, 8), np.int64)
    times = np.arange(round(seconds * RATE)) / RATE
    samples = (0.5 * np.sin(2 * np.pi * pitch_hz * times)).astype(np.float32)
    return Speech(samples, RATE, tokens[0], tokens[:2], tokens, "Hi", "me", 0, start_seconds)


def many(count: int) -> list[Speech]:
    return [speech(0.2, 0.3 * i, 200 + 20 * i) for i in range(count)]


# The picture


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_speech_gives_the_same_picture(tmp_path: Path, suffix: str) -> None:
    for name in "ab":
        save_plot(tmp_path / f"{name}.{suffix}", many(3))
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    save_plot(tmp_path / f"c.{suffix}", many(4))
    assert first == second
    assert first != (tmp_path / f"c.{suffix}").read_bytes()
    assert first[:4] in (b"\x89PNG", b"%PDF", b"<?xm")
    assert len(list(tmp_path.iterdir())) == 3


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def brightest_row(path: Path) -> int:
    """Row of the brightest line in the lower half of the picture, which is the spectrogram."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    middle = pixels[height // 2 : int(height * 0.92), width // 4 : width // 2].sum(axis=2)
    return int(middle.mean(axis=1).argmax())


def test_a_high_tone_is_drawn_above_a_low_one(tmp_path: Path) -> None:
    save_plot(tmp_path / "low.png", [speech(1, pitch_hz=500)])
    save_plot(tmp_path / "high.png", [speech(1, pitch_hz=4000)])
    assert brightest_row(tmp_path / "high.png") < brightest_row(tmp_path / "low.png") - 50


def texts_of(speeches: list[Speech], monkeypatch: pytest.MonkeyPatch, path: Path) -> list[str]:
    """The heading, and the texts above the waveform."""
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    found: list[str] = []

    def noting(draw: Any) -> Any:
        def note(parent: Any, text: str, *args: Any, **kwargs: Any) -> Any:
            found.append(text)
            return draw(parent, text, *args, **kwargs)

        return note

    with monkeypatch.context() as patch:
        patch.setattr(Axes, "annotate", noting(Axes.annotate))
        patch.setattr(Figure, "suptitle", noting(Figure.suptitle))
        save_plot(path, speeches)
    return found


def test_samples_that_the_file_clips_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.axes import Axes

    marked: list[tuple[int, float]] = []

    def note(_: Axes, times: Any, levels: Any, *__: Any, **___: Any) -> None:
        marked.append((len(times), float(levels.sum())))

    loud = dataclasses.replace(speech(0.1), samples=np.array([0, 2, 0.5, -3, -1.5], np.float32))
    with monkeypatch.context() as patch:
        patch.setattr(Axes, "plot", note)
        save_plot(tmp_path / "a.png", [loud])
    assert marked == [(1, 1.0), (2, -2.0)]


def test_segments_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    assert texts_of(many(1), monkeypatch, path) == ["0.2 s, voice me"]
    heading, *numbers = texts_of(many(6), monkeypatch, path)
    assert heading == "1.7 s, 6 segments, voice me"
    assert numbers == ["1", "2", "3", "4", "5", "6"]


def test_characters_without_a_glyph_leave_a_mark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    speeches = [dataclasses.replace(each, voice_name="grüße नमस्ते.npz") for each in many(1)]
    heading, *_ = texts_of(speeches, monkeypatch, tmp_path / "a.png")
    assert heading.endswith("voice grüße ….npz")


def test_the_heading_has_the_seed_and_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    known = [dataclasses.replace(each, provenance=PROVENANCE) for each in many(2)]
    assert texts_of(known, monkeypatch, path)[0] == (
        f"0.5 s, 2 segments, voice me, seed {2**63}, suno/bark-small in int8"
    )
    dialogue = [dataclasses.replace(each, speaker="Anna") for each in many(2)]
    assert texts_of(dialogue, monkeypatch, path)[0] == "0.5 s, 2 segments"


def test_a_hundred_segments_have_room_for_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, *numbers = texts_of(many(100), monkeypatch, tmp_path / "a.png")
    assert numbers == [str(number) for number in range(1, 101, 3)]


@pytest.mark.filterwarnings("error")
def test_any_name_and_length_can_be_drawn(tmp_path: Path) -> None:
    silent = dataclasses.replace(speech(0.1), samples=np.zeros(2400, np.float32))
    named = [dataclasses.replace(speech(0.1), voice_name=name) for name in NAMES]
    for number, each in enumerate([speech(0), silent, *named]):
        save_plot(tmp_path / f"{number}.png", [each])
        assert size_of(tmp_path / f"{number}.png") == (1440, 720)


# The command


def test_the_command_draws_its_speech(run: Run, random_bundle: Path, tmp_path: Path) -> None:
    options = ("-m", random_bundle, "--max-seconds", 2, *SHORT)
    output_of(run("speak", "One is here. Two is there.", *options, "--plot", "a.png"))
    assert size_of(tmp_path / "a.png") == (1440, 720)
    assert (tmp_path / "speech.wav").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--plot", "a.gif"), ("'.gif'", "unknown", ".png, .svg, .pdf")),
        (("--plot", "nowhere/a.png"), ("nowhere", "no such folder")),
        (("--plot", "a.png", "--lines", "-o", "out/"), ("--lines", "--plot", "exclude")),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_refused_before_generation(
    run: Run, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_fails(run("speak", "Hello", "-m", "nowhere-else", *arguments), 1, *words)


def test_a_missing_extra_is_one_line_before_generation(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("speak", "Hello", "-m", "nowhere", "--plot", "a.png")
    assert_fails(result, 1, "matplotlib is not installed", install_command("plot"))


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(AudioError) as caught:
        save_plot(tmp_path / "a.png", many(1))
    assert_one_line(caught.value, "a.png", "cannot be written", "No space left on device")
    assert list(tmp_path.iterdir()) == []
