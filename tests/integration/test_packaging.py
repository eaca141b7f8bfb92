"""What is installed, what it imports, and which way its parts depend on each other."""

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

import bark_onnx.runtime
import bark_onnx.runtime.api

ROOT = Path(__file__).parents[2]
FOLDERS = ("export", "graphs", "runtime", "deploy/transformers")
REGISTER = "deploy/optimum"  # of a namespace that belongs to optimum
IMPORTED_AS = {
    "deploy/transformers": "bark_onnx.transformers",
    REGISTER: "optimum.commands.register",
}
DATA = ("runtime/server/page", "export/demo/categories", "export/demo/checkpoint", "graphs/demo")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TORCH_SIDE = ("torch", "transformers", "onnx", "onnx_ir", "onnxscript", "optimum")

PUBLIC = [
    "AudioError",
    "Bark",
    "BarkError",
    "BarkInfo",
    "BundleError",
    "ClosedError",
    "ContractError",
    "EngineError",
    "EngineStatus",
    "GenerationOptions",
    "Language",
    "Observer",
    "OptionsError",
    "PlayerError",
    "Provenance",
    "ProviderError",
    "QueueFullError",
    "RequestTimings",
    "Segment",
    "Speech",
    "SpeechFuture",
    "SpeechWriter",
    "StageStatus",
    "StageTimes",
    "StreamOptions",
    "StreamPlan",
    "TextError",
    "Voice",
    "VoiceError",
    "VoiceInfo",
    "VoiceProvenance",
    "segment_seed",
    "use_global_thread_pool",
]


def packages_of_the_tree() -> set[str]:
    return {IMPORTED_AS[REGISTER]} | {
        installed_path(path.parent).replace("/", ".")
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
    }


def installed_path(path: Path) -> str:
    """Path in a wheel of a file or folder of the tree."""
    name = path.relative_to(ROOT).as_posix()
    for folder, package in IMPORTED_AS.items():
        if name == folder or name.startswith(f"{folder}/"):
            return package.replace(".", "/") + name.removeprefix(folder)
    return f"bark_onnx/{name}"


def modules_of_the_tree() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }


# What is public


def test_the_public_names_are_these() -> None:
    assert bark_onnx.runtime.__all__ == bark_onnx.runtime.api.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(bark_onnx.runtime, name).__name__ == name


def test_every_public_name_says_what_it_is() -> None:
    for name in PUBLIC:
        assert getattr(bark_onnx.runtime, name).__doc__, name


# What is installed


def test_every_package_of_the_tree_is_listed() -> None:
    # One that is missing works in an editable install and is absent from the wheel.
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_of_the_tree()


def test_every_folder_with_modules_is_a_package() -> None:
    for name in modules_of_the_tree():
        assert (ROOT / name).with_name("__init__.py").is_file(), name


def test_the_namespace_of_optimum_has_no_init_file() -> None:
    # PEP 420: optimum and every other extension of it share the folder.
    assert [path.name for path in (ROOT / REGISTER).glob("*.py")] == ["register_bark_onnx.py"]


def test_every_folder_of_deploy_with_modules_is_installed() -> None:
    found = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "deploy").rglob("*.py")}
    assert found == set(IMPORTED_AS)


def test_the_version_is_the_one_that_is_installed() -> None:
    assert version("bark-onnx") == PROJECT["project"]["version"]


def test_everything_typed_says_so() -> None:
    for folder in FOLDERS:
        assert (ROOT / folder / "py.typed").is_file()
        package = installed_path(ROOT / folder).replace("/", ".")
        assert PROJECT["tool"]["setuptools"]["package-data"][package][0] == "py.typed"


def test_what_the_runtime_needs_is_no_more_than_the_base_dependencies() -> None:
    base = {re.split(r"[<>=\[ ]", line)[0] for line in PROJECT["project"]["dependencies"]}
    assert not base & {"torch", "transformers", "onnx", "onnx-ir", "onnxscript", "optimum"}
    extras = PROJECT["project"]["optional-dependencies"]
    # The two own one module and must never be installed together.
    assert not any("onnxruntime" in line for line in PROJECT["project"]["dependencies"])
    assert [line.split(">")[0] for line in extras["cpu"]] == ["onnxruntime"]
    names = [re.split(r"[<>=\[ ]", line)[0] for line in extras["gpu"]]
    assert names == ["onnxruntime-gpu", "nvidia-cublas"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built from: building in the tree itself would leave build/ behind."""
    if find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed, and building must not download it")
    copy = tmp_path_factory.mktemp("build") / "tree"
    copy.mkdir()
    for folder in (*FOLDERS, REGISTER):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix in (".toml", ".md", ".in", ""):
            shutil.copy(path, copy)
    return copy


def expected_in_a_wheel() -> set[str]:
    files = {ROOT / name for name in modules_of_the_tree()}
    for data in DATA:
        files |= {path for path in (ROOT / data).rglob("*") if path.is_file()}
    files |= {ROOT / folder / "py.typed" for folder in FOLDERS}
    files |= {*(ROOT / REGISTER).glob("*.py")}
    return {installed_path(path) for path in files}


def wheel_from(tree: Path, target: Path) -> zipfile.ZipFile:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", target, tree),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = target.glob("*.whl")
    return zipfile.ZipFile(wheel)


def test_the_wheel_holds_every_module_and_nothing_else(tree: Path, tmp_path: Path) -> None:
    with wheel_from(tree, tmp_path) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert names == expected_in_a_wheel()
        (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
        text = wheel.read(metadata).decode()
        scripts = wheel.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    assert f"Version: {version('bark-onnx')}" in text
    for extra in ("cpu", "gpu", "webgpu", "serve", "export", "transformers", "optimum"):
        assert f"Provides-Extra: {extra}" in text
    assert "bark-export = bark_onnx.export.cli:main" in scripts
    assert "bark-onnx = bark_onnx.runtime.cli.main:main" in scripts


def test_the_source_archive_builds_the_same_wheel(tree: Path, tmp_path: Path) -> None:
    code = (
        "import setuptools.build_meta as build, sys; "
        "print(build.build_sdist(sys.argv[1]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tree, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    with wheel_from(source, tmp_path) as wheel:
        assert expected_in_a_wheel() <= set(wheel.namelist())


# What is imported


def isolated(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_runtime_imports_nothing_of_the_torch_side() -> None:
    started = time.perf_counter()
    loaded = isolated("import sys, bark_onnx.runtime.api; print(*sys.modules)").split()
    print(f"importing bark_onnx.runtime took {time.perf_counter() - started:.2f} s in all")
    assert not set(TORCH_SIDE) & set(loaded)
    # What takes long to import, or may be missing, waits until it is used.
    assert not {"onnxruntime", "huggingface_hub", "soundfile"} & set(loaded)


def test_importing_the_command_imports_no_onnxruntime() -> None:
    loaded = isolated("import sys, bark_onnx.runtime.cli.command; print(*sys.modules)").split()
    assert not {*TORCH_SIDE, "onnxruntime", "huggingface_hub", "fastapi", "av"} & set(loaded)


def test_the_entry_point_imports_nothing_before_it_handles_interrupts() -> None:
    loaded = isolated("import sys, bark_onnx.runtime.cli.main; print(*sys.modules)").split()
    assert not {"numpy", "click", "tokenizers", "bark_onnx.runtime.api"} & set(loaded)


def test_public_names_are_imported_when_they_are_used() -> None:
    code = "import bark_onnx.runtime as r; print(*dir(r)); from bark_onnx.runtime import *; Bark"
    assert set(bark_onnx.runtime.__all__) <= set(isolated(code).split())
    with pytest.raises(AttributeError, match=r"'bark_onnx\.runtime' has no attribute 'Brak'"):
        bark_onnx.runtime.Brak  # noqa: B018


def test_the_server_imports_nothing_of_the_torch_side() -> None:
    loaded = isolated("import sys, bark_onnx.runtime.server.server; print(*sys.modules)").split()
    assert "fastapi" in loaded
    assert not {*TORCH_SIDE, "onnxruntime", "huggingface_hub", "av"} & set(loaded)


_SPEAK_WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked")

bundle, *BLOCKED = sys.argv[1:]
sys.meta_path.insert(0, Blocked())
try:
    import torch
except ModuleNotFoundError:
    pass
else:
    sys.exit("the block does not hold")

from bark_onnx.runtime import Bark, GenerationOptions
options = GenerationOptions.greedy().replace(semantic_max_new_tokens=20)
speech = Bark.load(bundle).speak("Hello", voice="v2/en_speaker_0", options=options)
print(speech.samples.std() > 0, len(speech.samples))
"""


def test_a_bundle_speaks_where_the_torch_side_cannot_be_imported(random_bundle: Path) -> None:
    made, samples = isolated(_SPEAK_WITHOUT, random_bundle, *TORCH_SIDE, "bark_onnx.export").split()
    assert made == "True"
    assert int(samples) > 0


# Which way things depend on each other


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function, by full name."""
    package = tuple(installed_path(path.parent).split("/"))
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def banned(path: Path, *packages: str) -> list[str]:
    return sorted(
        name
        for name in imports_of(path)
        for package in packages
        if name == package or name.startswith(f"{package}.")
    )


@pytest.mark.parametrize("name", sorted(modules_of_the_tree()))
def test_dependencies_point_one_way(name: str) -> None:
    path, parts = ROOT / name, Path(name).parts
    if parts[0] == "runtime":
        forbidden = (*TORCH_SIDE, "bark_onnx.export", "bark_onnx.graphs.passes")
        assert not banned(path, *forbidden, "bark_onnx.transformers")
    elif parts[:2] == ("graphs", "passes"):
        assert not banned(path, "torch", "transformers", "bark_onnx.export", "bark_onnx.runtime")
    elif parts[0] == "graphs":
        forbidden = (
            *TORCH_SIDE,
            "bark_onnx.export",
            "bark_onnx.runtime",
            "bark_onnx.graphs.passes",
            "bark_onnx.transformers",
        )
        assert not banned(path, *forbidden)
    elif parts[0] == "export":
        assert not banned(path, "bark_onnx.runtime", "bark_onnx.transformers")
    else:
        assert not banned(path, "bark_onnx.export", "bark_onnx.graphs.passes")
    # A second copy of a package would be imported from the folder that happens to be the root.
    assert not banned(path, *(parts.partition("/")[0] for parts in FOLDERS))


def test_only_one_file_of_the_runtime_imports_onnxruntime() -> None:
    found = [
        name
        for name in sorted(modules_of_the_tree())
        if name.startswith(("runtime/", "graphs/")) and banned(ROOT / name, "onnxruntime")
    ]
    assert found == ["graphs/onnxruntime.py"]
