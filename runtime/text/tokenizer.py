"""Encodes text to the token ids of Bark's semantic stage."""

import re
import warnings
from collections.abc import Set
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import EXPORT_AGAIN, WORDS_NAME
from bark_onnx.graphs.errors import BundleError, TextError, first_line
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.text.checks import check_text
from bark_onnx.runtime.text.terminal import excerpt

_SHOWN_CHARACTERS = 40
_MAX_SHOWN_WORDS = 3
_UNKNOWN = "[UNK]"  # of Bert's vocabularies: a word without any known part
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


class TextTokenizer:
    """A bundle's tokenizer.

    Args:
        path: A tokenizer.json.
        max_tokens: Token ids in a prompt.
        vocabulary: Entries that the semantic stage reads; None accepts any number.
        words: Words that the checkpoint knows, in lower case; empty if it knows any word.

    Raises:
        BundleError: The file is not a tokenizer, or has another number of entries.
    """

    def __init__(
        self,
        path: Path,
        max_tokens: int,
        *,
        vocabulary: int | None = None,
        words: Set[str] = frozenset(),
    ) -> None:
        self.max_tokens = max_tokens
        self._words = words
        self._has_warned = False
        self._path = path
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises the bare class
            reason = first_line(error)
            raise BundleError(f"{path}: not a tokenizer ({reason}); {EXPORT_AGAIN}") from error
        entries = self._tokenizer.get_vocab_size()
        if vocabulary not in (None, entries):
            raise BundleError(
                f"{path} has {entries} entries, expected {vocabulary} by bark.json; {EXPORT_AGAIN}"
            )
        self._vocabulary = entries
        self._unknown_id = self._tokenizer.token_to_id(_UNKNOWN)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> "TextTokenizer":
        """The tokenizer of a bundle, whose file must be unaltered."""
        semantic = bundle.manifest.generation.semantic
        return cls(
            bundle.tokenizer_path(),
            semantic.max_input_semantic_length,
            vocabulary=semantic.text_vocabulary,
            words=bundle.known_words(),
        )

    def encode(self, text: str) -> Tokens:
        """Token ids of a text, int64 (n,), without special tokens.

        Ids beyond `max_tokens` are dropped with a warning; transformers drops them silently. The
        first text with a word that the checkpoint does not know causes a warning.

        Raises:
            TextError: The text has no tokens, or is not valid Unicode.
        """
        ids = self._ids(text)
        if not ids:
            raise TextError("The text is empty; expected at least one word")
        if self._words:
            self._warn_of_untrained_words(text)
        elif self._unknown_id in ids:
            self._warn_of_unknown_words(text)
        if len(ids) > self.max_tokens:
            warnings.warn(
                f'"{excerpt(text, _SHOWN_CHARACTERS)}" has {len(ids)} tokens; Bark reads the '
                f"first {self.max_tokens}, the rest is not generated",
                stacklevel=2,
            )
        return np.array(ids[: self.max_tokens], np.int64)

    def _warn_of_unknown_words(self, text: str) -> None:
        """Warn of words without a token, but not of signs such as the notes of songs."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        unknown = [
            text[start:end]
            for each, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if each == self._unknown_id
        ]
        words = [word for word in unknown if any(map(str.isalnum, word))]
        if len(unknown) == len(encoding.ids):
            words = unknown
        if words:
            shown = ", ".join(excerpt(word, _SHOWN_CHARACTERS) for word in words[:_MAX_SHOWN_WORDS])
            more = ", …" if len(words) > _MAX_SHOWN_WORDS else ""
            warnings.warn(
                f"{len(words)} of {len(encoding.ids)} tokens are unknown to the checkpoint and not "
                f"spoken: {shown}{more}",
                stacklevel=3,
            )

    def _warn_of_untrained_words(self, text: str) -> None:
        """Warn once of a text in another language, or with other words."""
        words = [match.group() for match in _WORD.finditer(text)]
        unknown = [word for word in words if _plain(word) not in self._words]
        if not unknown or self._has_warned:
            return
        self._has_warned = True
        shown = ", ".join(excerpt(word, _SHOWN_CHARACTERS) for word in unknown[:_MAX_SHOWN_WORDS])
        more = ", …" if len(unknown) > _MAX_SHOWN_WORDS else ""
        warnings.warn(
            f"{len(unknown)} of {len(words)} words are not among the {len(self._words)} that the "
            f"checkpoint knows, and may not be understood: {shown}{more}; all that it knows are in "
            f"{self._path.with_name(WORDS_NAME)}",
            stacklevel=3,
        )

    def count(self, text: str) -> int:
        """Number of token ids of a text of any length."""
        return len(self._ids(text))

    def _ids(self, text: str) -> list[int]:
        check_text(text)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise TextError(
                f"The text is not valid Unicode (character {error.start}); expected UTF-8"
            ) from error
        try:
            ids = list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        except Exception as error:  # as in `__init__`
            reason = first_line(error)
            raise BundleError(f"{self._path}: it fails ({reason}); {EXPORT_AGAIN}") from error
        if ids and max(ids) >= self._vocabulary:
            raise BundleError(
                f"{self._path}: found token id {max(ids)}, expected ids below {self._vocabulary}; "
                f"{EXPORT_AGAIN}"
            )
        return ids


def _plain(word: str) -> str:
    return word.lower().replace("\u2019", "'")
