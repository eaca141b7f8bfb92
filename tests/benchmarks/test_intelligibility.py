"""The scripts that measure speech, on the checkpoint with random weights."""

import json
import subprocess
import sys
from pathlib import Path
from shutil import which
from typing import Any

import click
import pytest
import soundfile

from tests.support.fixtures import BENCHMARKS

SENTENCES = ("Good morning.", "The dog is warm.")
VOICE = "v2/en_speaker_0"


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.txt"
    path.write_text("\n".join(SENTENCES) + "\n\n")
    return path


@pytest.fixture
def trigrams(tmp_path: Path) -> Path:
    path = tmp_path / "trigrams.txt"
    path.write_text("Good evening.\nThe cat is warm.\nThe dog is cold.\nGood morning, dog.\n")
    return path


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def result(script: str, *arguments: str) -> tuple[list[str], dict[str, Any]]:
    """The table, and the JSON object after it."""
    done = run(script, *arguments)
    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.splitlines()
    return table, json.loads(last)


needs_flite = pytest.mark.skipif(which("flite") is None, reason="flite is not installed")
ONCE = ("--recognizer", "pocketsphinx", "--threads", "1", "--teacher", f"{VOICE}=slt")


@needs_flite
def test_sentences_are_measured_next_to_the_teacher(
    recognition, sentences: Path, trigrams: Path, random_bundle: Path, tmp_path: Path
):
    folder, output = tmp_path / "kept", tmp_path / "result.json"
    files = ("--sentences", str(sentences), "--trigrams", str(trigrams))
    kept = ("--keep", str(folder), "--output", str(output))
    options = ("--option", "semantic_max_new_tokens=40")
    table, found = result(
        "intelligibility.py", "-m", str(random_bundle), *files, *kept, *options, *ONCE
    )
    assert json.loads(output.read_text()) == found
    assert found["teachers"] == {VOICE: "slt"}
    assert found["options"] == {"semantic_max_new_tokens": 40}
    bundle, teacher = found["rows"]
    assert len(table) == 3
    assert bundle["utterances"] == teacher["utterances"] == len(SENTENCES)
    assert bundle["word_error_rates"]["pocketsphinx"]["percent"] > 50  # it is noise
    assert teacher["word_error_rates"]["pocketsphinx"]["percent"] < 30
    assert bundle["ended_share"] == 0
    assert bundle["real_time_factor"] > 0
    report = (folder / "bundle" / "report.txt").read_text()
    assert all(sentence in report for sentence in SENTENCES)
    for name in ("bundle/0000.wav", "bundle/0001.wav", "teachers/0001.wav"):
        samples, _ = soundfile.read(folder / name)
        assert len(samples) > 1000


@needs_flite
def test_long_text_is_measured_with_every_history_and_pause(
    recognition, sentences: Path, trigrams: Path, random_bundle: Path
):
    files = ("--text", str(sentences), "--trigrams", str(trigrams))
    pauses = ("--history", "voice", "--history", "first", "--silence", "0.5", "--crossfade", "0.1")
    short = ("--option", "semantic_max_new_tokens=40")
    table, found = result(
        "long_text.py", "-m", str(random_bundle), *files, *pauses, *short, "--voice", VOICE, *ONCE
    )
    names = [row["name"] for row in found["rows"]]
    assert names == [
        "history voice, silence 0.5",
        "history voice, cross-fade 0.1",
        "history first, silence 0.5",
        "history first, cross-fade 0.1",
        "teacher slt",
    ]
    assert len(table) == 1 + len(names)
    silence, crossfade, *_, teacher = found["rows"]
    assert teacher["word_error_rates"]["pocketsphinx"] < silence["word_error_rates"]["pocketsphinx"]
    assert silence["audio_seconds"] >= crossfade["audio_seconds"]


def test_dialogue_is_measured_with_the_options_of_the_stream(
    recognition, sentences: Path, trigrams: Path, random_bundle: Path
):
    files = ("--text", str(sentences), "--trigrams", str(trigrams), "--dialogue", *ONCE)
    settings = ("--history", "voice", "--silence", "0.5", "--option", "semantic_max_new_tokens=40")
    stream = ("--stream", "attempts=2", "--stream", "limit_duration=true")
    _, found = result("long_text.py", "-m", str(random_bundle), *files, *settings, *stream)
    (row,) = found["rows"]
    assert row["segments"] == 2
    assert sorted(found["speakers"]) == ["Anna", "Ben"]
    assert found["stream"] == {"attempts": 2, "limit_duration": True}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--option", "temperature"), "--option is 'temperature'; expected two names"),
        (("--option", "temperature=warm"), "expected a number, true, false or null"),
        (("--teacher", f"{VOICE}=nora"), "flite has no voice 'nora'; expected one of"),
        (("--voice", "v2/xx_speaker_9"), "xx_speaker_9"),
    ],
)
@needs_flite
def test_wrong_option_is_an_error_in_one_line(
    recognition, sentences: Path, random_bundle: Path, arguments: tuple[str, ...], message: str
):
    files = ("--sentences", str(sentences), "--recognizer", "whisper", "--voice", VOICE)
    done = run("intelligibility.py", "-m", str(random_bundle), *files, *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_trigrams_of_the_measured_sentences_alone_are_an_error(recognition, sentences: Path):
    with pytest.raises(click.UsageError, match="no sentences besides"):
        recognition("setup").open_recognizers(["pocketsphinx"], sentences, SENTENCES)


def test_missing_flite_is_an_error(recognition, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(click.ClickException, match="apt install flite"):
        recognition("teachers").Flite("slt")


def test_empty_file_of_sentences_is_an_error(recognition, tmp_path: Path):
    path = tmp_path / "empty.txt"
    path.write_text("\n \n")
    with pytest.raises(click.UsageError, match="expected a sentence in each line"):
        recognition("setup").read_sentences(path, 5)


def test_voices_take_turns(recognition):
    said = recognition("utterances").dealt(["a", "b", "c"], ["x", "y"])
    assert said == [("a", "x"), ("b", "y"), ("c", "x")]
