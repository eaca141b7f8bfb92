"""Encodes text to the token ids of Bark's semantic stage."""

import warnings
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import BundleError, TextError
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.text.terminal import excerpt

_SHOWN_CHARACTERS = 40


class TextTokenizer:
    """A bundle's tokenizer, from a tokenizer.json; a prompt holds `max_tokens`.

    Raises:
        BundleError: The file is not a tokenizer.
    """

    def __init__(self, path: Path, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises the bare class
            raise BundleError(f"{path}: not a tokenizer ({error}); export it again") from error

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> "TextTokenizer":
        """The tokenizer of a bundle, whose file must be unaltered."""
        length = bundle.manifest.generation.semantic.max_input_semantic_length
        return cls(bundle.tokenizer_path(), length)

    def encode(self, text: str) -> Tokens:
        """Token ids of a text, int64 (n,), without special tokens.

        Ids beyond `max_tokens` are dropped with a warning; transformers drops them silently.

        Raises:
            TextError: The text has no tokens, or is not valid Unicode.
        """
        ids = self._ids(text)
        if not ids:
            raise TextError("The text is empty; expected at least one word")
        if len(ids) > self.max_tokens:
            warnings.warn(
                f'"{excerpt(text, _SHOWN_CHARACTERS)}" has {len(ids)} tokens; Bark reads the '
                f"first {self.max_tokens}, the rest is not generated",
                stacklevel=2,
            )
        return np.array(ids[: self.max_tokens], np.int64)

    def count(self, text: str) -> int:
        """Number of token ids of a text of any length."""
        return len(self._ids(text))

    def _ids(self, text: str) -> list[int]:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise TextError(
                f"The text is not valid Unicode (character {error.start}); expected UTF-8"
            ) from error
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
