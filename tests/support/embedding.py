"""What a C program needs to run a bundle: a header, two libraries, and tokenizer.onnx."""

import ctypes.util
import os
import shutil
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
import onnxruntime
import pytest
from tokenizers import Tokenizer

from bark_onnx.export.tokenizer_graph.graph import build_graph
from bark_onnx.export.tokenizer_graph.rules import read_rules
from bark_onnx.graphs.bundle.demo import bundle_folder
from bark_onnx.graphs.bundle.integrity import hash_file
from bark_onnx.graphs.bundle.manifest import (
    MANIFEST_NAME,
    TOKENIZER_GRAPH_NAME,
    TOKENIZER_NAME,
    Manifest,
)

_HEADER = "onnxruntime_c_api.h"
_HEADER_FOLDERS = (
    Path(__file__).parents[2] / "build" / "onnxruntime" / "usr" / "include" / "onnxruntime",
    Path("/usr/include/onnxruntime"),
    Path("/usr/local/include/onnxruntime"),
    Path("/opt/homebrew/include/onnxruntime"),
)


def demo_with_tokenizer_graph(target: Path) -> Path:
    """A copy of the demo's bundle, with tokenizer.onnx."""
    shutil.copytree(bundle_folder("demo"), target)
    manifest = Manifest.read(target)
    rules = read_rules(Tokenizer.from_file(str(target / TOKENIZER_NAME)), "demo")
    graph = build_graph(rules, manifest.generation.semantic, manifest.shapes.semantic)
    ir.save(graph, target / TOKENIZER_GRAPH_NAME)
    record = hash_file(target / TOKENIZER_GRAPH_NAME)
    files = {**manifest.files, TOKENIZER_GRAPH_NAME: record}
    (target / MANIFEST_NAME).write_text(replace(manifest, files=files).to_json())
    return target


def header_folder() -> Path:
    """Folder of the C API's header, which the wheel of onnxruntime lacks; skips without."""
    given = os.environ.get("ORT_INCLUDE")
    folders = [Path(given)] if given else _HEADER_FOLDERS
    for folder in folders:
        if (folder / _HEADER).is_file():
            return folder
    pytest.skip(f"{_HEADER} is missing: make test-c gets it, or ORT_INCLUDE names its folder")


def runtime_library(folder: Path) -> Path:
    """The wheel's library of ONNX Runtime under the names by which it is linked and loaded."""
    capi = Path(onnxruntime.__file__).parent / "capi"
    found = sorted(capi.glob("libonnxruntime.so.*"))
    if not found:
        pytest.skip("libonnxruntime.so is missing in the wheel of onnxruntime: this is not Linux")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(found[-1])
    return folder / "libonnxruntime.so"


def python_library() -> str:
    """libpython, which the wheel of onnxruntime-extensions calls; skips without."""
    shared = Path(sysconfig.get_config_var("LIBDIR") or "") / (
        sysconfig.get_config_var("INSTSONAME") or ""
    )
    if ".so" in shared.name and shared.is_file():
        return str(shared)
    name = "python{}.{}".format(*sys.version_info)
    found = ctypes.util.find_library(name)
    if found is None:
        pytest.skip(f"lib{name}.so is missing: onnxruntime-extensions of PyPI needs it")
    return found
