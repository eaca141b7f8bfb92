"""`optimum-cli export bark-onnx`, in processes of their own: options, an export, errors."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from bark_onnx.export.cli import command
from bark_onnx.runtime import Bark
from tests.conftest import MakeOnce

ROOT = Path(__file__).parents[3]
OPTIMUM = "optimum.commands.optimum_cli"


def has_optimum() -> bool:
    """Whether optimum itself is installed: the namespace alone is part of this project."""
    return (
        find_spec("optimum") is not None
        and find_spec("optimum.commands") is not None
        and (find_spec(OPTIMUM) is not None)
    )


def is_installed() -> bool:
    """Whether the command is in optimum's namespace."""
    try:
        return find_spec("optimum.commands.register.register_bark_onnx") is not None
    except ModuleNotFoundError:
        return False


needs_optimum = pytest.mark.skipif(not has_optimum(), reason="the extra [optimum] is missing")


@pytest.fixture(scope="session")
def namespace(make_once: MakeOnce) -> Path:
    """A folder as site-packages is after an install: the namespace of optimum, and ours in it.

    Empty where an install has put our file there.
    """

    def make(folder: Path) -> None:
        register = folder / "optimum" / "commands" / "register"
        register.mkdir(parents=True)
        if is_installed():
            return
        source = ROOT / "deploy" / "optimum" / "register_bark_onnx.py"
        (register / source.name).write_bytes(source.read_bytes())

    return make_once("optimum", make)


@pytest.fixture
def optimum_cli(namespace: Path, tmp_path: Path):
    """Runs optimum-cli, and returns the process when it has ended."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = (
            "import sys; sys.path.append(sys.argv.pop(1)); sys.argv[0] = 'optimum-cli'; "
            f"from {OPTIMUM} import main; main()"
        )
        return subprocess.run(
            [sys.executable, "-c", code, namespace, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )

    return run


def assert_one_line_of_error(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    lines = [line for line in done.stderr.splitlines() if not line.startswith("[ ")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("optimum-cli export bark-onnx: ")
    for part in parts:
        assert part in lines[0]


@needs_optimum
def test_optimum_lists_the_command(optimum_cli):
    done = optimum_cli("export", "--help")
    assert done.returncode == 0, done.stderr
    assert "bark-onnx" in done.stdout


@needs_optimum
def test_help_shows_every_option_of_bark_export(optimum_cli):
    done = optimum_cli("export", "bark-onnx", "--help")
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    for option in command.params:
        if isinstance(option, click.Option) and option.expose_value:
            for name in (*option.opts, *option.secondary_opts):
                assert name in shown
    assert "-m SOURCE, --model SOURCE" in shown
    assert "100%" not in shown
    assert "[default: fp32]" in shown


@needs_optimum
def test_a_checkpoint_is_exported_with_the_options_given(
    optimum_cli, random_checkpoint: Path, tmp_path: Path
):
    done = optimum_cli(
        *("export", "bark-onnx", "-m", random_checkpoint, "bundle"),
        *("--precision", "fp32,int8", "--no-verify", "--voices=none"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bundle: ")
    assert "semantic: int8" in done.stderr
    assert "comparing with torch" not in done.stderr
    bark = Bark.load(tmp_path / "bundle", precision="int8", provider="cpu")
    assert bark.voices == []
    assert len(bark.speak("Hello", semantic_max_new_tokens=4).samples) > 0
    again = optimum_cli("export", "bark-onnx", "-m", random_checkpoint, "bundle")
    assert again.returncode == 1
    assert_one_line_of_error(again, "bundle already holds a bundle", "--force")


@needs_optimum
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("-m", "missing/folder/name", "out"), ("missing/folder/name",)),
        (("-m", "random", "out", "--precision", "fp8"), ("'fp8' is unknown", "fp32, fp16")),
        (("-m", "random", "out", "--precision=fp16", "--attention=standard"), ("fused",)),
        (("-m", "random", "out", "--voices", "none", "--voices-from", "."), ("contradicts",)),
    ],
    ids=str,
)
def test_an_error_is_one_line_and_status_1(
    optimum_cli, tmp_path: Path, arguments: tuple[str, ...], parts: tuple[str, ...]
):
    done = optimum_cli("export", "bark-onnx", *arguments)
    assert done.returncode == 1
    assert_one_line_of_error(done, *parts)
    assert list(tmp_path.iterdir()) == []


@needs_optimum
def test_a_value_that_is_no_choice_is_one_line_and_status_2_as_with_bark_export(
    optimum_cli, tmp_path: Path
):
    done = optimum_cli("export", "bark-onnx", "-m", "random", "out", "--attention", "flash")
    assert done.returncode == 2
    assert_one_line_of_error(done, "flash", "see optimum-cli export bark-onnx --help")


@needs_optimum
def test_the_command_of_optimum_starts_without_pytorch(namespace: Path):
    code = (
        "import sys; sys.path.append(sys.argv[1]); import optimum.commands.register; "
        "before = set(sys.modules); import bark_onnx.export.cli; "
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code, namespace], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "transformers", "onnx"} & set(done.stdout.split())


def test_without_optimum_the_namespace_holds_nothing_but_the_command(namespace: Path):
    # A look for a module or for the version of optimum finds that it is missing.
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from importlib.metadata import PackageNotFoundError, version\n"
        "import optimum.commands.register as register\n"
        "print(getattr(register, '__file__', None), list(register.__path__))\n"
        "try: import optimum.commands.optimum_cli\n"
        "except ModuleNotFoundError as error: print(error.name)\n"
        "try: version('optimum')\n"
        "except PackageNotFoundError as error: print(error.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, namespace], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    folder = namespace / "optimum" / "commands" / "register"
    assert done.stdout.splitlines() == [f"None {[str(folder)]}", OPTIMUM, "optimum"]
