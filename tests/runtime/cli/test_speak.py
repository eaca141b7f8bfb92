"""bark-onnx: what it takes, what it prints where, and how it ends."""

import dataclasses
import io
import os
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

import bark_onnx.runtime.cli.main as cli
import bark_onnx.runtime.cli.speak as speak_command
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import Manifest, PrecisionError
from bark_onnx.graphs.contract import STAGES
from bark_onnx.runtime import GenerationOptions, Speech
from bark_onnx.runtime.cli.options.output import OUTPUT
from bark_onnx.runtime.cli.options.stream import READING
from bark_onnx.runtime.cli.options.suno_compat import SUNO_NAMES
from tests.support.command import ENTRY_POINT, Run, failed, outside, worked


class FakeBark:
    """Stands for the runtime: keeps what it was asked, says a tenth of a second of silence."""

    loaded: typing.ClassVar[list[tuple[str, dict[str, Any]]]] = []
    spoken: typing.ClassVar[list[tuple[str, dict[str, Any]]]] = []

    @classmethod
    def load(cls, bundle: str, **settings: Any) -> "FakeBark":
        cls.loaded.append((bundle, settings))
        return cls()

    sample_rate_hz = 24_000

    def describe(self) -> dict[str, Any]:
        return {"precision": "fp32", "provider": "cpu"}

    def stream(self, text: str, **settings: Any) -> Iterator[Speech]:
        self.spoken.append((text, settings))
        settings["on_progress"]("semantic", 1, 2)
        settings["on_progress"]("coarse", 2, 2)
        tokens = np.zeros((8, 8), np.int64)
        yield Speech(np.zeros(2400, np.float32), 24_000, tokens[0], tokens[:2], tokens, text, "", 5)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeBark]:
    monkeypatch.setattr(FakeBark, "loaded", [])
    monkeypatch.setattr(FakeBark, "spoken", [])
    monkeypatch.setattr(speak_command, "Bark", FakeBark)
    return FakeBark


# The real thing, from outside


def test_the_installed_command_speaks(demo_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    out = worked(
        outside(
            *("speak", "-", "-o", path, "--seed", 3, "--semantic-max-new-tokens", 40),
            *("--voice", "v2/en_speaker_0"),
            stdin="Grüße!".encode(),
            BARK_ONNX_MODEL=str(demo_bundle),
        )
    )
    samples, rate = soundfile.read(path)
    assert rate == 24_000
    assert 0 < len(samples) <= 24_000
    assert f"{path}: {len(samples) / rate:.2f} s of audio in " in out
    assert "real-time factor" in out
    assert "seed 3" in out
    assert len(out.splitlines()) == 1


def test_the_installed_command_ends_with_one_line_and_a_status(tmp_path: Path) -> None:
    result = outside("speak", "Hello", "-m", tmp_path / "nowhere", "-o", tmp_path / "a.wav")
    failed(result, 1, "nowhere", "no such folder", "bark-export")
    assert list(tmp_path.iterdir()) == []


def test_the_module_is_the_command(demo_bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bark_onnx.runtime", "voices", "-m", demo_bundle],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "v2/en_speaker_0  English (en)  4.0 s\n",
        "",
    )


# Help


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("speak", "--help")])
def test_help_goes_to_stdout(run: Run, arguments: tuple[str, ...]) -> None:
    assert worked(run(*arguments)).startswith("Usage: bark-onnx ")


def test_help_shows_an_example_and_every_option_with_an_explanation(run: Run) -> None:
    text = worked(run("speak", "--help"))
    assert "\\b" not in text  # click's sign for lines that stay as they are
    assert 'bark-onnx speak "Hello, my dog is cute" -m bark-small-onnx -o hello.wav' in text
    assert "BARK_ONNX_MODEL" in text
    for field in dataclasses.fields(GenerationOptions):
        assert f"--{field.name.replace('_', '-')}" in text
    for option in cli.speak.params:
        if option.param_type_name == "option" and option.name not in ("provider", "help"):
            if option.hidden:
                continue
            assert option.help, option.name


def test_the_version_is_the_packages(run: Run) -> None:
    from importlib.metadata import version

    assert version("bark-onnx") in worked(run("--version"))


# The text


def test_a_text_is_spoken_as_it_is_given(run: Run, fake: type[FakeBark]) -> None:
    worked(run("speak", "  Grüße, 世界! ", "-m", "bundle"))
    assert fake.spoken[0][0] == "  Grüße, 世界! "


def test_a_dash_reads_standard_input(run: Run, fake: type[FakeBark]) -> None:
    worked(run("speak", "-", "-m", "bundle", stdin="Grüße\nzweite Zeile\n".encode()))
    assert fake.spoken[0][0] == "Grüße\nzweite Zeile\n"


@pytest.mark.parametrize("flag", ["-i", "--input"])
def test_a_file_is_read(run: Run, fake: type[FakeBark], tmp_path: Path, flag: str) -> None:
    (tmp_path / "text.txt").write_bytes("Grüße\n".encode())
    worked(run("speak", flag, "text.txt", "-m", "bundle"))
    assert fake.spoken[0][0] == "Grüße\n"


def test_neither_or_both_texts_are_refused(run: Run, fake: type[FakeBark], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Hello")
    failed(run("speak", "-m", "bundle"), 1, "Nothing to say", '"-"', "--input")
    failed(run("speak", "Hi", "-i", "text.txt", "-m", "bundle"), 1, "both", "--input")
    assert not fake.loaded


def test_a_file_that_is_not_utf_8_is_refused(
    run: Run, fake: type[FakeBark], tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_bytes("Grüße".encode("latin-1"))
    result = run("speak", "-i", "text.txt", "-m", "bundle")
    failed(result, 1, "text.txt is not UTF-8", "byte 2", "0xfc", "iconv")
    assert not fake.loaded


def test_standard_input_that_is_not_utf_8_is_refused(run: Run, fake: type[FakeBark]) -> None:
    result = run("speak", "-", "-m", "bundle", stdin=b"Gr\xfc\xdfe")
    failed(result, 1, "standard input is not UTF-8", "byte 2", "0xfc")
    assert not fake.loaded


def test_an_argument_that_is_not_utf_8_is_refused(demo_bundle: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [ENTRY_POINT, b"speak", b"Gr\xfc\xdfe", b"-m", demo_bundle, b"-o", tmp_path / "a.wav"],
        capture_output=True,
    )
    failed((done.returncode, done.stdout.decode(), done.stderr.decode()), 1, "UTF-8")


def test_a_text_file_that_cannot_be_read_is_named(
    run: Run, fake: type[FakeBark], tmp_path: Path
) -> None:
    result = run("speak", "-i", "nowhere.txt", "-m", "bundle")
    failed(result, 1, "nowhere.txt", "cannot be read", "No such file")
    (tmp_path / "folder").mkdir()
    result = run("speak", "-i", "folder", "-m", "bundle")
    failed(result, 1, "folder", "cannot be read", "Is a directory")


@pytest.mark.parametrize("text", ["", "   ", "\n\t\n", "\u200b"])
def test_a_blank_text_is_refused(run: Run, demo_bundle: Path, tmp_path: Path, text: str) -> None:
    failed(run("speak", text, "-m", demo_bundle), 1, "text is empty", "something to say")
    assert list(tmp_path.iterdir()) == []


# The bundle


def test_the_bundle_may_come_from_the_environment(
    run: Run, fake: type[FakeBark], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARK_ONNX_MODEL", "from-the-environment")
    worked(run("speak", "Hello"))
    worked(run("speak", "Hello", "-m", "from-the-option"))
    assert [bundle for bundle, _ in fake.loaded] == ["from-the-environment", "from-the-option"]


@pytest.mark.parametrize("name", ["speak", "voices", "info"])
def test_without_a_bundle_the_option_is_named_and_where_it_is_explained(
    run: Run, name: str
) -> None:
    arguments = [name, "Hello"] if name == "speak" else [name]
    failed(run(*arguments), 2, "--model", f"bark-onnx {name} --help")
    help_text = worked(run(name, "--help"))
    assert "--model" in help_text
    assert "BARK_ONNX_MODEL" in help_text


@pytest.mark.parametrize("name", ["voices", "info"])
def test_a_folder_that_is_no_bundle_is_one_line(run: Run, tmp_path: Path, name: str) -> None:
    failed(run(name, "-m", tmp_path), 1, "no bark.json", "bark-export")


# Settings

VALUES = {bool: None, int: 7, float: 0.25}
KINDS = {
    name: typing.get_args(kind)[0]
    for name, kind in typing.get_type_hints(GenerationOptions).items()
    if name != "return"
}


def options_of(run: Run, fake: type[FakeBark], *arguments: object) -> GenerationOptions:
    fake.spoken.clear()
    worked(run("speak", "Hello", "-m", "bundle", *arguments))
    return typing.cast(GenerationOptions, fake.spoken[0][1]["options"])


def test_without_settings_the_checkpoint_decides(run: Run, fake: type[FakeBark]) -> None:
    assert options_of(run, fake) == GenerationOptions()
    assert fake.loaded == [
        (
            "bundle",
            {**fake.loaded[0][1], "provider": "auto", "precision": None, "threads": None},
        )
    ]
    assert not fake.loaded[0][1]["low_memory"]
    assert fake.spoken[0][1]["voice"] is None
    first = fake.spoken[0][1]["seed"]
    options_of(run, fake)
    assert fake.spoken[-1][1]["seed"] != first, "the seed is not drawn"


@pytest.mark.parametrize("name", KINDS)
def test_every_generation_setting_reaches_the_runtime(
    run: Run, fake: type[FakeBark], name: str
) -> None:
    flag = name.replace("_", "-")
    if KINDS[name] is bool:
        on, off = (options_of(run, fake, f"--{prefix}{flag}") for prefix in ("", "no-"))
        assert on == GenerationOptions(**{name: True})
        assert off == GenerationOptions(**{name: False})
    else:
        value = VALUES[KINDS[name]]
        found = options_of(run, fake, f"--{flag}", value)
        assert found == GenerationOptions(**{name: value})


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (
            ("--temperature", 0.5),
            {"semantic_temperature": 0.5, "coarse_temperature": 0.5, "fine_temperature": 0.5},
        ),
        (("--top-k", 9), {"semantic_top_k": 9, "coarse_top_k": 9}),
        (("--top-p", 0.5), {"semantic_top_p": 0.5, "coarse_top_p": 0.5}),
        (("--no-do-sample",), {"semantic_do_sample": False, "coarse_do_sample": False}),
        (("--do-sample",), {"semantic_do_sample": True, "coarse_do_sample": True}),
        (("--top-k", 9, "--coarse-top-k", 0), {"semantic_top_k": 9, "coarse_top_k": 0}),
    ],
)
def test_a_setting_without_prefix_sets_every_stage_that_has_it(
    run: Run, fake: type[FakeBark], arguments: tuple[object, ...], changed: dict[str, Any]
) -> None:
    assert options_of(run, fake, *arguments) == GenerationOptions(**changed)


def test_sampling_names_settings_that_single_ones_win_over(run: Run, fake: type[FakeBark]) -> None:
    assert options_of(run, fake, "--sampling", "suno") == GenerationOptions.suno()
    found = options_of(run, fake, "--sampling", "suno", "--no-min-eos-p-warped", "--top-k", 3)
    assert found == GenerationOptions.suno().replace(min_eos_p_warped=False, top_k=3)
    assert options_of(run, fake, "--sampling", "transformers") == GenerationOptions()


def test_greedy_leaves_nothing_to_chance(run: Run, fake: type[FakeBark]) -> None:
    assert options_of(run, fake, "--greedy") == GenerationOptions.greedy()
    assert options_of(run, fake, "--sampling", "greedy") == GenerationOptions.greedy()
    found = options_of(run, fake, "--greedy", "--semantic-max-new-tokens", 12)
    assert found == GenerationOptions.greedy().replace(semantic_max_new_tokens=12)


def test_every_other_option_reaches_the_runtime(run: Run, fake: type[FakeBark]) -> None:
    options_of(
        run,
        fake,
        *("--voice", "v2/x", "--seed", 12, "--provider", "cpu", "--precision", "int8"),
        *("--threads", 3, "--low-memory"),
    )
    settings = fake.loaded[0][1]
    assert settings["provider"] == "cpu"
    assert settings["precision"] == "int8"
    assert settings["threads"] == 3
    assert settings["low_memory"] is True
    assert settings["wait"] is False
    assert (fake.spoken[0][1]["voice"], fake.spoken[0][1]["seed"]) == ("v2/x", 12)


def test_no_option_is_accepted_and_untested() -> None:
    known = {
        *("text", "bundle", "file", "output", "voice", "seed", "sampling", "provider"),
        *("precision", "threads", "low_memory", "temperature", "top_k", "top_p", "do_sample"),
        *("cast", "save_voice", *READING, *OUTPUT),
        *(f"suno_{name}" for name in SUNO_NAMES),
        *KINDS,
    }
    assert {option.name for option in cli.speak.params} == known


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--semantic-temperature", -1), 1, ("semantic_temperature", "-1", "from 0")),
        (("--top-p", 0), 1, ("top_p", "0", "more than 0")),
        (("--top-k", "many"), 2, ("--top-k", "'many'", "--help")),
        (("--temperature", "nan"), 1, ("temperature", "nan", "expected a number")),
        (("--semantic-max-new-tokens", 0), 1, ("semantic_max_new_tokens", "0", "from 1")),
        (("--provider", "tpu"), 2, ("--provider", "'tpu'", "auto", "cpu")),
        (("--seed", "x"), 2, ("--seed", "'x'", "--help")),
        (("--loudness", 3), 2, ("--loudness", "--help")),
    ],
)
def test_a_setting_out_of_range_is_refused_before_the_model_loads(
    run: Run,
    fake: type[FakeBark],
    arguments: tuple[object, ...],
    status: int,
    words: tuple[str, ...],
) -> None:
    failed(run("speak", "Hello", "-m", "bundle", *arguments), status, *words)
    assert not fake.loaded


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seed", -1), ("seed is -1", "from 0")),
        (("--threads", 0), ("threads is 0", "from 1")),
        (("--precision", "int3"), ("int3", "fp32")),
        (("--temperature", 0), ("temperature is 0", "more than 0", "do_sample=False")),
        (("--semantic-max-new-tokens", 5000), ("5000", "context holds")),
        (("--voice", "v2/en_speaker_1"), ("v2/en_speaker_1", "nearest", "bark-onnx voices")),
        (("--voice", "me.npz"), ("me.npz", "no such file")),
    ],
)
def test_what_the_bundle_cannot_do_is_refused(
    run: Run,
    demo_bundle: Path,
    tmp_path: Path,
    arguments: tuple[object, ...],
    words: tuple[str, ...],
) -> None:
    failed(run("speak", "Hello", "-m", demo_bundle, *arguments), 1, *words)
    assert list(tmp_path.iterdir()) == []


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
def test_an_output_that_cannot_be_written_is_refused_before_the_model_loads(
    run: Run, fake: type[FakeBark], tmp_path: Path, output: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "folder.wav").mkdir()
    failed(run("speak", "Hello", "-m", "bundle", "-o", output), 1, *words)
    assert not fake.loaded


def test_an_output_folder_that_takes_no_files_is_refused_before_the_model_loads(
    run: Run, fake: type[FakeBark], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK))
    failed(run("speak", "Hello", "-m", "bundle"), 1, "may not be written to")
    assert not fake.loaded


def test_the_result_is_one_line_on_stdout(run: Run, fake: type[FakeBark], tmp_path: Path) -> None:
    out = worked(run("speak", "Hello", "-m", "bundle", "--seed", 5))
    assert out.startswith("speech.wav: 0.10 s of audio in ")
    assert ", seed 5 (loading took " in out
    assert out.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["speech.wav"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_the_suffix_names_the_format(
    run: Run, fake: type[FakeBark], tmp_path: Path, suffix: str
) -> None:
    worked(run("speak", "Hello", "-m", "bundle", "--output", f"hello.{suffix}"))
    format_ = soundfile.info(tmp_path / f"hello.{suffix}").format
    assert format_ in (suffix.upper(), "MPEG")


def test_the_same_seed_gives_the_same_bytes(run: Run, demo_bundle: Path, tmp_path: Path) -> None:
    for name, seed in (("a.wav", 11), ("b.wav", 11), ("c.wav", 12)):
        arguments = ("-m", demo_bundle, "-o", name, "--seed", seed, *SHORT)
        assert f"seed {seed} " in worked(run("speak", "Hello", *arguments))
    first, second, third = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert first == second
    assert first != third


def test_a_seed_that_was_drawn_is_printed_and_replays(
    run: Run, demo_bundle: Path, tmp_path: Path
) -> None:
    out = worked(run("speak", "Hello", "-m", demo_bundle, "-o", "a.wav", *SHORT))
    seed = out.partition("seed ")[2].partition(" ")[0]
    worked(run("speak", "Hello", "-m", demo_bundle, "-o", "b.wav", "--seed", seed, *SHORT))
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_greedy_needs_no_seed(run: Run, demo_bundle: Path, tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        common = ("-m", demo_bundle, "--no-metadata", *SHORT)
        worked(run("speak", "Hello", *common, "-o", name, "--greedy"))
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_a_voice_may_be_a_file(run: Run, demo_bundle: Path, tmp_path: Path) -> None:
    shutil.copy(demo_bundle / "voices" / "v2" / "en_speaker_0.npz", tmp_path / "me.npz")
    common = ("-m", demo_bundle, "--greedy", "--no-metadata", *SHORT)
    worked(run("speak", "Hello", *common, "-o", "a.wav", "--voice", "me.npz"))
    worked(run("speak", "Hello", *common, "-o", "b.wav", "--voice", "v2/en_speaker_0"))
    worked(run("speak", "Hello", *common, "-o", "c.wav"))
    first, second, third = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert first == second
    assert first != third


def test_an_interrupt_is_one_line(
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


def test_a_terminal_sees_one_bar_per_stage_and_no_other_stream_does(
    run: Run, fake: type[FakeBark], monkeypatch: pytest.MonkeyPatch
) -> None:
    worked(run("speak", "Hello", "-m", "bundle"))  # stderr is no terminal and stays empty
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    _, out, _ = run("speak", "Hello", "-m", "bundle")
    assert "semantic" in terminal.getvalue()
    assert "coarse" in terminal.getvalue()
    assert "semantic" not in out


# info


@pytest.mark.parametrize("form", ["fused", "standard"])
def test_info_prints_every_input_and_output_of_the_contract(
    run: Run, demo_bundle: Path, standard_bundle: Path, form: str
) -> None:
    folder = demo_bundle if form == "fused" else standard_bundle
    bundle = Bundle(folder)
    out = worked(run("info", "-m", folder))
    sections = dict(zip(STAGES, out.split("\n\n")[1:], strict=True))
    for stage in STAGES:
        contract = bundle.contract(stage, "fp32")
        lines = sections[stage].splitlines()
        assert lines[0].startswith(f"{stage}.onnx")
        assert len(lines) == 1 + len(contract.inputs) + len(contract.outputs)
        for way, tensors in (("in", contract.inputs), ("out", contract.outputs)):
            for tensor in tensors:
                (line,) = (line for line in lines if line.split()[:2] == [way, f"{tensor.name}:"])
                axes = ", ".join(map(str, tensor.shape))
                assert f"{tensor.name}: {tensor.dtype}[{axes}]" in line
                assert tensor.meaning in line


def test_info_says_what_the_bundle_is(run: Run, demo_bundle: Path) -> None:
    out = worked(run("info", "-m", demo_bundle))
    manifest = Bundle(demo_bundle).manifest
    head = dict(
        line.split(maxsplit=1) for line in out.split("\n\n")[0].splitlines() if "parity" not in line
    )
    expected = SimpleNamespace(
        bundle=str(demo_bundle),
        source=manifest.source,
        exporter=manifest.exporter,
        attention="fused",
        audio="24000 Hz",
        voices="1",
    )
    for key, value in vars(expected).items():
        assert head[key] == value
    assert "fp32" in head["precisions"]
    for graph in manifest.parity:
        assert f"{graph}: " in out


def test_info_leaves_the_terminal_as_it_is_whoever_made_the_bundle(run: Run, bundle: Path) -> None:
    manifest = Manifest.read(bundle)
    steering = dataclasses.replace(
        manifest,
        source="de\x1b[2Jmo",
        exporter="bark\x9b2J",
        parity={f"\x1b[2J{graph}": cases for graph, cases in manifest.parity.items()},
        precision_errors={"fp16/\x07semantic": PrecisionError(0.1, 0.9, 0.01)},
    )
    (bundle / "bark.json").write_text(steering.to_json(), encoding="utf-8")
    out = worked(run("info", bundle))
    assert "de [2Jmo" in out
    assert "fp16/ semantic: logits" in out
    assert all(character.isprintable() or character == "\n" for character in out)
