"""Whole bundles: all of one or none of it, equal to torch, and labelled for whoever embeds it."""

import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

import bark_onnx.export.bundle as bundle_module
from bark_onnx.export.bundle import ExportOptions, export_bundle
from bark_onnx.export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from bark_onnx.export.parity import TOLERANCE, compare_stage
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.contract import METADATA_KEY, STAGES, GraphContract, Stage, graph_contract
from bark_onnx.graphs.errors import ExportError
from tests.support.messages import assert_one_line

EXPORT = [sys.executable, "-m", "bark_onnx.export"]


@pytest.fixture(scope="module")
def checkpoint(demo_checkpoint: Path) -> Checkpoint:
    return open_checkpoint(str(demo_checkpoint))


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are neither traced nor compared: the tests are about folders."""
    monkeypatch.setattr(bundle_module, "trace_stage", lambda *_: None)
    monkeypatch.setattr(bundle_module, "save_graph", write_a_graph)
    monkeypatch.setattr(bundle_module, "compare_stage", lambda *_: ())


def write_a_graph(_graph: object, path: Path) -> None:
    path.write_bytes(b"a graph")
    path.with_name(f"{path.name}.data").write_bytes(b"its weights")


def export(checkpoint: Checkpoint, target: Path, *, force: bool = False, **options: Any) -> None:
    export_bundle(
        checkpoint, target, ExportOptions(**options), force=force, progress=lambda step: None
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refuse(checkpoint: Checkpoint, target: Path, *words: str, force: bool = False) -> None:
    with pytest.raises(ExportError) as caught:
        export(checkpoint, target, force=force)
    assert_one_line(caught.value, *words)


# The target


@pytest.mark.usefixtures("fast")
def test_bundle_appears_with_nothing_beside_it(checkpoint: Checkpoint, tmp_path: Path) -> None:
    export(checkpoint, tmp_path / "new" / "folder" / "bundle")
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["bundle"]
    assert (tmp_path / "new" / "folder" / "bundle" / "bark.json").is_file()


@pytest.mark.usefixtures("fast")
def test_bundle_permissions_follow_the_umask(checkpoint: Checkpoint, tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        export(checkpoint, tmp_path / "bundle")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)
    assert (tmp_path / "bundle").stat().st_mode & 0o777 == 0o750


@pytest.mark.usefixtures("fast")
def test_bundle_is_replaced_only_with_force(checkpoint: Checkpoint, tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    export(checkpoint, target)
    (target / "voices" / "mine.npz").write_bytes(b"a voice of the user's")
    before = contents(target)
    refuse(checkpoint, target, str(target), "holds a bundle already", "--force")
    assert contents(target) == before
    export(checkpoint, target, force=True, voices="none")
    assert "voices/v2/en_speaker_0.npz" not in contents(target)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("force", [False, True])
def test_folder_with_other_files_is_never_replaced(
    checkpoint: Checkpoint, tmp_path: Path, force: bool
) -> None:
    target = tmp_path / "photographs"
    target.mkdir()
    (target / "holiday.jpg").write_bytes(b"irreplaceable")
    refuse(checkpoint, target, str(target), "other files", "does not exist yet", force=force)
    assert contents(tmp_path) == {"photographs/holiday.jpg": b"irreplaceable"}


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("force", [False, True])
def test_file_is_never_replaced(checkpoint: Checkpoint, tmp_path: Path, force: bool) -> None:
    (tmp_path / "notes").write_text("irreplaceable")
    refuse(checkpoint, tmp_path / "notes", "is a file", "expected a folder", force=force)
    refuse(checkpoint, tmp_path / "notes" / "bundle", "notes", "choose another", force=force)
    assert contents(tmp_path) == {"notes": b"irreplaceable"}


@pytest.mark.usefixtures("fast")
def test_empty_folder_is_used(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    export(checkpoint, tmp_path / "bundle")
    assert "bark.json" in contents(tmp_path / "bundle")


@pytest.mark.usefixtures("fast")
@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_parent_is_named_when_it_cannot_be_written(checkpoint: Checkpoint, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    refuse(checkpoint, closed / "bundle", str(closed), "cannot be written", "choose another folder")


# Interrupted exports

INTERRUPTIONS = [
    RuntimeError("a bug"),
    KeyboardInterrupt(),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
]


def raiser(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("error", INTERRUPTIONS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["trace_stage", "save_graph", "compare_stage", "_record_files"])
def test_failed_export_leaves_the_target_unchanged(
    checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: BaseException,
    force: bool,
) -> None:
    if force:
        export(checkpoint, tmp_path / "bundle")
    before = contents(tmp_path)

    def fail_late(_graph: object, path: Path) -> None:
        write_a_graph(_graph, path)
        if path.stem == "coarse":
            raise error

    monkeypatch.setattr(bundle_module, step, fail_late if step == "save_graph" else raiser(error))
    with pytest.raises((type(error), ExportError)) as caught:
        export(checkpoint, tmp_path / "bundle", force=force)
    if isinstance(error, OSError):
        assert isinstance(caught.value, ExportError)
        assert_one_line(caught.value, "No space left on device", "free some space", "left behind")
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"] * force


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("error", INTERRUPTIONS[1:], ids=lambda error: type(error).__name__)
def test_old_bundle_stays_when_the_new_one_cannot_be_renamed(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    target = tmp_path / "bundle"
    export(checkpoint, target)
    before = contents(tmp_path)
    rename = Path.rename

    def rename_all_but_the_new_one(path: Path, destination: Path) -> Path:
        if Path(destination) == target and (path / "bark.json").is_file() and not failed:
            failed.append(path)
            raise error
        return rename(path, destination)

    failed: list[Path] = []
    monkeypatch.setattr(Path, "rename", rename_all_but_the_new_one)
    with pytest.raises((type(error), ExportError)):
        export(checkpoint, target, force=True)
    assert failed
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_full_disk_leaves_nothing_behind(demo_checkpoint: Path, tmp_path: Path) -> None:
    # No file may grow beyond 300 kB, as on a disk that is full: the tokenizer fits, weights do not.
    done = subprocess.run(
        [*EXPORT, str(demo_checkpoint), str(tmp_path / "bundle"), "--no-verify"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )
    assert done.returncode == 1, done.stderr
    assert "semantic: writing" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert_one_line(last, "bark-export: ", str(tmp_path / "bundle"), "cannot be written")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_full_disk_raises_one_line_while_writing_the_demo_checkpoint(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [*EXPORT, "demo", str(tmp_path / "bundle"), "--no-verify"],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert_one_line(done.stderr.splitlines()[-1], "bark-export: ", "cannot be written")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("number", "step"),
    [(signal.SIGTERM, "semantic: tracing"), (signal.SIGINT, "semantic: comparing")],
)
def test_signal_during_export_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, step: str
) -> None:
    scratch, place = tmp_path / "scratch", tmp_path / "place"
    scratch.mkdir()
    place.mkdir()
    process = subprocess.Popen(
        [*EXPORT, "demo", str(place / "bundle")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
        # A shell that runs the tests in the background lets them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if step in line:
            break
    assert list(place.iterdir()), "nothing was under way"
    time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    # Python ends by SIGINT itself where the interrupt passed through code run by exec, even though
    # it was caught: a shell reads 130 either way.
    assert process.returncode in (130, -signal.SIGINT), err
    assert out == ""
    assert_one_line(err.splitlines()[-1], "bark-export: interrupted", "nothing was left behind")
    assert "Traceback" not in err
    assert list(place.iterdir()) == []
    assert list(scratch.glob("bark-onnx-*")) == []


# The manifest


def test_manifest_lists_every_file_with_size_and_checksum(demo_bundle: Path) -> None:
    manifest = Manifest.read(demo_bundle)
    found = {
        name: (len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents(demo_bundle).items()
        if name != "bark.json"
    }
    assert found == {name: (record.size, record.sha256) for name, record in manifest.files.items()}
    graphs = {f"fp32/{stage}.onnx{suffix}" for stage in STAGES for suffix in ("", ".data")}
    assert set(found) == {"tokenizer.json", "voices/v2/en_speaker_0.npz", *graphs}


def test_manifest_describes_the_export(
    demo_bundle: Path, standard_bundle: Path, checkpoint: Checkpoint
) -> None:
    from importlib.metadata import version

    manifest = Manifest.read(demo_bundle)
    assert manifest.source == checkpoint.source
    assert manifest.exporter == f"bark-onnx {version('bark-onnx')}"
    assert (manifest.attention, manifest.precisions) == ("fused", ("fp32",))
    assert Manifest.read(standard_bundle).attention == "standard"
    assert (manifest.shapes, manifest.generation) == (checkpoint.shapes, checkpoint.generation)


@pytest.mark.parametrize("attention", ["fused", "standard"])
def test_manifest_holds_the_comparison_with_torch(
    demo_bundle: Path, standard_bundle: Path, attention: str
) -> None:
    parity = Manifest.read(demo_bundle if attention == "fused" else standard_bundle).parity
    assert set(parity) == {f"fp32/{stage}" for stage in STAGES}
    for cases in parity.values():
        assert len(cases) >= 5
        assert len({case.case for case in cases}) == len(cases)
        for case in cases:
            assert 0 <= case.largest_difference <= case.tolerance < 0.01
        # A comparison that finds no difference at all between two programs compared nothing.
        assert max(case.largest_difference for case in cases) > 0


# The graphs


def graph_at(folder: Path, stage: str, *, weights: bool = False) -> onnx.ModelProto:
    return onnx.load(folder / "fp32" / f"{stage}.onnx", load_external_data=weights)


def operators(model: onnx.ModelProto) -> set[tuple[str, str]]:
    assert not model.functions
    return {(node.domain, node.op_type) for node in model.graph.node}


@pytest.mark.parametrize("stage", STAGES)
def test_graphs_are_valid_onnx(standard_bundle: Path, stage: Stage) -> None:
    onnx.checker.check_model(standard_bundle / "fp32" / f"{stage}.onnx", full_check=True)


@pytest.mark.parametrize("stage", STAGES)
def test_standard_graphs_use_only_standard_operators(standard_bundle: Path, stage: Stage) -> None:
    model = graph_at(standard_bundle, stage)
    assert {domain for domain, _ in operators(model)} == {""}
    assert {opset.domain for opset in model.opset_import} == {""}
    assert (("", "Attention") in operators(model)) == (stage != "codec")


@pytest.mark.parametrize(
    ("stage", "operator"),
    [
        ("semantic", "GroupQueryAttention"),
        ("coarse", "GroupQueryAttention"),
        ("fine", "MultiHeadAttention"),
    ],
)
def test_fused_graphs_have_one_fused_operator_per_layer(
    demo_bundle: Path, stage: Stage, operator: str
) -> None:
    model = graph_at(demo_bundle, stage)
    fused = [node for node in model.graph.node if node.domain == "com.microsoft"]
    assert [node.op_type for node in fused] == [operator] * 2
    assert ("", "Attention") not in operators(model)


@pytest.mark.parametrize("attention", ["fused", "standard"])
@pytest.mark.parametrize("stage", STAGES)
def test_graphs_carry_and_match_their_contract(
    demo_bundle: Path, standard_bundle: Path, stage: Stage, attention: Any
) -> None:
    folder = demo_bundle if attention == "fused" else standard_bundle
    manifest = Manifest.read(folder)
    model = graph_at(folder, stage)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    contract = GraphContract.from_json(metadata[METADATA_KEY], stage)
    assert contract == graph_contract(stage, manifest.shapes, attention)
    opset = manifest.codec_opset if stage == "codec" else manifest.opset
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == opset
    for values, tensors in (
        (model.graph.input, contract.inputs),
        (model.graph.output, contract.outputs),
    ):
        for value, tensor in zip(values, tensors, strict=True):
            kind = value.type.tensor_type
            axes = tuple(axis.dim_param or axis.dim_value for axis in kind.shape.dim)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
            assert (value.name, dtype, axes) == (tensor.name, tensor.numpy_dtype, tensor.shape)
            assert value.doc_string == tensor.meaning


def test_codec_uses_an_opset_whose_elu_cuda_has(demo_bundle: Path) -> None:
    assert Manifest.read(demo_bundle).codec_opset <= 21


def test_graphs_contain_no_paths_or_modules_of_the_exporting_machine(demo_bundle: Path) -> None:
    home = str(Path(bundle_module.__file__).parents[1]).encode()
    for stage in STAGES:
        content = (demo_bundle / "fp32" / f"{stage}.onnx").read_bytes()
        assert home not in content
        assert b"site-packages" not in content
        assert b"transformers" not in content


@pytest.mark.parametrize("attention", ["fused", "standard"])
def test_fine_graph_reads_the_codebook_at_run_time(
    demo_bundle: Path, standard_bundle: Path, checkpoint: Checkpoint, attention: str
) -> None:
    folder = demo_bundle if attention == "fused" else standard_bundle
    session = onnxruntime.InferenceSession(folder / "fp32" / "fine.onnx")
    codes = np.random.default_rng(0).integers(0, 1024, (1, 40, 8))
    logits = [
        session.run(
            None,
            {"codes": codes, "codebook_index": np.array(index), "frame_indices": np.arange(40)},
        )[0]
        for index in range(1, 8)
    ]
    for index, found in enumerate(logits):
        for other in logits[index + 1 :]:
            assert np.abs(found - other).max() > 0.1
    # Codebooks after the one asked for are not looked at.
    codes[..., 4:] = 0
    blind = {"codes": codes, "codebook_index": np.array(3), "frame_indices": np.arange(40)}
    np.testing.assert_array_equal(session.run(None, blind)[0], logits[2])


# Verification


def weights_of(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Initializers that hold parameters: floats of more than one value."""
    return [
        tensor
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > 1
    ]


def change_one_value(tensor: onnx.TensorProto) -> None:
    array = numpy_helper.to_array(tensor).copy()
    array.flat[array.size // 2] *= 1.1
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("semantic", "layers.1.layernorm_2.weight"),
        ("coarse", "layers.0.layernorm_1.weight"),
        ("fine", "layers.1.layernorm_1.bias"),
        ("codec", "layers.7.block.3.convolution.bias"),
    ],
)
def test_comparison_fails_when_a_single_value_is_altered(
    demo_bundle: Path, checkpoint: Checkpoint, tmp_path: Path, stage: Stage, name: str
) -> None:
    model = graph_at(demo_bundle, stage, weights=True)
    (tensor,) = (tensor for tensor in weights_of(model) if tensor.name == name)
    change_one_value(tensor)
    path = tmp_path / f"{stage}.onnx"
    onnx.save(model, path)
    with (
        checkpoint.sub_model(stage) as module,
        pytest.raises(ExportError) as caught,
    ):
        compare_stage(checkpoint, stage, module, path, "fused")
    assert_one_line(
        caught.value, f"{stage}.onnx differs", "expected at most", "report", "--no-verify"
    )


def random_feeds(contract: GraphContract, manifest: Manifest) -> dict[str, Any]:
    """One run of a few tokens or frames, without a cache."""
    rng = np.random.default_rng(0)
    if contract.stage == "codec":
        return {"codes": rng.integers(0, 1024, (4, 8, 60))}
    if contract.stage == "fine":
        return {
            "codes": rng.integers(0, 1024, (1, 60, 8)),
            "codebook_index": np.array(7),
            "frame_indices": np.arange(60),
        }
    shape = getattr(manifest.shapes, contract.stage)
    feeds: dict[str, Any] = {
        "input_ids": rng.integers(0, shape.input_vocabulary, (1, 40)),
        "position_ids": np.arange(40)[None],
    }
    if contract.stage == "semantic":
        feeds["history_ids"] = rng.integers(0, shape.input_vocabulary, (1, 40))
    empty = np.zeros((1, shape.num_heads, 0, shape.head_size), np.float32)
    return feeds | {
        tensor.name: empty for tensor in contract.inputs if tensor.name.startswith("past")
    }


@pytest.mark.parametrize("stage", STAGES)
def test_every_parameter_changes_the_output_of_its_graph(
    standard_bundle: Path, tmp_path: Path, stage: Stage
) -> None:
    # Where one does not, a swapped weight would go unseen.
    manifest = Manifest.read(standard_bundle)
    feeds = random_feeds(graph_contract(stage, manifest.shapes, "standard"), manifest)
    model = graph_at(standard_bundle, stage, weights=True)
    weights = weights_of(model)
    assert len(weights) >= 15

    def output() -> Any:
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return session.run(None, feeds)[0]

    reference = output()
    allowed = TOLERANCE[stage] * max(1.0, float(np.abs(reference).max()))
    for tensor in weights:
        original = onnx.TensorProto()
        original.CopyFrom(tensor)
        array = numpy_helper.to_array(tensor) * np.float32(1.1)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        assert np.abs(output() - reference).max() > allowed, tensor.name
        tensor.CopyFrom(original)


def test_export_writes_nothing_when_a_graph_differs_from_torch(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = bundle_module.save_graph

    def save_altered(graph: Any, path: Path) -> None:
        save(graph, path)
        model = onnx.load(path)
        (tensor,) = (
            tensor for tensor in weights_of(model) if tensor.name == "layernorm_final.weight"
        )
        change_one_value(tensor)
        onnx.save(model, path)

    monkeypatch.setattr(bundle_module, "save_graph", save_altered)
    refuse(checkpoint, tmp_path / "bundle", "semantic.onnx differs", "expected at most")
    assert list(tmp_path.iterdir()) == []


SETTINGS = ("ORT_DISABLE_TELEMETRY", "ORT_GQA_DISABLE_FLASH_ATTENTION")


class _NoOnnxruntime:
    """Stands before all finders: onnxruntime is not installed; what it would read is noted."""

    def __init__(self) -> None:
        self.settings: list[tuple[str | None, ...]] = []

    def find_spec(self, name: str, *_: object) -> None:
        if name == "onnxruntime":
            self.settings.append(tuple(map(os.environ.get, SETTINGS)))
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def compare_without_onnxruntime(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str | None, ...]]:
    finder = _NoOnnxruntime()
    monkeypatch.delitem(sys.modules, "onnxruntime")
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    with pytest.raises(ExportError) as caught:
        compare_stage(checkpoint, "codec", torch.nn.Identity(), tmp_path / "codec.onnx", "fused")
    assert_one_line(caught.value, "onnxruntime", "not installed", "bark-onnx[cpu]", "--no-verify")
    return finder.settings


def test_comparison_names_the_package_when_onnxruntime_is_missing(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    # It reads them when it is imported: it reports no usage, and prompts take its faster way.
    assert compare_without_onnxruntime(checkpoint, tmp_path, monkeypatch) == [("1", "1")]


def test_environment_settings_of_onnxruntime_are_kept(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTINGS:
        monkeypatch.setenv(name, "0")
    assert compare_without_onnxruntime(checkpoint, tmp_path, monkeypatch) == [("0", "0")]


# The module


def test_module_runs_the_command(tmp_path: Path) -> None:
    done = subprocess.run([*EXPORT, "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: bark-export ")


def test_exports_of_one_checkpoint_share_every_byte(
    checkpoint: Checkpoint, demo_bundle: Path, standard_bundle: Path
) -> None:
    # Attention aside, two exports of one checkpoint share every weight, byte for byte.
    first, second = Manifest.read(demo_bundle).files, Manifest.read(standard_bundle).files
    for name in ("tokenizer.json", "voices/v2/en_speaker_0.npz", "fp32/codec.onnx.data"):
        assert first[name] == second[name], name
    assert json.loads((demo_bundle / "bark.json").read_text())["source"] == checkpoint.source
