"""Bundles that are damaged, incomplete, mixed up, or of an earlier version."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import METADATA_KEY
from bark_onnx.graphs.errors import BarkError, ContractError
from bark_onnx.graphs.installation import install_command
from bark_onnx.runtime import (
    Bark,
    BundleError,
    GenerationOptions,
    OptionsError,
    ProviderError,
)
from bark_onnx.runtime.voices.library import VoiceLibrary
from tests.support.messages import assert_one_line
from tests.support.permissions import permissions_bind

GRAPH, DATA = "fp32/coarse.onnx", "fp32/semantic.onnx.data"


VOICE = "voices/v2/en_speaker_0.npz"


FILES = [GRAPH, DATA, "tokenizer.json", VOICE]


def assert_refused(
    bundle: Path, *words: str, error: type[BarkError] = BundleError, **settings: Any
) -> None:
    with pytest.raises(error) as caught:
        Bark.load(bundle, **settings)
    assert type(caught.value) is error
    assert_one_line(caught.value, *words)


def alter(path: Path) -> None:
    """Change one byte in the middle; the size stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def record_again(bundle: Path, name: str) -> None:
    """Record the present size and checksum of a file in bark.json."""
    content = (bundle / name).read_bytes()
    record = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = json.loads((bundle / "bark.json").read_text())
    manifest["files"][name] = record
    (bundle / "bark.json").write_text(json.dumps(manifest))


# Files


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nowhere", "nowhere", "no such folder", "bark-export suno/bark-small")


def test_folder_is_refused_without_a_manifest(tmp_path: Path) -> None:
    assert_refused(tmp_path, str(tmp_path), "no bark.json", "bark-export")


def test_file_is_refused_as_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("")
    assert_refused(tmp_path / "bundle", "bundle is a file", "expected the folder of a bundle")


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert_refused(bundle, str(bundle / name), "is missing", "export or download the bundle again")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("verify", [True, False])
def test_truncated_file_is_named_with_both_sizes(bundle: Path, name: str, verify: bool) -> None:
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[:-1])
    sizes = (f"found {len(content) - 1} bytes", f"expected {len(content)}")
    assert_refused(bundle, str(bundle / name), *sizes, "again", verify=verify)


@pytest.mark.parametrize("name", [GRAPH, DATA, "tokenizer.json"])
def test_altered_file_of_the_same_size_is_named(bundle: Path, name: str) -> None:
    alter(bundle / name)
    assert_refused(bundle, str(bundle / name), "found sha256", "expected", "altered")


def test_altered_voice_is_named_when_used(bundle: Path) -> None:
    alter(bundle / VOICE)
    bark = Bark.load(bundle)
    with pytest.raises(BundleError) as caught:
        bark.speak("Hello", voice="v2/en_speaker_0")
    assert_one_line(caught.value, str(bundle / VOICE), "found sha256", "altered")


def test_voice_with_a_broken_archive_is_named_as_altered(bundle: Path) -> None:
    content = (bundle / VOICE).read_bytes()
    start = content.index(b"PK\x05\x06")  # where the archive says what is in it
    (bundle / VOICE).write_bytes(content[:start] + bytes(len(content) - start))
    with pytest.raises(BundleError) as caught:
        VoiceLibrary(Bundle(bundle)).load("v2/en_speaker_0")
    assert_one_line(caught.value, str(bundle / VOICE), "found sha256", "altered")


def test_only_checksums_are_skipped_without_verification(bundle: Path) -> None:
    path = bundle / "fp32" / "semantic.onnx.data"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    Bark.load(bundle, verify=False)
    (bundle / GRAPH).write_bytes(b"\0" * (bundle / GRAPH).stat().st_size)
    assert_refused(bundle, GRAPH, "ONNX Runtime cannot load it", verify=False)


def test_files_that_are_not_listed_are_ignored(bundle: Path) -> None:
    (bundle / "README.md").write_text("My bundle.")
    (bundle / ".gitattributes").write_text("")
    Bark.load(bundle)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "fp32/../../outside"])
def test_listed_file_outside_the_bundle_is_refused(bundle: Path, name: str) -> None:
    (bundle.parent / "outside").write_text("x")
    manifest = json.loads((bundle / "bark.json").read_text())
    manifest["files"][name] = {"size": 1, "sha256": "0" * 64}
    (bundle / "bark.json").write_text(json.dumps(manifest))
    assert_refused(bundle, "bark.json", repr(name), "outside the bundle")


# Graphs


def test_invalid_graph_is_refused_when_its_checksum_matches(bundle: Path) -> None:
    (bundle / GRAPH).write_bytes(b"This is no graph at all.")
    record_again(bundle, GRAPH)
    assert_refused(
        bundle, str(bundle / GRAPH), "ONNX Runtime cannot load it", "export the bundle again"
    )


def test_invalid_tokenizer_is_refused_when_its_checksum_matches(bundle: Path) -> None:
    (bundle / "tokenizer.json").write_text('{"model": "none"}')
    record_again(bundle, "tokenizer.json")
    assert_refused(bundle, "tokenizer.json", "not a tokenizer", "again")


def test_graph_of_the_other_form_of_attention_is_refused(
    bundle: Path, standard_bundle: Path
) -> None:
    for suffix in ("", ".data"):
        shutil.copy(standard_bundle / f"{GRAPH}{suffix}", bundle / f"{GRAPH}{suffix}")
        record_again(bundle, f"{GRAPH}{suffix}")
    assert_refused(bundle, GRAPH, "contract", "bark.json", "export", error=ContractError)


def test_graph_of_another_stage_is_refused(bundle: Path) -> None:
    for suffix in ("", ".data"):
        shutil.copy(bundle / f"fp32/semantic.onnx{suffix}", bundle / f"{GRAPH}{suffix}")
    # The graph refers to its weights by this name.
    record_again(bundle, GRAPH)
    record_again(bundle, f"{GRAPH}.data")
    assert_refused(bundle, GRAPH, "contract", "bark.json", "export", error=ContractError)


def rewrite_graph(bundle: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    model = onnx.load(bundle / GRAPH, load_external_data=False)
    change(model)
    (bundle / GRAPH).write_bytes(model.SerializeToString())
    record_again(bundle, GRAPH)


def contract_entry(model: onnx.ModelProto) -> onnx.StringStringEntryProto:
    (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    return entry


def test_graph_is_refused_without_a_contract(bundle: Path) -> None:
    rewrite_graph(bundle, lambda model: model.metadata_props.clear())
    assert_refused(bundle, GRAPH, "no contract", "export the bundle again", error=ContractError)


def test_contract_of_a_later_version_is_refused(bundle: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        entry = contract_entry(model)
        entry.value = json.dumps({**json.loads(entry.value), "version": 99, "news": 1})

    rewrite_graph(bundle, change)
    words = ("contract version 99", "expected at most", "update bark-onnx")
    assert_refused(bundle, GRAPH, *words, error=ContractError)


def test_graph_loads_when_its_contract_has_other_meanings(bundle: Path, random_bark: Bark) -> None:
    def change(model: onnx.ModelProto) -> None:
        entry = contract_entry(model)
        assert "tokens of each sequence after this run, minus 1" in entry.value
        contract = json.loads(entry.value)
        for tensor in (*contract["inputs"], *contract["outputs"]):
            tensor["meaning"] = "tokens in each row after this run - 1"
        entry.value = json.dumps(contract)

    rewrite_graph(bundle, change)
    found = Bark.load(bundle).speak("Hello", seed=0, semantic_max_new_tokens=5)
    expected = random_bark.speak("Hello", seed=0, semantic_max_new_tokens=5)
    np.testing.assert_array_equal(found.samples, expected.samples)


def test_graph_is_refused_when_it_violates_its_contract(bundle: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[1].name = "positions"
        for node in model.graph.node:
            for index, name in enumerate(node.input):
                if name == "position_ids":
                    node.input[index] = "positions"

    rewrite_graph(bundle, change)
    words = ("found positions: tensor(int64)", "expected position_ids")
    assert_refused(bundle, GRAPH, *words, "export the bundle again", error=ContractError)


# Settings


def test_unknown_provider_is_refused(random_bundle: Path) -> None:
    words = ("'tpu'", "expected one of", "auto", "cpu")
    assert_refused(random_bundle, *words, error=ProviderError, provider="tpu")


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2"])
def test_threads_below_one_are_refused(random_bundle: Path, threads: Any) -> None:
    words = (f"threads is {threads!r}", "integer from 1")
    assert_refused(random_bundle, *words, error=ProviderError, threads=threads)


@pytest.mark.parametrize("rows", [0, -1, True, 1.5, "2"])
def test_batch_size_below_one_is_refused(random_bundle: Path, rows: Any) -> None:
    words = (f"max_batch_size is {rows!r}", "integer from 1")
    assert_refused(random_bundle, *words, error=OptionsError, max_batch_size=rows)


def test_missing_precision_is_refused(random_bundle: Path) -> None:
    assert_refused(random_bundle, "int3", "unknown", "fp32", "int8", precision="int3")
    assert_refused(random_bundle, "int8", "only fp32", "--precision int8", precision="int8")


def test_stages_that_open_later_generate_the_same_speech(
    random_bundle: Path, random_bark: Bark
) -> None:
    settings = {"options": GenerationOptions.greedy(), "semantic_max_new_tokens": 5}
    found = Bark.load(random_bundle, wait=False).speak("Hello", **settings)
    np.testing.assert_array_equal(found.samples, random_bark.speak("Hello", **settings).samples)


@pytest.mark.parametrize("stage", ["semantic", "codec"])
def test_stage_is_named_when_it_cannot_be_opened_later(bundle: Path, stage: str) -> None:
    alter(bundle / "fp32" / f"{stage}.onnx.data")
    with pytest.raises(BundleError) as caught:
        Bark.load(bundle, wait=False).speak("Hello", semantic_max_new_tokens=5)
    assert_one_line(caught.value, f"{stage}.onnx.data", "altered")


_SPEAK_WITHOUT_ONNXRUNTIME = """
import sys
sys.modules["onnxruntime"] = None  # an import of it fails
from bark_onnx.runtime.cli.main import main
main()
"""


def test_command_names_the_packages_when_onnxruntime_is_missing(
    random_bundle: Path, tmp_path: Path
) -> None:
    arguments = ["speak", "Hello", "-m", str(random_bundle), "-o", str(tmp_path / "hello.wav")]
    done = subprocess.run(
        [sys.executable, "-c", _SPEAK_WITHOUT_ONNXRUNTIME, *arguments],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    words = ("onnxruntime is not installed", install_command("cpu"), install_command("gpu"))
    assert_one_line(done.stderr.rstrip("\n"), "bark-onnx: ", *words)
    assert list(tmp_path.iterdir()) == []


def test_bundle_loads_by_a_relative_path(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, random_bark: Bark
) -> None:
    monkeypatch.chdir(bundle.parent)
    settings = {"options": GenerationOptions.greedy(), "semantic_max_new_tokens": 5}
    found = Bark.load("bundle").speak("Hello", voice="v2/en_speaker_0", **settings)
    expected = random_bark.speak("Hello", voice="v2/en_speaker_0", **settings)
    np.testing.assert_array_equal(found.samples, expected.samples)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", [GRAPH, DATA, "fp32/codec.onnx", "tokenizer.json", "bark.json"])
def test_unreadable_file_is_named_with_the_reason(bundle: Path, name: str, verify: bool) -> None:
    (bundle / name).chmod(0)
    with permissions_bind():
        words = (f"{bundle / name}: cannot be read (Permission denied)", "check the owner")
        assert_refused(bundle, *words, verify=verify)


def test_unreadable_folder_is_named_with_the_reason(bundle: Path) -> None:
    (bundle / "fp32").chmod(0)
    with permissions_bind():
        words = (str(bundle / "fp32"), "cannot be read (Permission denied)")
        assert_refused(bundle, *words)
        bundle.parent.chmod(0)
        assert_refused(bundle, f"{bundle}: cannot be read (Permission denied)")
    bundle.parent.chmod(0o700)


@pytest.mark.parametrize("name", ["fp32/codec.onnx", "fp32/coarse.onnx.data"])
def test_unreadable_file_of_a_later_stage_is_named_without_a_vain_remedy(
    bundle: Path, name: str
) -> None:
    (bundle / name).chmod(0)
    with permissions_bind():
        with pytest.raises(BundleError) as caught:
            Bark.load(bundle, wait=False).speak("Hello", semantic_max_new_tokens=5)
        assert_one_line(caught.value, str(bundle / name), "Permission denied", "check the owner")
    assert "try again" not in str(caught.value)


@pytest.mark.parametrize("name", [GRAPH, DATA, "tokenizer.json", VOICE, "bark.json"])
@pytest.mark.parametrize("kind", ["named pipe", "folder", "device"])
def test_special_file_is_refused_and_not_opened(bundle: Path, name: str, kind: str) -> None:
    path = bundle / name
    path.unlink()
    make = {
        "named pipe": os.mkfifo,
        "folder": Path.mkdir,
        "device": lambda path: path.symlink_to("/dev/zero"),
    }
    make[kind](path)
    assert_refused(bundle, f"{path} is a {kind}, expected a regular file", "download the bundle")


@pytest.mark.parametrize("verify", [True, False])
def test_graph_that_is_not_listed_is_refused(bundle: Path, verify: bool) -> None:
    manifest = json.loads((bundle / "bark.json").read_text())
    del manifest["files"][GRAPH]
    (bundle / "bark.json").write_text(json.dumps(manifest))
    assert_refused(bundle, f"does not list {GRAPH}", verify=verify)


@pytest.mark.parametrize("source", ["x" * 5000, "a\0b"])
def test_path_that_the_system_refuses_is_one_short_line(source: str) -> None:
    assert_refused(Path(source), "cannot be read", "check the path")


@pytest.mark.parametrize("offset", [-1, 1])
def test_tokenizer_of_another_size_is_refused(bundle: Path, offset: int) -> None:
    manifest = json.loads((bundle / "bark.json").read_text())
    manifest["generation"]["semantic"]["text_encoding_offset"] += offset
    (bundle / "bark.json").write_text(json.dumps(manifest))
    words = ("tokenizer.json has", "entries, expected", "by bark.json", "download the bundle")
    assert_refused(bundle, *words)


def test_contract_that_is_nested_too_deeply_is_refused(bundle: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        contract_entry(model).value = "[" * 100_000

    rewrite_graph(bundle, change)
    words = (GRAPH, "not a contract: nested too deeply", "export it again")
    assert_refused(bundle, *words, error=ContractError)
