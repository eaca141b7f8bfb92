"""The kind of tokenizer that the graph can repeat: BERT WordPiece, and nothing else."""

import json
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from bark_onnx.export.tokenizer_graph.characters import (
    character_replacements,
    replacement_patterns,
)
from bark_onnx.graphs.errors import CheckpointError
from bark_onnx.graphs.files.dataclass_json import shown

_MAX_WORD_CHARACTERS = 100  # the operator's own limit, which no attribute changes
_MAX_PATTERNS = 1000  # each is a node of the graph; a tokenizer that keeps letters has two
_PRIVATE_USE = range(0xE000, 0xF900)  # characters that a tokenizer removes from texts


@dataclass(frozen=True)
class TokenizerRules:
    """A tokenizer's vocabulary and rules."""

    entries: tuple[str, ...]  # by id; "" where no word of a text has this id
    unknown_id: int
    prefix: str  # of parts that continue a word
    max_word_characters: int  # a longer word is unknown
    special: dict[str, int]  # ids of tokens that a text may contain as they are written
    replacements: dict[str, str]  # of `character_replacements`

    @property
    def alphabet(self) -> frozenset[str]:
        """All characters of the entries."""
        return frozenset("".join(self.entries))

    @property
    def free_characters(self) -> tuple[str, str]:
        """Two characters that are neither in the entries nor left in a text."""
        alphabet = self.alphabet
        free = (
            character
            for character in map(chr, _PRIVATE_USE)
            if character not in alphabet and not self.replacements.get(character, character)
        )
        return next(free), next(free)

    def written(self, special: str) -> str:
        """A special token with its characters replaced; punctuation does not split it."""
        found = (self.replacements.get(character, character) for character in special)
        return "".join(text.strip(" ") for text in found)


def read_rules(tokenizer: Tokenizer, where: str) -> TokenizerRules:
    """Vocabulary and rules of a tokenizer.

    Raises:
        CheckpointError: It is of another kind; `where` it was found begins the message.
    """
    data = json.loads(tokenizer.to_str())
    if fault := _fault(data):
        raise CheckpointError(
            f"{where}: the tokenizer has {fault}; --tokenizer-graph repeats BERT's WordPiece with "
            "BertNormalizer and BertPreTokenizer, omit it to export the rest"
        )
    model, vocabulary = data["model"], tokenizer.get_vocab(with_added_tokens=True)
    special = {token["content"]: token["id"] for token in data["added_tokens"]}
    entries = [""] * (max(vocabulary.values()) + 1)
    for text, index in vocabulary.items():
        entries[index] = "" if text in special or "\n" in text else text
    rules = TokenizerRules(
        entries=tuple(entries),
        unknown_id=vocabulary[model["unk_token"]],
        prefix=model["continuing_subword_prefix"],
        max_word_characters=model["max_input_chars_per_word"],
        special=special,
        replacements=character_replacements(tokenizer),
    )
    patterns = list(replacement_patterns(rules.replacements, rules.alphabet, unknown=""))
    if len(patterns) > _MAX_PATTERNS:
        raise CheckpointError(
            f"{where}: the tokenizer replaces characters by {len(patterns)} other ones, which "
            f"--tokenizer-graph does for at most {_MAX_PATTERNS}; omit it to export the rest"
        )
    return rules


def _fault(data: dict[str, Any]) -> str | None:
    """What the graph cannot repeat; None if nothing."""
    for key, kind in (
        ("model", "WordPiece"),
        ("normalizer", "BertNormalizer"),
        ("pre_tokenizer", "BertPreTokenizer"),
    ):
        found = (data[key] or {}).get("type")
        if found != kind:
            return f"{key.replace('_', '-')} {shown(found)}"
    if not data["normalizer"]["clean_text"]:
        return "clean_text false"
    if data["model"]["max_input_chars_per_word"] > _MAX_WORD_CHARACTERS:
        return f"words of more than {_MAX_WORD_CHARACTERS} characters"
    if not data["model"]["continuing_subword_prefix"]:
        return "no prefix of parts that continue a word"
    for token in data["added_tokens"]:
        if any(token[key] for key in ("single_word", "lstrip", "rstrip", "normalized")):
            return f"an added token {shown(token['content'])} with rules of its own"
    return None
