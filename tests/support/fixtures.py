"""A checkpoint whose utterances end by themselves, and what transformers says, asked once."""

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import bark_onnx.runtime.cli.command as cli
from bark_onnx.graphs.bundle.integrity import hash_file
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.command_line import run_command
from bark_onnx.runtime import Bark, Voice
from tests.conftest import SHARED, MakeOnce, export
from tests.support.command import Result, Run
from tests.support.reference import Reference, ReferenceSpeech

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LOUDER = 1.5  # how much the weights behind the end of an utterance grow in an `ending` checkpoint


@pytest.fixture(scope="session")
def recognition() -> Iterator[Callable[[str], ModuleType]]:
    """Import of a module of benchmarks/recognition by its name."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        pytest.importorskip("recognition", reason="the extra [recognition] is missing")
        yield lambda name: import_module(f"recognition.{name}")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs bark-onnx in this process, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BARK_ONNX_MODEL", raising=False)

    def run_here(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["bark-onnx", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        status = 0
        try:
            run_command(cli.command, "bark-onnx")
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_here


@pytest.fixture
def bundle(random_bundle: Path, tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return Path(shutil.copytree(random_bundle, tmp_path / "bundle"))


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An aplay, the only player there is, that keeps what it is told and what it hears."""
    folder = tmp_path_factory.mktemp("programs")
    path = folder / "aplay"
    path.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        f"open({str(folder / 'arguments')!r}, 'w').write(' '.join(sys.argv[1:]))\n"
        f"open({str(folder / 'heard')!r}, 'wb').write(sys.stdin.buffer.read())\n"
    )
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return path


class CachedReference:
    """A `Reference` that generates each utterance once."""

    def __init__(self, checkpoint: Path) -> None:
        self.reference = Reference(checkpoint)
        self._cache: dict[Any, ReferenceSpeech] = {}

    def generate(
        self, ids: np.ndarray, voice: Voice | None = None, **kwargs: Any
    ) -> ReferenceSpeech:
        key = (tuple(ids.tolist()), voice and voice.fine_prompt.tobytes(), tuple(kwargs.items()))
        if key not in self._cache:
            self._cache[key] = self.reference.generate(ids, voice, **kwargs)
        return self._cache[key]


@pytest.fixture(scope="session")
def random_reference(random_checkpoint: Path) -> CachedReference:
    return CachedReference(random_checkpoint)


@pytest.fixture(scope="session")
def real_reference(real_checkpoint: Path) -> CachedReference:
    return CachedReference(real_checkpoint)


@pytest.fixture(scope="session")
def standard(standard_bundle: Path, provider: str) -> Bark:
    if provider == "webgpu":
        pytest.skip("WebGPU has no kernel for standard attention")
    return Bark.load(standard_bundle, provider=provider)


@pytest.fixture(scope="session")
def ending_bundle(
    random_bundle: Path, standard_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Bundles by form of attention, changed so that greedy utterances soon end by themselves."""
    made = {}
    for attention, bundle in (("fused", random_bundle), ("standard", standard_bundle)):
        made[attention] = tmp_path_factory.mktemp("ending") / attention
        shutil.copytree(bundle, made[attention])
        _raise_end(made[attention])
    return made.__getitem__


@pytest.fixture(scope="session")
def half_bundle(random_checkpoint: Path, make_once: MakeOnce) -> Path:
    """The random checkpoint in fp32, fp16 and int8."""
    precisions = ("fp32", "fp16", "int8")
    return make_once(
        "bundles/half", lambda target: export(random_checkpoint, target, precisions=precisions)
    )


@pytest.fixture(scope="session")
def ending(ending_bundle: Callable[[str], Path], provider: str) -> Bark:
    form = "standard" if provider == "cuda" else "fused"
    return Bark.load(ending_bundle(form), provider=provider)


@pytest.fixture(scope="session")
def ending_reference(random_checkpoint: Path) -> CachedReference:
    cached = CachedReference(random_checkpoint)
    with torch.no_grad():
        cached.reference.model.semantic.lm_head.weight[10_000] *= LOUDER
    return cached


def _raise_end(bundle: Path) -> None:
    """Scale the weights of the semantic head's last row: the token that ends the utterance."""
    path = bundle / "fp32" / "semantic.onnx"
    graph = onnx.load(path)
    (head,) = [tensor for tensor in graph.graph.initializer if 10_001 in tensor.dims]
    weights = onnx.numpy_helper.to_array(head).copy()
    weights[(..., -1) if weights.shape[-1] == 10_001 else (-1, ...)] *= LOUDER
    head.CopyFrom(onnx.numpy_helper.from_array(weights, head.name))
    data = path.with_name(f"{path.name}.data")
    data.unlink()
    onnx.save(graph, path, save_as_external_data=True, location=data.name)
    manifest = Manifest.read(bundle)
    for file in (path, data):
        manifest.files[file.relative_to(bundle).as_posix()] = hash_file(file)
    (bundle / "bark.json").write_text(manifest.to_json(), encoding="utf-8")


def preset(name: str) -> Voice:
    """One of Suno's own voices."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is missing: no real voices")
    return Voice.load(SHARED / "voices" / f"{name}.npz")
