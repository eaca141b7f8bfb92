"""tokenizer.onnx gives the ids of tokenizer.json, padded to the prompt of the semantic stage."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bark_onnx.export.checkpoints.tokenizer import read_tokenizer
from bark_onnx.export.session import open_session
from bark_onnx.export.tokenizer_graph.comparison import (
    compare_tokenizer,
    custom_operators,
    graph_ids,
)
from bark_onnx.export.tokenizer_graph.graph import build_graph
from bark_onnx.export.tokenizer_graph.rules import read_rules
from bark_onnx.graphs.bundle.demo import bundle_folder
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.bundle.tokenizer_graph import tokenizer_contract
from bark_onnx.graphs.contract import METADATA_KEY, GraphContract
from bark_onnx.graphs.errors import ExportError
from bark_onnx.runtime.inference.semantic import semantic_prompt
from tests.conftest import SHARED
from tests.support.messages import assert_one_line
from tests.support.multilingual import DIFFICULT, multilingual_texts, trained_tokenizer

pytest.importorskip(
    "onnxruntime_extensions", reason="onnxruntime-extensions is missing: tokenizer.onnx cannot run"
)

LENGTH = 3000  # ids of a prompt
ASTRAL = range(0xE000, 0x20000)  # private ones, and all others but the rarest Chinese ones
DEMO = bundle_folder("demo")
SHAPES = Manifest.read(DEMO).shapes
SETTINGS = replace(
    Manifest.read(DEMO).generation.semantic,
    text_encoding_offset=10_048,
    text_pad_token=129_595,
    semantic_infer_token=129_599,
    max_input_semantic_length=LENGTH,
)


def multilingual() -> Tokenizer:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is missing: no real vocabulary")
    return read_tokenizer(SHARED / "tokenizer", is_cased=True)


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "multilingual": multilingual,
    "demo": lambda: Tokenizer.from_file(str(DEMO / "tokenizer.json")),
    "trained": trained_tokenizer,
    "lowercase": lambda: trained_tokenizer(lowercase=True),
}
NAMES = pytest.mark.parametrize("name", TOKENIZERS)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Tokenizer, Any]]:
    @cache
    def open_graph(name: str) -> tuple[Tokenizer, Any]:
        tokenizer = TOKENIZERS[name]()
        path = tmp_path_factory.mktemp(name) / "tokenizer.onnx"
        ir.save(build_graph(read_rules(tokenizer, name), SETTINGS, SHAPES.semantic), path)
        return tokenizer, open_session(path, library=custom_operators())

    return open_graph


def differences(tokenizer: Tokenizer, session: Any, texts: list[str]) -> list[str]:
    """Texts of which the graph finds other ids, or another number of them."""
    different = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if graph_ids(session, text, SETTINGS) != (ids[:LENGTH], len(ids)):
            different.append(text)
    return different


@NAMES
def test_graph_gives_the_ids_of_a_thousand_texts_in_thirteen_languages(
    name: str, opened: Callable[[str], tuple[Tokenizer, Any]]
) -> None:
    texts = multilingual_texts()
    assert len(set(texts)) >= 1000
    assert differences(*opened(name), texts) == []


@NAMES
def test_graph_gives_the_ids_of_difficult_texts(
    name: str, opened: Callable[[str], tuple[Tokenizer, Any]]
) -> None:
    assert differences(*opened(name), DIFFICULT) == []


@pytest.mark.parametrize(
    ("name", "points"),
    [("lowercase", range(1, 0xD800)), ("trained", range(1, 0xD800)), ("trained", ASTRAL)],
)
def test_graph_gives_the_ids_of_every_character(
    name: str, points: range, opened: Callable[[str], tuple[Tokenizer, Any]]
) -> None:
    tokenizer, session = opened(name)
    letters = [chr(point) for point in points]
    step = 500
    for begin in range(0, len(letters), step):
        text = " ".join(f"a{letter}a" for letter in letters[begin : begin + step])
        assert differences(tokenizer, session, [text]) == []


@given(text=st.text(max_size=60).filter(lambda text: "\0" not in text))
@settings(max_examples=100, deadline=None)
def test_graph_gives_the_ids_of_any_text(
    opened: Callable[[str], tuple[Tokenizer, Any]], text: str
) -> None:
    for name in ("demo", "trained", "lowercase"):
        assert differences(*opened(name), [text]) == []


@pytest.mark.parametrize("text", ["Hello, my dog", "", "a " * (LENGTH + 5)])
def test_outputs_are_the_prompt_of_the_semantic_stage(
    text: str, opened: Callable[[str], tuple[Tokenizer, Any]]
) -> None:
    tokenizer, session = opened("trained")
    ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids[:LENGTH], np.int64)
    expected = semantic_prompt(ids, None, SETTINGS, SHAPES.semantic)
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"text": np.array([text], object)}), strict=True))
    assert np.array_equal(found["input_ids"], expected.input_ids[None])
    assert np.array_equal(found["history_ids"], expected.history_ids[None])
    assert np.array_equal(found["position_ids"], np.arange(LENGTH + 1)[None])


def test_graph_carries_its_contract(opened: Callable[[str], tuple[Tokenizer, Any]]) -> None:
    _, session = opened("demo")
    contract = tokenizer_contract(SETTINGS, SHAPES.semantic)
    stored = session.get_modelmeta().custom_metadata_map[METADATA_KEY]
    assert GraphContract.from_json(stored, "tokenizer.onnx") == contract
    for values, tensors in (
        (session.get_inputs(), contract.inputs),
        (session.get_outputs(), contract.outputs),
    ):
        assert [(value.name, value.shape) for value in values] == [
            (tensor.name, list(tensor.shape)) for tensor in tensors
        ]


def test_a_different_graph_is_refused(tmp_path: Path) -> None:
    tokenizer = trained_tokenizer()
    rules = read_rules(tokenizer, "here")
    path = tmp_path / "tokenizer.onnx"
    without_danda = {key: value for key, value in rules.replacements.items() if key != "।"}
    wrong = replace(rules, replacements=without_danda)
    ir.save(build_graph(wrong, SETTINGS, SHAPES.semantic), path)
    with pytest.raises(ExportError) as caught:
        compare_tokenizer(tokenizer, rules, SETTINGS, path)
    assert_one_line(caught.value, "tokenizer.onnx", "tokenizer.json", "--tokenizer-graph")
