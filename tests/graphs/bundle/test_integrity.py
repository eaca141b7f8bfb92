"""Files that are missing, truncated, altered, or not listed."""

from pathlib import Path

import pytest

from bark_onnx.graphs.bundle.integrity import check_contents, check_sizes, hash_file
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.errors import BundleError
from tests.support.manifests import assert_refused, rewrite_manifest
from tests.support.messages import assert_one_line


def test_missing_file_is_named(small_bundle: Path):
    (small_bundle / "fp32" / "fine.onnx").unlink()
    assert_refused(
        small_bundle, str(small_bundle / "fp32" / "fine.onnx"), "missing", "export or download"
    )


def test_truncated_file_is_named_with_both_sizes(small_bundle: Path):
    (small_bundle / "fp32" / "fine.onnx").write_bytes(b"gra")
    assert_refused(small_bundle, "fine.onnx", "found 3 bytes", "expected 5", "export or download")


def test_altered_file_is_named_with_both_checksums(small_bundle: Path):
    files = Manifest.read(small_bundle).files
    (small_bundle / "fp32" / "fine.onnx").write_bytes(b"Graph")
    check_sizes(small_bundle, files)
    check_contents(small_bundle, files, ["tokenizer.json"])
    with pytest.raises(BundleError) as caught:
        check_contents(small_bundle, files, ["tokenizer.json", "fp32/fine.onnx"])
    words = ("fine.onnx", "found sha256", "expected", "altered", "export or download")
    assert_one_line(caught.value, *words, files["fp32/fine.onnx"].sha256[:12])


def test_file_that_is_not_listed_is_refused(small_bundle: Path):
    (small_bundle / "fp32" / "codec.onnx").write_bytes(b"graph")
    files = Manifest.read(small_bundle).files
    with pytest.raises(BundleError, match=r"bark\.json does not list fp32/codec\.onnx; export or"):
        check_contents(small_bundle, files, ["fp32/codec.onnx"])


@pytest.mark.parametrize("name", ["../secret", "fp32/../../secret", "voices/.."])
def test_file_entry_that_leaves_the_folder_is_refused(small_bundle: Path, name: str):
    (small_bundle.parent / "secret").write_text("{}")
    rewrite_manifest(
        small_bundle, lambda data: data["files"].update({name: data["files"]["tokenizer.json"]})
    )
    assert_refused(small_bundle, "bark.json", repr(name), "outside the bundle")


def test_file_entry_with_an_absolute_path_is_refused(small_bundle: Path):
    outside = small_bundle.parent / "secret"
    outside.write_text("{}")
    record = {"size": 2, "sha256": hash_file(outside).sha256}
    rewrite_manifest(small_bundle, lambda data: data["files"].update({str(outside): record}))
    assert_refused(small_bundle, "bark.json", repr(str(outside)), "outside the bundle")
