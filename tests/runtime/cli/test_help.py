"""Help texts, their examples, and shell completion."""

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

import bark_onnx.export.cli as export_cli
import bark_onnx.runtime.cli.command as cli
from bark_onnx.runtime import GenerationOptions, StreamOptions
from tests.support.command import ENTRY_POINT, Run, output_of


def commands() -> dict[str, click.Command]:
    """Every command by its full name."""
    found = {"bark-export": export_cli.command, "bark-onnx": cli.command}
    groups = [("bark-onnx", cli.command)]
    while groups:
        name, group = groups.pop()
        for part, command in group.commands.items():
            found[f"{name} {part}"] = command
            if isinstance(command, click.Group):
                groups.append((f"{name} {part}", command))
    return found


def examples_of(name: str) -> list[list[str]]:
    """The words of each command in a help text."""
    command = commands()[name]
    # The names that both programs have: click remembers those of the first context for good.
    with click.Context(command, info_name=name, help_option_names=["-h", "--help"]) as context:
        text = command.get_help(context)
    after = re.split(r"\n(?:Options|Input):\n", text.partition("Example")[2])[0].replace(
        "\\\n", " "
    )
    lines = [part for line in after.splitlines() for part in line.split(" | ")]
    words = [shlex.split(line) for line in lines if "bark-" in line]
    return [line for line in words if line[0] in ("bark-onnx", "bark-export")]


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_an_example_of_itself(name: str) -> None:
    wanted = name.split()
    assert any(words[: len(wanted)] == wanted for words in examples_of(name))


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_in_an_example_exists(name: str) -> None:
    known = commands()
    for words in examples_of(name):
        path = words[0]
        rest = words[1:]
        while rest and f"{path} {rest[0]}" in known:
            path = f"{path} {rest.pop(0)}"
        command = known[path]
        assert not isinstance(command, click.Group) or command.invoke_without_command, words
        options = {flag for option in command.params for flag in option.opts}
        for word in rest:
            if word.startswith("-") and word != "-":
                assert word in options, f"{word} in {shlex.join(words)}"


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("speak", "--help")])
def test_help_is_printed_to_stdout(run: Run, arguments: tuple[str, ...]) -> None:
    assert output_of(run(*arguments)).startswith("Usage: bark-onnx ")


def test_help_has_an_example_and_explains_every_option(run: Run) -> None:
    text = output_of(run("speak", "--help"))
    assert "\\b" not in text  # click's mark of lines that are not wrapped
    assert 'bark-onnx speak "Hello, my dog is cute" -m bark-small-onnx -o hello.wav' in text
    assert "BARK_ONNX_MODEL" in text
    for field in (*dataclasses.fields(GenerationOptions), *dataclasses.fields(StreamOptions)):
        assert (f"--{field.name.replace('_', '-')}" in text) == (field.name != "seed_bits")
    for option in cli.speak.params:
        if option.param_type_name == "option" and not option.hidden:
            assert option.help, option.name


@pytest.mark.parametrize(
    ("name", "flag", "words"),
    [
        ("speak", "--limit-duration", "its end is likely (--min-eos-p 0.2)"),
        ("speak", "--limit-duration", "3 s plus twice the time that its text should take"),
        ("speak", "--sampling", "suno: those of Suno's own code"),
        ("speak", "--sampling", "greedy: always the most probable token"),
        ("speak", "--temperature", "All stages"),
        ("speak", "--semantic-temperature", "Words and melody"),
        ("speak", "--semantic-temperature", "Default: 0.7"),
        ("speak", "--fine-temperature", "Default: 0.5"),
        ("speak", "--semantic-max-new-tokens", "in tokens, 50 a second. Default: 768"),
        ("speak", "--semantic-top-k", "0: from all. Default: 50"),
        ("speak", "--coarse-top-p", "at most 1; 1: from all"),
        ("speak", "--min-eos-p-warped", "after temperature, top-k and top-p, as Suno's code"),
        ("speak", "--input", "Read the text from FILE"),
        ("speak", "--provider", "auto: CUDA if it starts"),
        ("speak", "--precision", "fp32, fp16, int8, int4"),
        ("speak", "--threads", "far slower. Default: one per physical core"),
        ("speak", "--concurrency", "Default: 8; 1 with --history previous"),
        ("speak", "--attempts", "neither silent nor clipped nor too long"),
        ("speak", "--language", "to find its sentences"),
        ("speak", "--speaker", "repeatable"),
        ("speak", "--json", "an object per file"),
        ("speak", "--normalize-peak", "so that its loudest sample is this"),
        ("speak", "--low-memory", "half of the memory, a tenth slower"),
        ("speak", "--voice", "v2/en_speaker_6), german, de-3, or me.npz"),
        ("serve", "--provider", "auto: CUDA if it starts"),
        ("serve", "--precision", "fp32, fp16, int8, int4"),
        ("serve", "--threads", "one per physical core"),
        ("serve", "--uploads", "created if missing"),
        ("serve", "--max-batch-size", "decoded together"),
        ("voices", "--search", "a language (german, de-3), or whose names contain TEXT"),
    ],
)
def test_help_of_an_option_says(name: str, flag: str, words: str) -> None:
    command = commands()[f"bark-onnx {name}"]
    (option,) = [each for each in command.params if flag in each.opts]
    assert isinstance(option, click.Option)
    assert words in str(option.help)


def test_help_of_speak_lists_common_options_first(run: Run) -> None:
    lines = output_of(run("speak", "--help")).splitlines()
    headings = [line for line in lines if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    expected = ("Input", "Output", "Voice", "Long text", "Quality", "Generation")
    assert headings == [f"{name}:" for name in (*expected, "Model and hardware", "Other")]
    assert lines.index("Long text:") - lines.index("Input:") <= 25


def test_version_is_that_of_the_package(run: Run) -> None:
    from importlib.metadata import version

    assert version("bark-onnx") in output_of(run("--version"))


# Completion


def complete(bundle: Path | str, *words: str, **environment: str) -> list[str]:
    """Completions that click prints in bash for the last word."""
    line = ["bark-onnx", "speak", "Hello", *(["-m", str(bundle)] if bundle else []), *words]
    done = subprocess.run(
        [ENTRY_POINT],
        env={
            **os.environ,
            "_BARK_ONNX_COMPLETE": "bash_complete",
            "COMP_WORDS": shlex.join(line),
            "COMP_CWORD": str(len(line) - 1),
            **environment,
        },
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def bundle(random_bundle: Path, tmp_path: Path) -> Path:
    """A folder of voices; completion reads nothing else."""
    voice = random_bundle / "voices" / "v2" / "en_speaker_0.npz"
    for name in ("v2/en_speaker_0", "v2/de_speaker_3", "me"):
        path = tmp_path / "bundle" / "voices" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(voice, path)
    return tmp_path / "bundle"


def test_voices_of_the_bundle_are_completed(bundle: Path) -> None:
    assert complete(bundle, "--voice", "v2/") == ["plain,v2/de_speaker_3", "plain,v2/en_speaker_0"]
    assert complete(bundle, "-v", "v2/e") == ["plain,v2/en_speaker_0"]
    assert complete(bundle, "-v", "m") == ["plain,me"]
    found = complete("", "--voice", "v2/e", BARK_ONNX_MODEL=str(bundle))
    assert found == ["plain,v2/en_speaker_0"]


@pytest.mark.parametrize("where", ["nowhere", "suno/bark-small", ""])
def test_files_are_completed_without_voices(where: str) -> None:
    assert complete(where, "--voice", "my") == ["file,my"]


def test_visible_options_are_completed(bundle: Path) -> None:
    assert complete(bundle, "--semantic-temp") == ["plain,--semantic-temperature"]
    assert not any(complete(bundle, "--history_p"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("name", ["bark-onnx", "bark-export"])
def test_every_shell_has_a_completion_script(name: str, shell: str) -> None:
    variable = f"_{name.upper().replace('-', '_')}_COMPLETE"
    done = subprocess.run(
        [ENTRY_POINT.with_name(name)],
        env={**os.environ, variable: f"{shell}_source"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert name in done.stdout
    assert f"{shell}_complete" in done.stdout
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.stdout, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr


def test_completion_of_voices_does_not_import_onnxruntime(bundle: Path) -> None:
    code = (
        "import sys; from bark_onnx.runtime.cli.speak import speak; "
        "from click.shell_completion import ShellComplete as Shell; "
        f"print([item.value for item in Shell(speak, {{}}, 'x', 'x').get_completions("
        f"['-m', {str(bundle)!r}, '--voice'], 'm')], 'onnxruntime' in sys.modules)"
    )
    done = subprocess.run(
        [ENTRY_POINT.with_name("python"), "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip() == "['me'] False", done.stderr
