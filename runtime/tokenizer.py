"""Text to the ids that Bark's semantic transformer was trained on."""

import warnings
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from bark_onnx.graphs.errors import BundleError, TextError
from bark_onnx.graphs.voices import Tokens

_EXCERPT_CHARACTERS = 40


class TextTokenizer:
    """A bundle's tokenizer.

    Args:
        path: a tokenizer.json.
        max_tokens: what a prompt holds.

    Raises:
        BundleError: the file is no tokenizer.
    """

    def __init__(self, path: Path, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises the bare class
            raise BundleError(f"{path}: not a tokenizer ({error}); export it again") from error

    def count(self, text: str) -> int:
        """Tokens of a text, those included that `encode` leaves out."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, text: str) -> Tokens:
        """Token ids of a text, int64 (n,), without special tokens.

        Bark reads a limited number; what goes beyond is left out with a warning, as transformers
        leaves it out without one.

        Raises:
            TextError: there is nothing to say.
        """
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise TextError(
                f"The text is not valid Unicode (character {error.start}); expected UTF-8"
            ) from error
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        if not ids:
            raise TextError("The text is empty; expected something to say")
        if len(ids) > self.max_tokens:
            excerpt = text.strip()[:_EXCERPT_CHARACTERS]
            warnings.warn(
                f'"{excerpt}…" has {len(ids)} tokens; Bark reads the first {self.max_tokens}, '
                "the rest is not spoken",
                stacklevel=2,
            )
        return np.array(ids[: self.max_tokens], np.int64)
