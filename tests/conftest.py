"""Checkpoints with every parameter random, bundles exported from them, and transformers beside."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # threads that wait for each other on one core are slow
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bark_onnx.export import trace
from bark_onnx.export.bundle import ExportOptions, export_bundle
from bark_onnx.export.checkpoints.checkpoint import open_checkpoint
from bark_onnx.export.random_bark import RandomBark, write_checkpoint
from bark_onnx.graphs.errors import ProviderError
from bark_onnx.runtime import Bark
from bark_onnx.runtime.inference.providers.selection import _BY_NAME
from tests.support.signals import kept_signal_handlers
from tests.support.traces import KeptTraces

MakeOnce = Callable[[str, Callable[[Path], object]], Path]

pytest_plugins = ["tests.support.fixtures"]

SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_shared_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"{SHARED} is missing: no real vocabulary and voices"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--provider", choices=("cpu", "cuda", "webgpu"), default="cpu", help="to speak on"
    )
    parser.addoption(
        "--soak-requests", type=int, default=0, help="of the server's soak test, at least"
    )


def pytest_configure(config: pytest.Config) -> None:
    # What a shell starts in the background ignores interrupts, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if (name := config.getoption("--provider")) != "cpu":
        try:
            _BY_NAME[name].start()
        except ProviderError as error:
            raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests of the layout counted."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    for report in reports:
        for name, value in getattr(report, "user_properties", []):
            if name == "layout":
                terminalreporter.write_line(f"layout: {value}")


@pytest.fixture(autouse=True)
def own_signal_handlers() -> Iterator[None]:
    with kept_signal_handlers():
        yield


@pytest.fixture(scope="session")
def provider(request: pytest.FixtureRequest) -> str:
    """Where the fixtures that speak do so; exact speech needs standard attention on CUDA."""
    return request.config.getoption("--provider")


def export(checkpoint: Path, target: Path, **options: object) -> Path:
    """Export a checkpoint folder to a bundle folder, without verification unless asked for."""
    options = {"verify": False, **options}
    export_bundle(
        open_checkpoint(str(checkpoint)),
        target,
        ExportOptions(**options),
        force=False,
        progress=lambda step: None,
    )
    return target


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Makes a folder of a name, which all workers of pytest-xdist share."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return make_once


@pytest.fixture(scope="session", autouse=True)
def kept_traces(make_once: MakeOnce) -> Iterator[None]:
    """Tests that export in their own process trace each module once; its passes always run."""
    with pytest.MonkeyPatch.context() as patched:
        kept = KeptTraces(trace._run_tracer, make_once("traces", lambda folder: folder.mkdir()))
        patched.setattr(trace, "_run_tracer", kept)
        yield


@pytest.fixture(scope="session")
def random_checkpoint(make_once: MakeOnce) -> Path:
    """The random checkpoint: two layers, its own small tokenizer, one voice."""
    return make_once("checkpoints/random", write_checkpoint)


@pytest.fixture(scope="session")
def random_bundle(random_checkpoint: Path, make_once: MakeOnce) -> Path:
    """The random checkpoint with fused attention, verified. Tests copy it before they change it."""
    return make_once(
        "bundles/random", lambda target: export(random_checkpoint, target, verify=True)
    )


@pytest.fixture(scope="session")
def gpu_bundle(make_once: MakeOnce) -> Path:
    """A random checkpoint with heads of 64, as real ones: other sizes take other kernels."""
    checkpoint = make_once(
        "checkpoints/gpu", lambda folder: write_checkpoint(folder, RandomBark(hidden_size=128))
    )
    precisions = ("fp16", "fp32")
    return make_once(
        "bundles/gpu", lambda target: export(checkpoint, target, precisions=precisions)
    )


@pytest.fixture(scope="session")
def standard_bundle(random_checkpoint: Path, make_once: MakeOnce) -> Path:
    """The random checkpoint with standard attention, verified."""
    options: dict[str, Any] = {"attention": "standard", "verify": True}
    return make_once(
        "bundles/standard", lambda target: export(random_checkpoint, target, **options)
    )


@pytest.fixture(scope="session")
def real_checkpoint(make_once: MakeOnce) -> Path:
    """Suno's vocabulary sizes and tokenizer, shapes of its own, biases in every layer."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is missing: no real vocabulary and voices")
    return make_once("checkpoints/real", _write_real)


def _write_real(folder: Path) -> None:
    # 119,547 pieces, then the pad token 129,595 and the infer token 129,599.
    sizes = RandomBark(
        num_layers=3,
        num_heads=3,
        hidden_size=96,
        bias=True,
        text_vocabulary=119_547,
        codec={"num_filters": 8, "hidden_size": 32},
        max_new_tokens=768,
        seed=7,
    )
    write_checkpoint(folder, sizes)
    (folder / "vocab.txt").write_bytes((SHARED / "tokenizer" / "vocab.txt").read_bytes())


@pytest.fixture(scope="session")
def real_bundle(real_checkpoint: Path, provider: str, make_once: MakeOnce) -> Path:
    """The checkpoint with Suno's vocabulary sizes, verified; fused where the provider allows."""
    attention = "standard" if provider == "cuda" else "fused"
    return make_once(
        "bundles/real",
        lambda target: export(real_checkpoint, target, attention=attention, verify=True),
    )


@pytest.fixture(scope="session")
def random_bark(random_bundle: Path, standard_bundle: Path, provider: str) -> Bark:
    return Bark.load(standard_bundle if provider == "cuda" else random_bundle, provider=provider)


@pytest.fixture(scope="session")
def real(real_bundle: Path, provider: str) -> Bark:
    return Bark.load(real_bundle, provider=provider)
