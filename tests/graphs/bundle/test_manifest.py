"""bark.json: it round-trips, and each defect has one clear message."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.integrity import check_contents, check_sizes
from bark_onnx.graphs.bundle.manifest import FORMAT_VERSION, Manifest
from bark_onnx.graphs.contract import CONTRACT_VERSION
from bark_onnx.graphs.errors import BundleError
from bark_onnx.graphs.files.dataclass_json import shown
from tests.support.manifests import assert_refused, manifest_with, rewrite_manifest
from tests.support.messages import assert_one_line


def test_manifest_round_trips_through_its_file(small_bundle: Path):
    manifest = Manifest.read(small_bundle)
    assert manifest == manifest_with(files=manifest.files)
    assert sorted(manifest.files) == ["fp32/fine.onnx", "tokenizer.json"]
    check_sizes(small_bundle, manifest.files)
    check_contents(small_bundle, manifest.files, manifest.files)


def test_manifest_of_an_export_round_trips(random_bundle: Path, tmp_path: Path):
    manifest = Manifest.read(random_bundle)
    (tmp_path / "bark.json").write_text(manifest.to_json())
    assert Manifest.read(tmp_path) == manifest
    check_contents(random_bundle, manifest.files, manifest.files)


def test_folder_is_refused_without_bark_json(tmp_path: Path):
    assert_refused(tmp_path, str(tmp_path), "no bark.json", "bark-export")


def test_file_is_refused_as_a_bundle(small_bundle: Path):
    assert_refused(
        small_bundle / "tokenizer.json", "tokenizer.json is a file", "expected the folder"
    )


@pytest.mark.parametrize(
    "content", [b"", b"{", b"not JSON", b"\xff\xfe", b"\x89PNG\r\n", b'{"source": "x"', b"{'a': 1}"]
)
def test_bark_json_is_refused_when_it_is_not_json(small_bundle: Path, content: bytes):
    (small_bundle / "bark.json").write_bytes(content)
    assert_refused(
        small_bundle, "bark.json: not readable as JSON", "export or download the bundle again"
    )


@pytest.mark.parametrize("content", ["[]", "null", '"bark"', "1"])
def test_bark_json_is_refused_when_it_holds_another_value(small_bundle: Path, content: str):
    (small_bundle / "bark.json").write_text(content)
    assert_refused(small_bundle, "bark.json", "the JSON is", "expected an object")


VERSIONS = {"format_version": "1", "contract_version": "1 to 3"}


@pytest.mark.parametrize("key", VERSIONS)
def test_newer_version_is_refused_with_update_as_remedy(small_bundle: Path, key: str):
    newer = CONTRACT_VERSION + 1 if key == "contract_version" else FORMAT_VERSION + 1
    rewrite_manifest(small_bundle, lambda data: data.update({key: newer, "key_of_the_future": 1}))
    words = (f"{key} is {newer}", f"expected {VERSIONS[key]}", "update bark-onnx")
    assert_refused(small_bundle, *words)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_manifests_of_all_contracts_are_read(small_bundle: Path, version: int):
    rewrite_manifest(small_bundle, lambda data: data.update(contract_version=version))
    assert Bundle(small_bundle).contract("semantic", "fp32").version == version


@pytest.mark.parametrize("key", VERSIONS)
@pytest.mark.parametrize("version", [0, -1, None, "1", [1]])
def test_older_or_malformed_version_is_refused_with_export_as_remedy(
    small_bundle: Path, key: str, version: object
):
    rewrite_manifest(small_bundle, lambda data: data.update({key: version}))
    words = (f"{key} is {shown(version)}", f"expected {VERSIONS[key]}; export the checkpoint again")
    assert_refused(small_bundle, *words)


@pytest.mark.parametrize("key", VERSIONS)
def test_missing_version_is_refused_with_export_as_remedy(small_bundle: Path, key: str):
    rewrite_manifest(small_bundle, lambda data: data.pop(key))
    words = (f"{key} is null", f"expected {VERSIONS[key]}; export the checkpoint again")
    assert_refused(small_bundle, *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda data: data.update(colour=1),
            ["bark.json: colour is unknown", "expected one of"],
        ),
        (lambda data: data.pop("source"), ["bark.json: source is missing"]),
        (
            lambda data: data["shapes"]["semantic"].pop("num_heads"),
            ["bark.json: shapes.semantic.num_heads is missing"],
        ),
        (
            lambda data: data["generation"]["coarse"]["sampling"].update(top_k="many"),
            ["bark.json: generation.coarse.sampling.top_k is", "'many'", "expected int"],
        ),
        (lambda data: data.update(precisions="fp32"), ["precisions", "'fp32'", "expected a list"]),
        (
            lambda data: data["files"].update({"tokenizer.json": {"size": 2}}),
            ["files.tokenizer.json.sha256 is missing"],
        ),
    ],
)
def test_malformed_manifest_names_the_key(small_bundle: Path, change: Any, words: list[str]):
    rewrite_manifest(small_bundle, change)
    assert_refused(
        small_bundle, str(small_bundle / "bark.json"), "export or download the bundle again", *words
    )


def test_file_entry_that_is_not_printable_is_refused(small_bundle: Path):
    record = {"size": 1, "sha256": "0"}
    rewrite_manifest(small_bundle, lambda data: data["files"].update({"a\0b": record}))
    assert_refused(small_bundle, "bark.json", repr("a\0b"))


@pytest.mark.parametrize(
    ("key", "value"), [("attention", "flash"), ("attention", ""), ("precisions", [])]
)
def test_value_that_no_bundle_has_is_refused(small_bundle: Path, key: str, value: object):
    rewrite_manifest(small_bundle, lambda data: data.update({key: value}))
    assert_refused(small_bundle, "bark.json", key, repr(value), "expected")


def test_stage_files_are_the_graph_and_its_external_data():
    listed = {"fp32/fine.onnx": None, "fp32/fine.onnx.data": None, "int8/fine.onnx": None}
    manifest = manifest_with(files=listed)
    assert manifest.stage_files("fp32", "fine") == ["fp32/fine.onnx", "fp32/fine.onnx.data"]
    assert manifest.stage_files("int8", "fine") == ["int8/fine.onnx"]
    assert manifest.stage_files("int4", "fine") == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_single_change_round_trips_or_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("changed")
    content = json.loads(manifest_with().to_json())
    place = data.draw(st.sampled_from(list(_places(content))))
    value = data.draw(json_values)
    changed = copy.deepcopy(content)
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    (folder / "bark.json").write_text(json.dumps(changed))
    try:
        manifest = Manifest.read(folder)
    except BundleError as error:
        assert_one_line(error, str(folder))
    else:
        assert json.loads(manifest.to_json()) == changed


def _places(content: Any, path: tuple[Any, ...] = ()) -> Any:
    """Paths of everything in parsed JSON."""
    if path:
        yield path
    items = content.items() if isinstance(content, dict) else ()
    if isinstance(content, list):
        items = enumerate(content)
    for key, value in items:
        yield from _places(value, (*path, key))
