"""bark-onnx speak: the installed command, its bundle, its files and its progress."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.support.command import Run, assert_fails, output_of, run_installed
from tests.support.fake_bark import FakeBark

# The installed command


def test_installed_command_writes_a_sound_file(random_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    out = output_of(
        run_installed(
            *("speak", "-", "-o", path, "--seed", 3, "--semantic-max-new-tokens", 40),
            *("--voice", "v2/en_speaker_0"),
            stdin="Hello — you!".encode(),
            BARK_ONNX_MODEL=str(random_bundle),
        )
    )
    samples, rate = soundfile.read(path)
    assert rate == 24_000
    assert 0 < len(samples) <= 24_000
    assert f"{path}: {len(samples) / rate:.2f} s of audio in " in out
    assert "real-time factor" in out
    assert "seed 3" in out
    assert len(out.splitlines()) == 1


def test_installed_command_fails_with_one_line_and_a_status(tmp_path: Path) -> None:
    result = run_installed("speak", "Hello", "-m", tmp_path / "nowhere", "-o", tmp_path / "a.wav")
    assert_fails(result, 1, "nowhere", "no such folder", "bark-export")
    assert list(tmp_path.iterdir()) == []


def test_module_runs_the_command(random_bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bark_onnx.runtime", "voices", "-m", random_bundle],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "v2/en_speaker_0  English (en)  4.0 s\n",
        "",
    )


# The bundle


def test_bundle_can_come_from_the_environment(
    run: Run, fake: type[FakeBark], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARK_ONNX_MODEL", "from-the-environment")
    output_of(run("speak", "Hello"))
    output_of(run("speak", "Hello", "-m", "from-the-option"))
    assert [bundle for bundle, _ in fake.loaded] == ["from-the-environment", "from-the-option"]


@pytest.mark.parametrize("name", ["speak", "voices", "info"])
def test_missing_bundle_names_the_option_and_its_help(run: Run, name: str) -> None:
    arguments = [name, "Hello"] if name == "speak" else [name]
    assert_fails(run(*arguments), 2, "--model", f"bark-onnx {name} --help")
    help_text = output_of(run(name, "--help"))
    assert "--model" in help_text
    assert "BARK_ONNX_MODEL" in help_text


@pytest.mark.parametrize("name", ["voices", "info"])
def test_folder_that_is_not_a_bundle_is_one_line(run: Run, tmp_path: Path, name: str) -> None:
    assert_fails(run(name, "-m", tmp_path), 1, "no bark.json", "bark-export")


# The output

SHORT = ("--semantic-max-new-tokens", 15)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("a.m4a", ("'.m4a'", "unknown", ".wav, .flac, .ogg, .mp3, .opus")),
        ("a", ("suffix", "unknown")),
        ("nowhere/a.wav", ("nowhere", "no such folder")),
        ("folder.wav", ("folder.wav is a folder",)),
    ],
)
def test_unwritable_output_is_refused_before_the_model_loads(
    run: Run, fake: type[FakeBark], tmp_path: Path, output: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "folder.wav").mkdir()
    assert_fails(run("speak", "Hello", "-m", "bundle", "-o", output), 1, *words)
    assert not fake.loaded


def test_write_protected_output_folder_is_refused_before_the_model_loads(
    run: Run, fake: type[FakeBark], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK))
    assert_fails(run("speak", "Hello", "-m", "bundle"), 1, "may not be written to")
    assert not fake.loaded


def test_summary_is_one_line_on_stdout(run: Run, fake: type[FakeBark], tmp_path: Path) -> None:
    out = output_of(run("speak", "Hello", "-m", "bundle", "--seed", 5))
    assert out.startswith("speech.wav: 0.10 s of audio in ")
    assert ", seed 5 (loading took " in out
    assert out.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["speech.wav"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_suffix_selects_the_format(
    run: Run, fake: type[FakeBark], tmp_path: Path, suffix: str
) -> None:
    output_of(run("speak", "Hello", "-m", "bundle", "--output", f"hello.{suffix}"))
    format_ = soundfile.info(tmp_path / f"hello.{suffix}").format
    assert format_ in (suffix.upper(), "MPEG")


def test_same_seed_writes_the_same_bytes(run: Run, random_bundle: Path, tmp_path: Path) -> None:
    for name, seed in (("a.wav", 11), ("b.wav", 11), ("c.wav", 12)):
        arguments = ("-m", random_bundle, "-o", name, "--seed", seed, *SHORT)
        assert f"seed {seed} " in output_of(run("speak", "Hello", *arguments))
    first, second, third = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert first == second
    assert first != third


def test_random_seed_is_printed_and_reproduces_the_file(
    run: Run, random_bundle: Path, tmp_path: Path
) -> None:
    out = output_of(run("speak", "Hello", "-m", random_bundle, "-o", "a.wav", *SHORT))
    seed = out.partition("seed ")[2].partition(" ")[0]
    output_of(run("speak", "Hello", "-m", random_bundle, "-o", "b.wav", "--seed", seed, *SHORT))
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_greedy_output_does_not_depend_on_the_seed(
    run: Run, random_bundle: Path, tmp_path: Path
) -> None:
    for name in ("a.wav", "b.wav"):
        common = ("-m", random_bundle, "--no-metadata", *SHORT)
        output_of(run("speak", "Hello", *common, "-o", name, "--greedy"))
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_voice_can_be_a_file(run: Run, random_bundle: Path, tmp_path: Path) -> None:
    shutil.copy(random_bundle / "voices" / "v2" / "en_speaker_0.npz", tmp_path / "me.npz")
    common = ("-m", random_bundle, "--greedy", "--no-metadata", *SHORT)
    output_of(run("speak", "Hello", *common, "-o", "a.wav", "--voice", "me.npz"))
    output_of(run("speak", "Hello", *common, "-o", "b.wav", "--voice", "v2/en_speaker_0"))
    output_of(run("speak", "Hello", *common, "-o", "c.wav"))
    first, second, third = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert first == second
    assert first != third


def test_interrupt_is_one_line(
    run: Run, fake: type[FakeBark], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stream(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeBark, "stream", stream)
    status, out, err = run("speak", "Hello", "-m", "bundle")
    assert (status, out) == (130, "")
    assert err.strip() == "bark-onnx: interrupted"  # click ends the line that shows ^C first
    assert list(tmp_path.iterdir()) == []


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_bars_appear_only_on_a_terminal(
    run: Run, fake: type[FakeBark], monkeypatch: pytest.MonkeyPatch
) -> None:
    output_of(run("speak", "Hello", "-m", "bundle"))  # stderr is not a terminal and stays empty
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    _, out, _ = run("speak", "Hello", "-m", "bundle")
    assert "semantic" in terminal.getvalue()
    assert "coarse" in terminal.getvalue()
    assert "semantic" not in out
