"""bark-onnx speak reads long texts: every option of it, through the real command line."""

import json
import os
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark_onnx.runtime import Bark, GenerationOptions
from tests.support.command import ENTRY_POINT, Run, failed, worked

RATE = 24_000
VOICE = ("--voice", "v2/en_speaker_0")
SHORT = ("--semantic-max-new-tokens", 15)
ARTICLE = (
    "Here is the first sentence of it. Then there is another one, somewhat longer. "
    "What about a third? It comes now! And a fourth one, to be sure. The end is near."
)


@pytest.fixture
def article(run: Run, tmp_path: Path, demo_bundle: Path) -> Path:
    """A text of several pieces, in the working folder of `run`."""
    path = tmp_path / "article.txt"
    path.write_text(ARTICLE, encoding="utf-8")
    return path


def read(run: Run, bundle: Path, name: str, *arguments: object) -> np.ndarray:
    """What a command with a fixed seed writes to a file."""
    out = run(
        *("speak", "-i", "article.txt", "-m", bundle, "-o", name, "--seed", 3),
        *(*SHORT, *arguments),
    )
    worked(out)
    samples, rate = soundfile.read(name, dtype="float32")
    assert rate == RATE
    return samples


def pieces_of(path: str) -> list[dict[str, Any]]:
    return json.loads(Path(path).read_text("utf-8"))["pieces"]


def test_a_long_text_is_said_to_its_end(run: Run, article: Path, demo_bundle: Path) -> None:
    out = worked(run("speak", "-i", article, "-m", demo_bundle, *SHORT, "--timestamps", "a.json"))
    pieces = pieces_of("a.json")
    assert f", {len(pieces)} pieces (loading took" in out
    assert out.count("\n") == 1
    assert " ".join(piece["text"] for piece in pieces) == ARTICLE
    assert all(set(piece) == {"text", "start", "end"} for piece in pieces)
    assert soundfile.info("speech.wav").duration == pytest.approx(pieces[-1]["end"], abs=1e-3)


def test_a_short_text_is_what_speak_says(run: Run, demo: Bark, demo_bundle: Path) -> None:
    worked(run("speak", "Hello!", "-m", demo_bundle, "-o", "a.wav", "--seed", 3, *SHORT))
    demo.speak("Hello!", seed=3, semantic_max_new_tokens=15).save("b.wav")
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


@pytest.mark.parametrize("suffix", ["wav", "ogg"])
def test_the_same_command_writes_the_same_bytes(
    run: Run, article: Path, demo_bundle: Path, suffix: str
) -> None:
    for name in ("a", "b"):
        read(run, demo_bundle, f"{name}.{suffix}", *VOICE)
    assert Path(f"a.{suffix}").read_bytes() == Path(f"b.{suffix}").read_bytes()


def test_together_changes_no_byte(run: Run, article: Path, demo_bundle: Path) -> None:
    for together in (1, 3):
        read(run, demo_bundle, f"{together}.wav", *VOICE, "--together", together)
    assert len({Path(f"{together}.wav").read_bytes() for together in (1, 3)}) == 1


def test_silence_stands_between_pieces(run: Run, article: Path, demo_bundle: Path) -> None:
    for seconds, arguments in ((0.25, ()), (1.0, ("--silence", 1))):
        samples = read(run, demo_bundle, "a.wav", "--timestamps", "a.json", *arguments)
        pieces = pieces_of("a.json")
        assert len(pieces) > 3
        for before, after in pairwise(pieces):
            assert after["start"] - before["end"] == pytest.approx(seconds, abs=1e-5)
            gap = samples[round(before["end"] * RATE) : round(after["start"] * RATE)]
            assert not gap.any()


def test_pieces_may_overlap(run: Run, article: Path, demo_bundle: Path) -> None:
    apart = read(run, demo_bundle, "a.wav", "--silence", 0, "--timestamps", "a.json")
    blended = read(run, demo_bundle, "b.wav", "--crossfade", 0.05, "--timestamps", "b.json")
    count = len(pieces_of("a.json"))
    assert len(pieces_of("b.json")) == count
    assert len(apart) - len(blended) == (count - 1) * round(0.05 * RATE)
    same = round(pieces_of("b.json")[0]["end"] * RATE)
    np.testing.assert_array_equal(blended[:same], apart[:same])


def test_continuity_goes_on_from_the_previous_piece(
    run: Run, article: Path, demo_bundle: Path
) -> None:
    voice = read(run, demo_bundle, "a.wav", *VOICE, "--timestamps", "a.json")
    previous = read(run, demo_bundle, "b.wav", *VOICE, "--continuity", "previous")
    same = round(pieces_of("a.json")[0]["end"] * RATE)
    np.testing.assert_array_equal(previous[:same], voice[:same])
    assert not np.array_equal(previous, voice)


def test_pieces_can_be_shorter(run: Run, article: Path, demo_bundle: Path) -> None:
    counts = []
    for arguments in ((), ("--max-seconds", 5)):
        read(run, demo_bundle, "a.wav", "--timestamps", "a.json", *arguments)
        counts.append(len(pieces_of("a.json")))
    assert counts[1] > counts[0]


def test_the_language_decides_where_sentences_end(
    run: Run, article: Path, demo_bundle: Path
) -> None:
    article.write_text("Alle kamen am 3. Oktober und blieben bis zum Ende des Jahres.")
    first = {}
    for language in ("de", "en"):
        read(run, demo_bundle, "a.wav", "--timestamps", "a.json", "--language", language)
        first[language] = pieces_of("a.json")[0]["text"]
    assert first["en"] == "Alle kamen am 3."
    assert first["de"].startswith("Alle kamen am 3. Oktober")


@pytest.mark.parametrize(
    ("suffix", "words"),
    [("srt", ("1\n00:00:00,000 --> ", "Anna: Hello!")), ("vtt", ("WEBVTT", "<v Anna>Hello!"))],
)
def test_a_dialogue_has_subtitles_with_names(
    run: Run, article: Path, demo_bundle: Path, suffix: str, words: tuple[str, ...]
) -> None:
    article.write_text("Anna: Hello!\nBen: Good evening.\nAnna: Bye.")
    cast = ("--cast", "Anna=v2/en_speaker_0", "--cast", "Ben=v2/en_speaker_0")
    read(run, demo_bundle, "a.wav", *cast, "--timestamps", f"a.{suffix}")
    text = Path(f"a.{suffix}").read_text("utf-8")
    for word in words:
        assert word in text
    assert text.count(" --> ") == 3


def test_each_speaker_has_the_voice_of_the_cast(
    run: Run, article: Path, demo: Bark, demo_bundle: Path
) -> None:
    demo.speak("x", seed=1, semantic_max_new_tokens=15).to_voice().save("ben.npz")
    article.write_text("Ben: Good evening.")
    spoken = demo.speak("Good evening.", voice="ben.npz", seed=3, semantic_max_new_tokens=15)
    found = read(run, demo_bundle, "a.wav", "--cast", "Ben=ben.npz")
    np.testing.assert_allclose(found, spoken.samples.clip(-1, 1), atol=1e-4)


def test_takes_are_tried_until_one_passes(run: Run, article: Path, demo_bundle: Path) -> None:
    # The demo's noise is neither silent nor too long.
    once = read(run, demo_bundle, "a.wav")
    np.testing.assert_array_equal(read(run, demo_bundle, "b.wav", "--takes", 3), once)


def test_takes_that_all_fail_are_told_in_one_line_each(demo_bundle: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(ENTRY_POINT, "speak", "Hi", "-m", demo_bundle, "-o", tmp_path / "a.wav"),
            *("--takes", "2", "--seed", "3", "--semantic-max-new-tokens", "400"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("bark-onnx: warning: piece 1: none of 2 takes passes")
    assert "too long for its text" in done.stderr
    assert done.stderr.count("\n") == 1


def test_silence_is_trimmed_where_asked(run: Run, article: Path, demo_bundle: Path) -> None:
    whole = read(run, demo_bundle, "a.wav", "--silence", 0)
    trimmed = read(run, demo_bundle, "b.wav", "--silence", 0, "--trim")
    assert 0 < len(trimmed) <= len(whole)
    loudest = np.abs(whole).max()
    assert np.abs(trimmed).max() == pytest.approx(loudest, abs=1e-4)


def test_the_peak_is_the_loudest_sample(run: Run, article: Path, demo_bundle: Path) -> None:
    samples = read(run, demo_bundle, "a.wav", "--peak", 0.25, "--timestamps", "a.json")
    for piece in pieces_of("a.json"):
        part = samples[round(piece["start"] * RATE) : round(piece["end"] * RATE)]
        assert np.abs(part).max() == pytest.approx(0.25, abs=1e-3)


def test_babble_ends_with_its_text(run: Run, demo_bundle: Path) -> None:
    lengths = []
    for arguments in ((), ("--stop-babble",)):
        worked(
            run(
                *("speak", "Hi", "-m", demo_bundle, "-o", "a.wav", "--seed", 3),
                *("--semantic-max-new-tokens", 300, *arguments),
            )
        )
        lengths.append(soundfile.info("a.wav").duration)
    assert lengths[0] > 5.5
    assert lengths[1] <= 5.1


# What is refused


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--timestamps", "a.txt"), 1, ("a.txt", "'.txt'", ".json, .srt, .vtt")),
        (("--timestamps", "nowhere/a.srt"), 1, ("nowhere", "no such folder")),
        (("--cast", "Anna"), 1, ("--cast", "'Anna'", "NAME=VOICE")),
        (("--cast", "A=x", "--cast", "A=y"), 1, ("--cast", "two voices", "'A'")),
        (("--cast", "Anna=v2/en_speaker_0"), 1, ('"Anna" says nothing', '"Anna:"')),
        (("--cast", "Here is=nobody"), 1, ("nobody", "not found")),
        (("--language", "nl"), 2, ("--language", "'nl'", "'de'")),
        (("--max-seconds", 0), 1, ("max_seconds", "0", "from 1")),
        (("--continuity", "next"), 2, ("--continuity", "'next'")),
        (("--continuity", "previous", "--together", 2), 1, ("together", "2", "expected 1")),
        (("--silence", -1), 1, ("silence_seconds", "-1", "from 0")),
        (("--crossfade", "nan"), 1, ("crossfade_seconds", "nan")),
        (("--crossfade", 0.1, "--silence", 0.1), 1, ("only one of them",)),
        (("--together", 0), 1, ("together", "0", "from 1")),
        (("--takes", 0), 1, ("takes", "0", "from 1")),
        (("--peak", 2), 1, ("peak", "2", "at most 1")),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    run: Run, article: Path, demo_bundle: Path, arguments: tuple[Any, ...], status: int, words: Any
) -> None:
    failed(run("speak", "-i", article, "-m", demo_bundle, *SHORT, *arguments), status, *words)
    assert list(article.parent.iterdir()) == [article]


def test_a_folder_that_takes_no_timestamps_is_refused(
    run: Run, article: Path, demo_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (article.parent / "closed").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: "closed" not in str(path))
    result = run("speak", "-i", article, "-m", demo_bundle, "--timestamps", "closed/a.srt")
    failed(result, 1, "closed", "may not be written to")


# Interrupts


@pytest.mark.parametrize("together", [1, 8])
def test_an_interrupt_leaves_what_was_said(
    demo: Bark, demo_bundle: Path, tmp_path: Path, together: int
) -> None:
    text = ARTICLE * 100
    (tmp_path / "long.txt").write_text(text)
    process = subprocess.Popen(
        [
            *(ENTRY_POINT, "speak", "-i", "long.txt", "-m", demo_bundle, "-o", "a.wav"),
            *("--seed", "3", "--together", str(together), "--timestamps", "a.json"),
            *("--semantic-max-new-tokens", "15"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    partial = tmp_path / ".a.wav.partial"
    while process.poll() is None and not (partial.is_file() and partial.stat().st_size > 50_000):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    seconds = len(samples) / rate
    assert err.strip() == (
        f"bark-onnx: interrupted; a.wav holds what was said before, {seconds:.2f} s"
    )
    pieces = pieces_of(str(tmp_path / "a.json"))
    assert pieces[-1]["end"] == pytest.approx(seconds, abs=1e-3)
    assert text.startswith(" ".join(piece["text"] for piece in pieces))
    said = demo.stream(text, seed=3, options=GenerationOptions(semantic_max_new_tokens=15))
    for piece, speech in zip(pieces, said, strict=False):
        start = round(piece["start"] * rate)
        found = samples[start : start + len(speech.samples)]
        np.testing.assert_allclose(found, speech.samples.clip(-1, 1), atol=1e-4)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["a.json", "a.wav", "long.txt"]
