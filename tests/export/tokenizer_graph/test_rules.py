"""Only tokenizers of BERT's kind become a graph, and other ones are refused in one line."""

import json
from typing import Any

import pytest
from tokenizers import Tokenizer

from bark_onnx.export.tokenizer_graph.characters import (
    character_class,
    replacement_patterns,
    splitting_characters,
)
from bark_onnx.export.tokenizer_graph.rules import read_rules
from bark_onnx.graphs.errors import CheckpointError
from tests.support.messages import assert_one_line
from tests.support.multilingual import SPECIAL, trained_tokenizer


def changed(**parts: dict[str, Any]) -> Tokenizer:
    """A tokenizer with other settings in some parts of its JSON."""
    data = json.loads(trained_tokenizer().to_str())
    for key, values in parts.items():
        data[key] = {**data[key], **values} if data[key].get("type") else values
    return Tokenizer.from_str(json.dumps(data))


@pytest.mark.parametrize(
    ("tokenizer", "words"),
    [
        (changed(normalizer={"clean_text": False}), ["clean_text"]),
        (changed(model={"max_input_chars_per_word": 101}), ["100 characters"]),
        (changed(model={"continuing_subword_prefix": ""}), ["no prefix"]),
        (changed(normalizer={"type": "Lowercase"}), ["normalizer", "Lowercase"]),
        (changed(pre_tokenizer={"type": "WhitespaceSplit"}), ["pre-tokenizer", "WhitespaceSplit"]),
    ],
)
def test_other_tokenizers_are_refused(tokenizer: Tokenizer, words: list[str]) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_rules(tokenizer, "folder")
    assert_one_line(caught.value, "folder", "--tokenizer-graph", *words)


def test_added_tokens_with_rules_of_their_own_are_refused() -> None:
    tokenizer = trained_tokenizer()
    tokenizer.add_tokens(["hello"])
    with pytest.raises(CheckpointError) as caught:
        read_rules(tokenizer, "folder")
    assert_one_line(caught.value, "added token", "hello")


def test_too_many_replacements_are_refused() -> None:
    tokenizer = trained_tokenizer(lowercase=True)
    data = json.loads(tokenizer.to_str())
    start = len(data["model"]["vocab"])
    for index, point in enumerate(range(0x1100, 0x1200)):  # parts of Korean syllables
        data["model"]["vocab"].setdefault(chr(point), start + index)
    with pytest.raises(CheckpointError) as caught:
        read_rules(Tokenizer.from_str(json.dumps(data)), "folder")
    assert_one_line(caught.value, "replace")


def test_characters_are_replaced_as_the_tokenizer_does() -> None:
    cased, lowercase = (
        read_rules(trained_tokenizer(lowercase=each), "here").replacements for each in (False, True)
    )
    assert "À" not in cased
    assert lowercase["À"] == lowercase["Ä"] == lowercase["A"] == "a"
    for found in (cased, lowercase):
        assert found["\n"] == found["\u3000"] == " "
        assert found["\x07"] == found["\u200b"] == found["\ufffd"] == ""
        assert found["।"] == " । "
        assert found["𠮷"] == " 𠮷 "
        assert "a" not in found


def test_one_pattern_replaces_all_characters_with_the_same_result() -> None:
    replacements = {"!": " ! ", "A": "a", "À": "a", "\n": " ", "\r": " ", "ß": "zz", "È": "e"}
    assert splitting_characters(replacements) == ["!"]
    assert list(replacement_patterns(replacements, frozenset("ae!"), "?")) == [
        (r"[\x{41}\x{c0}]", "a"),
        (r"[\x{a}\x{d}]", " "),
        (r"[\x{df}]", "?"),
        (r"[\x{c8}]", "e"),
    ]
    assert character_class("abcx") == r"[\x{61}-\x{63}\x{78}]"


def test_rules_hold_the_vocabulary_by_id() -> None:
    tokenizer = trained_tokenizer()
    rules = read_rules(tokenizer, "here")
    assert list(rules.special) == SPECIAL
    assert rules.unknown_id == tokenizer.token_to_id("[UNK]")
    for index, entry in enumerate(rules.entries):
        assert entry == ("" if index < len(SPECIAL) else tokenizer.id_to_token(index))
    assert not set(rules.free_characters) & rules.alphabet
