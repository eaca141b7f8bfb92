"""bark.json comes back as written, and whatever is wrong with a bundle has one clear message."""

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_onnx.graphs.bundle.integrity import check_contents, check_sizes, hash_file
from bark_onnx.graphs.bundle.manifest import FORMAT_VERSION, Manifest, ParityCase
from bark_onnx.graphs.errors import BundleError
from tests.support.messages import assert_one_line
from tests.support.sizes import SETTINGS, SHAPES


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with two files and the bark.json that lists them."""
    folder = tmp_path / "bundle"
    (folder / "fp32").mkdir(parents=True)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "fp32" / "fine.onnx").write_bytes(b"graph")
    manifest = _manifest(
        files={name: hash_file(folder / name) for name in ("tokenizer.json", "fp32/fine.onnx")}
    )
    (folder / "bark.json").write_text(manifest.to_json())
    return folder


def _manifest(**changes: Any) -> Manifest:
    manifest = Manifest(
        source="suno/bark-small",
        exporter="bark-onnx 0.1.0",
        attention="fused",
        precisions=("fp32", "int8"),
        opset=23,
        codec_opset=21,
        shapes=SHAPES,
        generation=SETTINGS,
        files={},
        parity={"fp32/fine": (ParityCase("batch 1", 1e-6, 2e-5), ParityCase("batch 2", 0.0, 1.0))},
    )
    return dataclasses.replace(manifest, **changes)


def _rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "bark.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def _refused(folder: Path, *words: str) -> None:
    with pytest.raises(BundleError) as caught:
        check_sizes(folder, Manifest.read(folder).files)
    assert_one_line(caught.value, *words)


def test_manifest_round_trips_through_its_file(bundle: Path):
    manifest = Manifest.read(bundle)
    assert manifest == _manifest(files=manifest.files)
    assert sorted(manifest.files) == ["fp32/fine.onnx", "tokenizer.json"]
    check_sizes(bundle, manifest.files)
    check_contents(bundle, manifest.files, manifest.files)


def test_manifest_of_an_export_round_trips(demo_bundle: Path, tmp_path: Path):
    manifest = Manifest.read(demo_bundle)
    (tmp_path / "bark.json").write_text(manifest.to_json())
    assert Manifest.read(tmp_path) == manifest
    check_contents(demo_bundle, manifest.files, manifest.files)


def test_folder_is_refused_without_bark_json(tmp_path: Path):
    _refused(tmp_path, str(tmp_path), "no bark.json", "bark-export")


def test_file_is_refused_as_a_bundle(bundle: Path):
    _refused(bundle / "tokenizer.json", "tokenizer.json is a file", "expected the folder")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"not JSON", b"\xff\xfe", b"\x89PNG\r\n", b'{"source": "x"', b"{'a': 1}"]
)
def test_bark_json_is_refused_when_it_is_not_json(bundle: Path, content: bytes):
    (bundle / "bark.json").write_bytes(content)
    _refused(bundle, "bark.json: not readable as JSON", "export or download the bundle again")


@pytest.mark.parametrize("content", ["[]", "null", '"bark"', "1"])
def test_bark_json_is_refused_when_it_holds_another_value(bundle: Path, content: str):
    (bundle / "bark.json").write_text(content)
    _refused(bundle, "bark.json", "expected a JSON object")


@pytest.mark.parametrize("key", ["format_version", "contract_version"])
def test_newer_version_is_refused_with_update_as_remedy(bundle: Path, key: str):
    _rewrite(bundle, lambda data: data.update({key: 2, "key_of_the_future": 1}))
    _refused(bundle, f"{key} is 2", "expected 1", "update bark-onnx")


@pytest.mark.parametrize("key", ["format_version", "contract_version"])
@pytest.mark.parametrize("version", [0, -1, None, "1", [1]])
def test_older_or_malformed_version_is_refused_with_export_as_remedy(
    bundle: Path, key: str, version: object
):
    _rewrite(bundle, lambda data: data.update({key: version}))
    _refused(bundle, f"{key} is {version!r}", "expected 1", "export the checkpoint again")


@pytest.mark.parametrize("key", ["format_version", "contract_version"])
def test_missing_version_is_refused_with_export_as_remedy(bundle: Path, key: str):
    _rewrite(bundle, lambda data: data.pop(key))
    _refused(bundle, f"{key} is None", f"expected {FORMAT_VERSION}", "export the checkpoint again")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda data: data.update(colour=1),
            ["bark.json: unknown key 'colour'", "expected one of"],
        ),
        (lambda data: data.pop("source"), ["bark.json: key 'source' is missing"]),
        (
            lambda data: data["shapes"]["semantic"].pop("num_heads"),
            ["bark.json.shapes.semantic: key 'num_heads' is missing"],
        ),
        (
            lambda data: data["generation"]["coarse"]["sampling"].update(top_k="many"),
            ["bark.json.generation.coarse.sampling.top_k", "'many'", "expected int"],
        ),
        (lambda data: data.update(precisions="fp32"), ["precisions", "'fp32'", "expected a list"]),
        (
            lambda data: data["files"].update({"tokenizer.json": {"size": 2}}),
            ["files.tokenizer.json: key 'sha256' is missing"],
        ),
    ],
)
def test_malformed_manifest_names_the_key(bundle: Path, change: Any, words: list[str]):
    _rewrite(bundle, change)
    _refused(bundle, str(bundle / "bark.json"), "export or download the bundle again", *words)


def test_missing_file_is_named(bundle: Path):
    (bundle / "fp32" / "fine.onnx").unlink()
    _refused(bundle, str(bundle / "fp32" / "fine.onnx"), "missing", "export or download")


def test_truncated_file_is_named_with_both_sizes(bundle: Path):
    (bundle / "fp32" / "fine.onnx").write_bytes(b"gra")
    _refused(bundle, "fine.onnx", "found 3 bytes", "expected 5", "export or download")


def test_altered_file_is_named_with_both_checksums(bundle: Path):
    files = Manifest.read(bundle).files
    (bundle / "fp32" / "fine.onnx").write_bytes(b"Graph")
    check_sizes(bundle, files)
    check_contents(bundle, files, ["tokenizer.json"])
    with pytest.raises(BundleError) as caught:
        check_contents(bundle, files, ["tokenizer.json", "fp32/fine.onnx"])
    words = ("fine.onnx", "found sha256", "expected", "altered", "export or download")
    assert_one_line(caught.value, *words, files["fp32/fine.onnx"].sha256[:12])


def test_file_that_is_not_listed_is_refused(bundle: Path):
    (bundle / "fp32" / "codec.onnx").write_bytes(b"graph")
    files = Manifest.read(bundle).files
    with pytest.raises(BundleError, match=r"bark\.json does not list fp32/codec\.onnx; export or"):
        check_contents(bundle, files, ["fp32/codec.onnx"])


@pytest.mark.parametrize("name", ["../secret", "fp32/../../secret", "voices/.."])
def test_file_entry_that_leaves_the_folder_is_refused(bundle: Path, name: str):
    (bundle.parent / "secret").write_text("{}")
    _rewrite(bundle, lambda data: data["files"].update({name: data["files"]["tokenizer.json"]}))
    _refused(bundle, "bark.json", repr(name), "outside the bundle")


def test_file_entry_with_an_absolute_path_is_refused(bundle: Path):
    outside = bundle.parent / "secret"
    outside.write_text("{}")
    record = {"size": 2, "sha256": hash_file(outside).sha256}
    _rewrite(bundle, lambda data: data["files"].update({str(outside): record}))
    _refused(bundle, "bark.json", repr(str(outside)), "outside the bundle")


def test_file_entry_that_is_not_printable_is_refused(bundle: Path):
    record = {"size": 1, "sha256": "0"}
    _rewrite(bundle, lambda data: data["files"].update({"a\0b": record}))
    _refused(bundle, "bark.json", repr("a\0b"))


@pytest.mark.parametrize(
    ("key", "value"), [("attention", "flash"), ("attention", ""), ("precisions", [])]
)
def test_value_that_no_bundle_has_is_refused(bundle: Path, key: str, value: object):
    _rewrite(bundle, lambda data: data.update({key: value}))
    _refused(bundle, "bark.json", key, repr(value), "expected")


def test_stage_files_are_the_graph_and_its_external_data():
    listed = {"fp32/fine.onnx": None, "fp32/fine.onnx.data": None, "int8/fine.onnx": None}
    manifest = _manifest(files=listed)
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
    content = json.loads(_manifest().to_json())
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
