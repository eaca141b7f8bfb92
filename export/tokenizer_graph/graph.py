"""Builds tokenizer.onnx: a text to the prompt of the semantic stage.

The operator BertTokenizer of onnxruntime-extensions only looks for pieces of words here. Regular
expressions and a few operators on ids give the graph the rules of `tokenizers` where it has others:

1. All punctuation and Chinese characters of Unicode are words, and control characters vanish; the
   operator knows some. Capital letters and accents are replaced if the tokenizer ignores them.
2. A word that is too long is unknown, whichever limit the operator has.
3. A word with an unknown part is unknown as a whole; the operator keeps the parts before.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from bark_onnx.export.tokenizer_graph.characters import (
    character_class,
    replacement_patterns,
    splitting_characters,
)
from bark_onnx.export.tokenizer_graph.rules import TokenizerRules
from bark_onnx.graphs.bundle.tokenizer_graph import TEXT, TEXT_TOKENS, tokenizer_contract
from bark_onnx.graphs.contract import HISTORY_IDS, INPUT_IDS, POSITION_IDS
from bark_onnx.graphs.generation_config import SemanticSettings
from bark_onnx.graphs.passes.apply_contract import ApplyContractPass
from bark_onnx.graphs.shapes import CausalShape

CUSTOM_OPERATORS = "ai.onnx.contrib"  # the domain of onnxruntime-extensions
_OPSET, _IR_VERSION = 21, 10


def build_graph(rules: TokenizerRules, settings: SemanticSettings, shape: CausalShape) -> ir.Model:
    """The graph of a tokenizer, with its contract in the metadata.

    Args:
        rules: Vocabulary and rules of the tokenizer.
        settings: Offset, padding and length of the prompt.
        shape: Shape of the semantic transformer.
    """
    contract = tokenizer_contract(settings, shape)
    builder, text = _Builder(), ir.Value(name=TEXT)
    marker, unknown = rules.free_characters
    words = _split_words(builder, text, rules, marker, unknown)
    ids = _encode(builder, words, rules, marker, unknown)
    outputs = _prompt(builder, ids, settings, shape)
    for name, value in outputs.items():
        value.name = name
    graph = ir.Graph(
        [text],
        [outputs[tensor.name] for tensor in contract.outputs],
        nodes=builder.tape.nodes,
        initializers=builder.tape.initializers,
        opset_imports={"": _OPSET, CUSTOM_OPERATORS: 1},
    )
    model = ir.Model(graph, ir_version=_IR_VERSION)
    ApplyContractPass(contract)(model)
    return model


def _split_words(
    builder: "_Builder", text: ir.Value, rules: TokenizerRules, marker: str, unknown: str
) -> ir.Value:
    """Words of a text, with a marker as a word of its own between two."""
    special = sorted(rules.special, key=len, reverse=True)
    single = character_class(splitting_characters(rules.replacements))
    text = builder.replace(text, "|".join([*map(re.escape, special), single]), r" \0 ")
    for characters, rewrite in replacement_patterns(rules.replacements, rules.alphabet, unknown):
        text = builder.replace(text, characters, rewrite)
    text = builder.replace(text, f"[^ ]{{{rules.max_word_characters + 1},}}", unknown)
    text = builder.replace(text, "^ +| +$", "")
    return builder.replace(text, " +", f" {marker} ")


def _encode(
    builder: "_Builder", words: ir.Value, rules: TokenizerRules, marker: str, unknown: str
) -> ir.Value:
    """Token ids (n,) of the words; a word with an unknown part has one id."""
    op, entries = builder.op, _entries(rules, unknown)
    found = op(
        "BertTokenizer",
        [words],
        num_outputs=3,
        vocab_file="\n".join([*entries, marker]),
        suffix_indicator=rules.prefix,
        # The operator looks for each of these, and adds two that the next line removes.
        **{
            f"{name}_token": entries[rules.unknown_id]
            for name in ("unk", "sep", "pad", "cls", "mask")
        },
        do_basic_tokenize=0,
    )
    ids = op("Slice", [found, builder.ids([1]), builder.ids([-1])])
    is_marker = op("Equal", [ids, builder.ids(len(entries))])
    is_unknown = op("Equal", [ids, builder.ids(rules.unknown_id)])
    word = op("CumSum", [op("Cast", [is_marker], to=ir.DataType.INT64), builder.ids(0)])
    count = op("Add", [op("Shape", [ids]), builder.ids([1])])
    known_words = op("ConstantOfShape", [count], value=ir.tensor(np.zeros(1, np.int64)))
    updates = op("Cast", [is_unknown], to=ir.DataType.INT64)
    unknown_words = op("ScatterElements", [known_words, word, updates], reduction="max")
    in_unknown = op("Cast", [op("Gather", [unknown_words, word])], to=ir.DataType.BOOL)
    is_part = op("Xor", [in_unknown, is_unknown])  # a known part of an unknown word
    return op("Compress", [ids, op("Not", [op("Or", [is_marker, is_part])])], axis=0)


def _entries(rules: TokenizerRules, unknown: str) -> list[str]:
    """The operator's vocabulary: an entry per id, and words that no text has where none belongs."""
    entries = [text or f"{unknown}{index}" for index, text in enumerate(rules.entries)]
    for text, index in rules.special.items():
        entries[index] = rules.written(text)
    return entries


def _prompt(
    builder: "_Builder", ids: ir.Value, settings: SemanticSettings, shape: CausalShape
) -> dict[str, ir.Value]:
    """The outputs, by name. Source: `BarkSemanticModel.generate` of transformers."""
    op, most = builder.op, settings.max_input_semantic_length
    shifted = op("Add", [ids, builder.ids(settings.text_encoding_offset)])
    padding = builder.ids([settings.text_pad_token] * most)
    padded = op("Concat", [shifted, padding], axis=0)
    cut = op("Slice", [padded, builder.ids([0]), builder.ids([most])])
    prompt = op("Concat", [cut, builder.ids([settings.semantic_infer_token])], axis=0)
    history = [settings.semantic_pad_token] * most + [shape.input_vocabulary]
    return {
        INPUT_IDS: op("Unsqueeze", [prompt, builder.ids([0])]),
        HISTORY_IDS: op("Identity", [builder.ids([history])]),
        POSITION_IDS: op("Identity", [builder.ids([list(range(most + 1))])]),
        TEXT_TOKENS: op("Size", [ids]),
    }


class _Builder:
    """Nodes and constants of the graph."""

    def __init__(self) -> None:
        self.tape = Tape()

    def op(
        self, name: str, inputs: Sequence[ir.Value], *, num_outputs: int = 1, **attributes: Any
    ) -> ir.Value:
        """The first output of a new node."""
        domain = CUSTOM_OPERATORS if name in {"BertTokenizer", "StringRegexReplace"} else ""
        return self.tape.op_multi_out(
            name, inputs, attributes, num_outputs=num_outputs, domain=domain
        )[0]

    def replace(self, text: ir.Value, pattern: str, rewrite: str) -> ir.Value:
        """A text with every match of a pattern of RE2 replaced."""
        return self.op("StringRegexReplace", [text, self._text(pattern), self._text(rewrite)])

    def ids(self, values: int | list[int] | list[list[int]]) -> ir.Value:
        """A constant of int64."""
        return self._constant(ir.tensor(np.array(values, np.int64)))

    def _text(self, text: str) -> ir.Value:
        return self._constant(ir.StringTensor([text.encode()], shape=ir.Shape([1])))

    def _constant(self, tensor: ir.TensorProtocol) -> ir.Value:
        return self.tape.initializer(tensor, name=f"constant_{len(self.tape.initializers)}")
