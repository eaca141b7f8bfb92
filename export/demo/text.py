"""The demo's tokenizer: each letter is a token, the first one of a word another than inner ones."""

import json
import string
from pathlib import Path

from tokenizers import Tokenizer

from bark_onnx.export.checkpoints.tokenizer import read_tokenizer

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def vocabulary() -> list[str]:
    """Entries of the tokenizer: special tokens, punctuation, letters and digits."""
    characters = string.ascii_lowercase + string.digits
    inner = [f"##{character}" for character in characters]
    return [*_SPECIAL, *string.punctuation, *characters, *inner]


def write_tokenizer(folder: Path) -> None:
    """Write vocab.txt and tokenizer_config.json."""
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer as a bundle has it."""
    write_tokenizer(folder)
    return read_tokenizer(folder)
