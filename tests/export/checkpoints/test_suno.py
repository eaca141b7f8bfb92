"""Suno's own files: the same bundle as from the Hugging Face layout, and unusable files."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bark_onnx.export.cli import command as export_command
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.command_line import run_command
from bark_onnx.graphs.contract import STAGES
from bark_onnx.graphs.errors import CheckpointError
from bark_onnx.runtime import Bark, GenerationOptions, Voice
from tests.conftest import export
from tests.support.exporting import Run, assert_run_fails
from tests.support.messages import assert_one_line
from tests.support.reference import GREEDY, Reference
from tests.support.signals import kept_signal_handlers
from tests.support.suno import SIZES, Twins, contents, open_suno, write_stage
from tests.support.suno import STAGES as STAGES_OF_FILES

FILES = {"text.pt": "semantic", "coarse.pt": "coarse", "fine_2.pt": "fine"}


def module_of(twins: Twins, file: str) -> nn.Module:
    """The transformers module whose weights a file holds."""
    module: nn.Module = getattr(twins.model, STAGES_OF_FILES[re.split(r"[_.]", file)[0]])
    return module


def replace_file(path: Path, twins: Twins, **changes: Any) -> None:
    """Write a file again with changes to some of its entries."""
    path.unlink()
    write_stage(path, module_of(twins, path.name), **changes)


# Equality with the Hugging Face layout


@pytest.fixture(scope="module")
def bundles(twins: Twins, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Bundles of both layouts, exported by the command."""
    ours, theirs = (tmp_path_factory.mktemp("bundles") / name for name in ("suno", "huggingface"))
    voices = twins.huggingface / "speaker_embeddings"
    arguments = (twins.suno, ours, *twins.arguments, "--voices-from", voices)
    with kept_signal_handlers():
        run_command(export_command, "bark-export", arguments=[*map(str, arguments)])
    return ours, export(twins.huggingface, theirs)


def test_bundle_equals_that_of_the_hugging_face_layout(bundles: tuple[Path, Path]) -> None:
    ours, theirs = map(Manifest.read, bundles)
    assert ours.files == theirs.files  # sha256 of graphs, weights, tokenizer and voices
    assert len([name for name in ours.files if name.endswith(".onnx")]) == len(STAGES)
    assert ours.shapes == theirs.shapes
    assert ours.generation == theirs.generation
    assert set(ours.parity) == {f"fp32/{stage}" for stage in STAGES}


def test_manifest_lists_the_parts_of_the_checkpoint(
    bundles: tuple[Path, Path], twins: Twins
) -> None:
    source = Manifest.read(bundles[0]).source
    assert source == (
        f"{twins.suno} (text.pt, coarse.pt, fine_2.pt, EnCodec of {twins.codec}, "
        "generation settings: the defaults of suno/bark)"
    )


def test_settings_equal_those_of_suno_bark(twins: Twins) -> None:
    generation = open_suno(twins.suno, twins).generation
    assert generation.semantic.sampling == generation.coarse.sampling
    assert generation.semantic.sampling.do_sample
    assert generation.semantic.sampling.temperature == 0.7
    assert generation.semantic.max_new_tokens == 768
    assert generation.semantic.text_pad_token == 129_595
    assert generation.semantic.semantic_infer_token == 129_599
    assert generation.fine.temperature == 0.5


def test_stages_of_different_sizes_generate_as_in_transformers(
    bundles: tuple[Path, Path], twins: Twins
) -> None:
    bark = Bark.load(bundles[0])
    settings = {"semantic_max_new_tokens": 12}
    voice = Voice.load(bundles[0] / "voices" / "v2" / "en_speaker_0.npz")
    speech = bark.speak("Hello, dog", voice=voice, options=GenerationOptions.greedy(), **settings)
    ids = bark._builder.tokenizer.encode("Hello, dog")
    expected = Reference(twins.huggingface).generate(ids, voice, **GREEDY, **settings)
    np.testing.assert_array_equal(speech.semantic_tokens, expected.semantic_tokens)
    np.testing.assert_array_equal(speech.coarse_tokens, expected.coarse_tokens)
    np.testing.assert_array_equal(speech.fine_tokens, expected.fine_tokens)
    np.testing.assert_allclose(speech.samples, expected.samples, atol=1e-4, rtol=0)
    assert len(speech.semantic_tokens) == 12
    assert speech.samples.std() > 0.01


def test_shapes_differ_by_stage(twins: Twins) -> None:
    shapes = open_suno(twins.suno, twins).shapes
    for shape, sizes in zip(
        (shapes.semantic, shapes.coarse, shapes.fine), SIZES.values(), strict=True
    ):
        assert shape.num_layers == sizes.num_layers
        assert shape.num_heads == sizes.num_heads
        assert shape.head_size * shape.num_heads == sizes.hidden_size


def without_prefix(found: dict[str, Any]) -> None:
    found["model"] = {
        name.removeprefix("_orig_mod."): tensor for name, tensor in found["model"].items()
    }


def with_one_vocabulary_size_named_twice(found: dict[str, Any]) -> None:
    size = found["model_args"].pop("vocab_size")
    found["model_args"] |= {"input_vocab_size": size, "output_vocab_size": size}


def without_what_has_a_default(found: dict[str, Any]) -> None:
    del found["model_args"]["block_size"], found["model_args"]["dropout"]


def without_what_only_training_needs(found: dict[str, Any]) -> None:
    del found["optimizer"], found["best_val_loss"], found["iter_num"], found["config"]


def with_a_loss_of_float32(found: dict[str, Any]) -> None:
    found["best_val_loss"] = np.float32(2.9)


def with_a_loss_as_a_tensor(found: dict[str, Any]) -> None:
    found["best_val_loss"] = torch.tensor(2.9)


@pytest.mark.parametrize("module", [None, "numpy 1"])
@pytest.mark.parametrize(
    "change",
    [
        without_prefix,
        with_one_vocabulary_size_named_twice,
        without_what_has_a_default,
        without_what_only_training_needs,
        with_a_loss_of_float32,
        with_a_loss_as_a_tensor,
    ],
)
def test_tensors_are_equal_for_every_form_of_a_file(
    suno_folder: Path, twins: Twins, change: Callable[[dict[str, Any]], None], module: str | None
) -> None:
    found = contents(twins.model.coarse_acoustics)
    change(found)
    (suno_folder / "coarse.pt").unlink()
    if module is None:
        torch.save(found, suno_folder / "coarse.pt")
    else:
        write_stage(suno_folder / "coarse.pt", twins.model.coarse_acoustics, **found)
    with open_suno(suno_folder, twins).sub_model("coarse") as model:
        tensors = model.state_dict()
    for name, tensor in twins.model.coarse_acoustics.state_dict().items():
        assert torch.equal(tensors[name], tensor), name


def test_safe_globals_are_restored_after_reading(twins: Twins) -> None:
    before = set(torch.serialization.get_safe_globals())
    open_suno(twins.suno, twins)
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")
def test_optimizer_state_stays_on_disk(suno_folder: Path, twins: Twins) -> None:
    megabytes = 64
    state = {"exp_avg": torch.ones(megabytes << 18)}
    replace_file(suno_folder / "coarse.pt", twins, optimizer={"state": {0: state}})
    path = (suno_folder / "coarse.pt").resolve()
    assert path.stat().st_size > megabytes << 20
    weights = open_suno(suno_folder, twins).open_weights("coarse")
    total = sum(float(tensor.double().sum()) for tensor in weights.tensors.values())
    mapped = Path("/proc/self/smaps").read_text().partition(f"{path}\n")[2]
    resident = re.search(r"^Rss: +(\d+) kB", mapped, re.MULTILINE)
    assert total != 0
    assert resident is not None, "the file is not mapped"
    assert int(resident[1]) << 10 < path.stat().st_size // 4


# Files that are damaged or of another kind


def unreadable(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 100_000, -100])
def test_truncated_file_is_named(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path, name: str, kept: int
) -> None:
    unreadable(suno_folder / name, (twins.suno / name).read_bytes()[:kept])
    result = run(suno_folder, tmp_path / "b", *twins.arguments)
    assert_run_fails(result, 1, name, "not readable as weights", "download it again")


def test_unreadable_file_is_named(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not bind the superuser")
    unreadable(suno_folder / "text.pt", b"")
    (suno_folder / "text.pt").chmod(0)
    result = run(suno_folder, tmp_path / "b", *twins.arguments)
    assert_run_fails(result, 1, "text.pt", "not readable as weights", "Permission denied")


class _Malice:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("place", ["best_val_loss", "optimizer", "model_args", "model"])
def test_file_that_runs_code_is_refused_and_runs_none(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path, place: str
) -> None:
    proof = tmp_path / "code-was-run"
    replace_file(suno_folder / "text.pt", twins, **{place: _Malice(proof)})
    torch.load(suno_folder / "text.pt", weights_only=False)
    assert proof.exists(), "the file is harmless, so refusing it proves nothing"
    proof.unlink()
    result = run(suno_folder, tmp_path / "b", *twins.arguments)
    assert_run_fails(result, 1, "text.pt", "not readable as weights", "system", "was not run")
    assert not proof.exists()


def test_command_runs_no_code_of_a_file(suno_folder: Path, twins: Twins, tmp_path: Path) -> None:
    proof = tmp_path / "code-was-run"
    replace_file(suno_folder / "fine_2.pt", twins, best_val_loss=_Malice(proof))
    command = [sys.executable, "-m", "bark_onnx.export", suno_folder, tmp_path / "b"]
    done = subprocess.run([*command, *twins.arguments], capture_output=True, text=True)
    assert_run_fails((done.returncode, done.stdout, done.stderr), 1, "fine_2.pt", "was not run")
    assert not proof.exists()
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "found", [[1, 2], {"model": {}}, {"model_args": {}}, {"model": {}, "model_args": 3}]
)
def test_file_of_another_program_is_refused(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path, found: object
) -> None:
    (suno_folder / "text.pt").unlink()
    torch.save(found, suno_folder / "text.pt")
    result = run(suno_folder, tmp_path / "b", *twins.arguments)
    assert_run_fails(result, 1, "text.pt", "model_args", "expected Suno's own file")


@pytest.mark.parametrize("model", [[1], {"wte": 3}, {3: torch.zeros(1)}])
def test_model_is_refused_when_it_is_not_tensors_by_name(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path, model: object
) -> None:
    replace_file(suno_folder / "text.pt", twins, model=model)
    result = run(suno_folder, tmp_path / "b", *twins.arguments)
    assert_run_fails(result, 1, "text.pt", "expected tensors by name")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_layer": None}, ("n_layer", "expected int")),
        ({"n_head": "two"}, ("n_head", "expected int")),
        ({"rope": True}, ("model_args.rope is unknown",)),
        ({"n_head": 3}, ("width 32 with 3 heads",)),
        ({"n_head": 0}, ("width 32 with 0 heads",)),
        ({"n_layer": -1}, ("-1 layers",)),
        ({"block_size": 128}, ("1024", "block_size of the semantic stage is 128")),
        (
            {"input_vocab_size": 50_304},
            ("129600", "input_vocab_size of the semantic stage is 50304"),
        ),
        (
            {"output_vocab_size": 10_000},
            ("10001", "output_vocab_size of the semantic stage is 10000"),
        ),
    ],
)
def test_sizes_that_bark_cannot_have_are_refused(
    run: Run,
    suno_folder: Path,
    twins: Twins,
    tmp_path: Path,
    changes: dict[str, object],
    words: tuple[str, ...],
) -> None:
    arguments = {**contents(twins.model.semantic)["model_args"], **changes}
    replace_file(suno_folder / "text.pt", twins, model_args=arguments)
    assert_run_fails(run(suno_folder, tmp_path / "b", *twins.arguments), 1, "text.pt", *words)


def test_missing_model_argument_is_refused(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path
) -> None:
    arguments = contents(twins.model.semantic)["model_args"]
    del arguments["n_embd"]
    replace_file(suno_folder / "text.pt", twins, model_args=arguments)
    result = run(suno_folder, tmp_path / "b", *twins.arguments)
    assert_run_fails(result, 1, "text.pt", "model_args.n_embd is missing", "Suno's own text.pt")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("other", FILES)
def test_file_of_another_stage_is_refused(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path, name: str, other: str
) -> None:
    if name == other:
        return
    (suno_folder / name).unlink()
    (suno_folder / name).symlink_to(twins.suno / other)
    assert_run_fails(run(suno_folder, tmp_path / "b", *twins.arguments), 1, name)


def refuse_tensors(suno_folder: Path, twins: Twins, stage: str, *words: str) -> None:
    with (
        pytest.raises(CheckpointError) as caught,
        open_suno(suno_folder, twins).sub_model(stage),  # type: ignore[arg-type]
    ):
        pass
    assert_one_line(caught.value, *words)


@pytest.mark.parametrize(
    ("file", "tensor"),
    [
        ("text.pt", "transformer.wte.weight"),
        ("text.pt", "lm_head.weight"),
        ("coarse.pt", "transformer.h.1.attn.c_attn.weight"),
        ("fine_2.pt", "transformer.wtes.7.weight"),
        ("fine_2.pt", "transformer.h.0.ln_2.bias"),
    ],
)
def test_missing_tensor_is_named_as_in_the_file(
    suno_folder: Path, twins: Twins, file: str, tensor: str
) -> None:
    tensors = contents(module_of(twins, file))["model"]
    del tensors[f"_orig_mod.{tensor}"]
    replace_file(suno_folder / file, twins, model=tensors)
    refuse_tensors(
        suno_folder, twins, FILES[file], file, f"{tensor} is missing", "download it again"
    )


def test_tensor_of_another_shape_is_named_with_both_shapes(
    run: Run, suno_folder: Path, twins: Twins, tmp_path: Path
) -> None:
    name = "transformer.h.0.mlp.c_fc.weight"
    tensors = contents(twins.model.semantic)["model"]
    tensors[f"_orig_mod.{name}"] = torch.zeros(3, 32)
    replace_file(suno_folder / "text.pt", twins, model=tensors)
    result = run(suno_folder, tmp_path / "b", *twins.arguments)
    assert_run_fails(result, 1, "text.pt", name, "[3, 32]", "[128, 32]", "model_args")
    assert not (tmp_path / "b").exists()


def test_layers_are_refused_when_the_sizes_exclude_them(suno_folder: Path, twins: Twins) -> None:
    arguments = {**contents(twins.model.coarse_acoustics)["model_args"], "n_layer": 1}
    replace_file(suno_folder / "coarse.pt", twins, model_args=arguments)
    refuse_tensors(suno_folder, twins, "coarse", "coarse.pt", "transformer.h.1.", "model_args")
