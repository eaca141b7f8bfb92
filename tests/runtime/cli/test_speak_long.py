"""bark-onnx speak with long texts: every option, through the real command line."""

import json
import os
import signal
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark_onnx.runtime import Bark, GenerationOptions
from tests.support.command import ENTRY_POINT, Run, assert_fails, output_of, wait_for_partial

RATE = 24_000
VOICE = ("--voice", "v2/en_speaker_0")
SHORT = ("--semantic-max-new-tokens", 15)
ARTICLE = (
    "Here is the first sentence of it. Then there is another one, somewhat longer. "
    "What about a third? It comes now! And a fourth one, to be sure. The end is near."
)


@pytest.fixture
def article(run: Run, tmp_path: Path, random_bundle: Path) -> Path:
    """A text of several segments, in the working folder of `run`."""
    path = tmp_path / "article.txt"
    path.write_text(ARTICLE, encoding="utf-8")
    return path


def generate(run: Run, bundle: Path, name: str, *arguments: object) -> np.ndarray:
    """Samples that a command with a fixed seed writes to a file."""
    out = run(
        *("speak", "-i", "article.txt", "-m", bundle, "-o", name, "--seed", 3),
        *(*SHORT, *arguments),
    )
    output_of(out)
    samples, rate = soundfile.read(name, dtype="float32")
    assert rate == RATE
    return samples


def segments_of(path: str) -> list[dict[str, Any]]:
    return json.loads(Path(path).read_text("utf-8"))["segments"]


def test_long_text_is_generated_completely(run: Run, article: Path, random_bundle: Path) -> None:
    out = output_of(
        run("speak", "-i", article, "-m", random_bundle, *SHORT, "--timestamps", "a.json")
    )
    segments = segments_of("a.json")
    assert f", {len(segments)} segments (loading took" in out
    assert out.count("\n") == 1
    assert " ".join(segment["text"] for segment in segments) == ARTICLE
    assert all(set(segment) == {"text", "start", "end"} for segment in segments)
    assert soundfile.info("speech.wav").duration == pytest.approx(segments[-1]["end"], abs=1e-3)


def test_short_text_equals_bark_speak(run: Run, random_bark: Bark, random_bundle: Path) -> None:
    output_of(run("speak", "Hello!", "-m", random_bundle, "-o", "a.wav", "--seed", 3, *SHORT))
    random_bark.speak("Hello!", seed=3, semantic_max_new_tokens=15).save("b.wav")
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


@pytest.mark.parametrize("suffix", ["wav", "ogg"])
def test_same_command_writes_the_same_bytes(
    run: Run, article: Path, random_bundle: Path, suffix: str
) -> None:
    for name in ("a", "b"):
        generate(run, random_bundle, f"{name}.{suffix}", *VOICE)
    assert Path(f"a.{suffix}").read_bytes() == Path(f"b.{suffix}").read_bytes()


def test_concurrency_does_not_change_the_file(run: Run, article: Path, random_bundle: Path) -> None:
    for concurrency in (1, 3):
        generate(run, random_bundle, f"{concurrency}.wav", *VOICE, "--concurrency", concurrency)
    assert len({Path(f"{name}.wav").read_bytes() for name in (1, 3)}) == 1


def test_segments_are_separated_by_silence(run: Run, article: Path, random_bundle: Path) -> None:
    for seconds, arguments in ((0.25, ()), (1.0, ("--silence-seconds", 1))):
        samples = generate(run, random_bundle, "a.wav", "--timestamps", "a.json", *arguments)
        segments = segments_of("a.json")
        assert len(segments) > 3
        for before, after in pairwise(segments):
            assert after["start"] - before["end"] == pytest.approx(seconds, abs=1e-5)
            gap = samples[round(before["end"] * RATE) : round(after["start"] * RATE)]
            assert not gap.any()


def test_crossfade_overlaps_segments(run: Run, article: Path, random_bundle: Path) -> None:
    apart = generate(run, random_bundle, "a.wav", "--silence-seconds", 0, "--timestamps", "a.json")
    blended = generate(
        run, random_bundle, "b.wav", "--crossfade-seconds", 0.05, "--timestamps", "b.json"
    )
    count = len(segments_of("a.json"))
    assert len(segments_of("b.json")) == count
    assert len(apart) - len(blended) == (count - 1) * round(0.05 * RATE)
    same = round(segments_of("b.json")[0]["end"] * RATE)
    np.testing.assert_array_equal(blended[:same], apart[:same])


def test_history_previous_continues_the_previous_segment(
    run: Run, article: Path, random_bundle: Path
) -> None:
    voice = generate(run, random_bundle, "a.wav", *VOICE, "--timestamps", "a.json")
    previous = generate(run, random_bundle, "b.wav", *VOICE, "--history", "previous")
    same = round(segments_of("a.json")[0]["end"] * RATE)
    np.testing.assert_array_equal(previous[:same], voice[:same])
    assert not np.array_equal(previous, voice)


def test_max_seconds_makes_segments_shorter(run: Run, article: Path, random_bundle: Path) -> None:
    counts = []
    for arguments in ((), ("--max-seconds", 5)):
        generate(run, random_bundle, "a.wav", "--timestamps", "a.json", *arguments)
        counts.append(len(segments_of("a.json")))
    assert counts[1] > counts[0]


def test_language_determines_the_ends_of_sentences(
    run: Run, article: Path, random_bundle: Path
) -> None:
    article.write_text("Alle kamen am 3. Oktober und blieben bis zum Ende des Jahres.")
    first = {}
    for language in ("de", "en"):
        generate(run, random_bundle, "a.wav", "--timestamps", "a.json", "--language", language)
        first[language] = segments_of("a.json")[0]["text"]
    assert first["en"] == "Alle kamen am 3."
    assert first["de"].startswith("Alle kamen am 3. Oktober")


@pytest.mark.parametrize(
    ("suffix", "words"),
    [("srt", ("1\n00:00:00,000 --> ", "Anna: Hello!")), ("vtt", ("WEBVTT", "<v Anna>Hello!"))],
)
def test_subtitles_of_a_dialogue_have_names(
    run: Run, article: Path, random_bundle: Path, suffix: str, words: tuple[str, ...]
) -> None:
    article.write_text("Anna: Hello!\nBen: Good evening.\nAnna: Bye.")
    speakers = ("--speaker", "Anna=v2/en_speaker_0", "--speaker", "Ben=v2/en_speaker_0")
    generate(run, random_bundle, "a.wav", *speakers, "--timestamps", f"a.{suffix}")
    text = Path(f"a.{suffix}").read_text("utf-8")
    for word in words:
        assert word in text
    assert text.count(" --> ") == 3


def test_speaker_has_the_voice_of_the_option(
    run: Run, article: Path, random_bark: Bark, random_bundle: Path
) -> None:
    random_bark.speak("x", seed=1, semantic_max_new_tokens=15).to_voice().save("ben.npz")
    article.write_text("Ben: Good evening.")
    expected = random_bark.speak(
        "Good evening.", voice="ben.npz", seed=3, semantic_max_new_tokens=15
    )
    found = generate(run, random_bundle, "a.wav", "--speaker", "Ben=ben.npz")
    np.testing.assert_allclose(found, expected.samples.clip(-1, 1), atol=1e-4)


def test_attempts_end_with_the_first_good_one(run: Run, article: Path, random_bundle: Path) -> None:
    # Noise is neither silent nor too long.
    once = generate(run, random_bundle, "a.wav")
    np.testing.assert_array_equal(generate(run, random_bundle, "b.wav", "--attempts", 3), once)


def test_segment_without_a_good_attempt_causes_a_one_line_warning(
    random_bundle: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *(ENTRY_POINT, "speak", "Hi", "-m", random_bundle, "-o", tmp_path / "a.wav"),
            *("--attempts", "2", "--seed", "3", "--semantic-max-new-tokens", "400"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("bark-onnx: warning: segment 1: none of 2 attempts passes")
    assert "too long for its text" in done.stderr
    assert done.stderr.count("\n") == 1


def test_trim_removes_silence(run: Run, article: Path, random_bundle: Path) -> None:
    whole = generate(run, random_bundle, "a.wav", "--silence-seconds", 0)
    trimmed = generate(run, random_bundle, "b.wav", "--silence-seconds", 0, "--trim")
    assert 0 < len(trimmed) <= len(whole)
    loudest = np.abs(whole).max()
    assert np.abs(trimmed).max() == pytest.approx(loudest, abs=1e-4)


def test_normalize_peak_scales_each_segment(run: Run, article: Path, random_bundle: Path) -> None:
    samples = generate(
        run, random_bundle, "a.wav", "--normalize-peak", 0.25, "--timestamps", "a.json"
    )
    for segment in segments_of("a.json"):
        part = samples[round(segment["start"] * RATE) : round(segment["end"] * RATE)]
        assert np.abs(part).max() == pytest.approx(0.25, abs=1e-3)


def test_limit_duration_ends_overlong_segments(run: Run, random_bundle: Path) -> None:
    lengths = []
    for arguments in ((), ("--limit-duration",)):
        output_of(
            run(
                *("speak", "Hi", "-m", random_bundle, "-o", "a.wav", "--seed", 3),
                *("--semantic-max-new-tokens", 300, *arguments),
            )
        )
        lengths.append(soundfile.info("a.wav").duration)
    assert lengths[0] > 5.5
    assert lengths[1] <= 5.1


# Refusals


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--timestamps", "a.txt"), 1, ("a.txt", "'.txt'", ".json, .srt, .vtt")),
        (("--timestamps", "nowhere/a.srt"), 1, ("nowhere", "no such folder")),
        (("--speaker", "Anna"), 1, ("--speaker", "'Anna'", "NAME=VOICE")),
        (("--speaker", "A=x", "--speaker", "A=y"), 1, ("--speaker", "two voices", "'A'")),
        (("--speaker", "Anna=v2/en_speaker_0"), 1, ('"Anna" has no line', '"Anna:"')),
        (("--speaker", "Here is=unknown"), 1, ("unknown", "not found")),
        (("--language", "nl"), 2, ("--language", "'nl'", "'de'")),
        (("--max-seconds", 0), 1, ("--max-seconds", "0", "from 1")),
        (("--history", "next"), 2, ("--history", "'next'")),
        (("--history", "previous", "--concurrency", 2), 1, ("concurrency", "2", "expected 1")),
        (("--silence-seconds", -1), 1, ("--silence-seconds", "-1", "from 0")),
        (("--crossfade-seconds", "nan"), 1, ("--crossfade-seconds", "nan")),
        (("--crossfade-seconds", 0.1, "--silence-seconds", 0.1), 1, ("only one of them",)),
        (("--concurrency", 0), 1, ("concurrency", "0", "from 1")),
        (("--attempts", 0), 1, ("attempts", "0", "from 1")),
        (("--normalize-peak", 2), 1, ("--normalize-peak", "2", "at most 1")),
    ],
)
def test_impossible_option_is_one_line_and_writes_nothing(
    run: Run,
    article: Path,
    random_bundle: Path,
    arguments: tuple[Any, ...],
    status: int,
    words: Any,
) -> None:
    assert_fails(
        run("speak", "-i", article, "-m", random_bundle, *SHORT, *arguments), status, *words
    )
    assert list(article.parent.iterdir()) == [article]


def test_write_protected_folder_of_timestamps_is_refused(
    run: Run, article: Path, random_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (article.parent / "closed").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: "closed" not in str(path))
    result = run("speak", "-i", article, "-m", random_bundle, "--timestamps", "closed/a.srt")
    assert_fails(result, 1, "closed", "may not be written to")


# Interrupts


@pytest.mark.parametrize("concurrency", [1, 8])
def test_interrupt_keeps_complete_segments(
    random_bark: Bark, random_bundle: Path, tmp_path: Path, concurrency: int
) -> None:
    text = ARTICLE * 100
    (tmp_path / "long.txt").write_text(text)
    process = subprocess.Popen(
        [
            *(ENTRY_POINT, "speak", "-i", "long.txt", "-m", random_bundle, "-o", "a.wav"),
            *("--seed", "3", "--concurrency", str(concurrency), "--timestamps", "a.json"),
            *("--semantic-max-new-tokens", "15"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_partial(process, tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    seconds = len(samples) / rate
    assert err.strip() == f"bark-onnx: interrupted; a.wav has the first {seconds:.2f} s"
    segments = segments_of(str(tmp_path / "a.json"))
    assert segments[-1]["end"] == pytest.approx(seconds, abs=1e-3)
    assert text.startswith(" ".join(segment["text"] for segment in segments))
    speeches = random_bark.stream(
        text, seed=3, options=GenerationOptions(semantic_max_new_tokens=15)
    )
    for segment, speech in zip(segments, speeches, strict=False):
        start = round(segment["start"] * rate)
        found = samples[start : start + len(speech.samples)]
        np.testing.assert_allclose(found, speech.samples.clip(-1, 1), atol=1e-4)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["a.json", "a.wav", "long.txt"]
