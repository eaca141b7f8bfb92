"""A checkpoint's tokenizer as one tokenizer.json: BERT WordPiece without extras."""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bark_onnx.graphs.errors import CheckpointError, first_line
from bark_onnx.graphs.files.dataclass_json import read_json, shown
from bark_onnx.graphs.files.hub import download, is_repository_id
from bark_onnx.graphs.files.regular_file import (
    check_readable,
    is_folder,
    not_a_folder,
    read_file,
)
from bark_onnx.graphs.generation_config import GenerationSettings

MULTILINGUAL = "google-bert/bert-base-multilingual-cased"

_REMEDY = "download it again"
_MAX_BYTES = 64 << 20  # of a vocabulary
_FILES = ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
_SPECIAL_TOKENS = {
    f"{name}_token": f"[{name.upper()}]" for name in ["pad", "unk", "cls", "sep", "mask"]
}


def open_tokenizer(source: str, generation: GenerationSettings) -> Tokenizer:
    """Read a tokenizer from elsewhere.

    Args:
        source: Folder as for `read_tokenizer`, or hub id; text keeps its case by default.
        generation: Settings that define the number of entries.

    Raises:
        CheckpointError: The tokenizer cannot be found, is malformed, or has another number of
            entries.
    """
    folder = Path(source)
    if is_repository_id(source):
        folder = download(source, _FILES, CheckpointError, option="--tokenizer")
    elif not is_folder(folder, CheckpointError):
        raise CheckpointError(
            f"{not_a_folder(source)}; expected the folder or hub id of a tokenizer, such as "
            f"{MULTILINGUAL}"
        )
    tokenizer = read_tokenizer(folder, is_cased=True)
    _check_entries(tokenizer, generation, source)
    return tokenizer


def read_bark_tokenizer(folder: Path, generation: GenerationSettings) -> Tokenizer:
    """Read the tokenizer of a checkpoint, as `read_tokenizer` does.

    Raises:
        CheckpointError: It is missing, malformed, or has another number of entries than the
            settings imply.
    """
    tokenizer = read_tokenizer(folder)
    _check_entries(tokenizer, generation, folder)
    return tokenizer


def _check_entries(tokenizer: Tokenizer, generation: GenerationSettings, where: object) -> None:
    found, expected = tokenizer.get_vocab_size(), generation.semantic.text_vocabulary
    if found != expected:
        raise CheckpointError(
            f"{where}: the tokenizer has {found} entries, the semantic model reads {expected}; "
            f"Bark was trained with {MULTILINGUAL}, give it with --tokenizer"
        )


def read_tokenizer(folder: Path, *, is_cased: bool = False) -> Tokenizer:
    """Read a tokenizer, without padding, truncation or added tokens.

    Args:
        folder: Folder with tokenizer.json, or with vocab.txt and optionally tokenizer_config.json.
        is_cased: Whether text keeps its case by default.

    Raises:
        CheckpointError: Both files are missing, or one is malformed.
    """
    path = folder / "tokenizer.json"
    if path.exists():
        check_readable(path, CheckpointError, remedy=_REMEDY)
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises Exception itself
            raise CheckpointError(f"{path}: not a tokenizer ({first_line(error)})") from error
    else:
        tokenizer = _build(folder, is_cased=is_cased)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _build(folder: Path, *, is_cased: bool) -> Tokenizer:
    vocabulary = _read_vocabulary(folder / "vocab.txt")
    if "[UNK]" not in vocabulary:
        raise CheckpointError(
            f"{folder / 'vocab.txt'}: [UNK] is missing; expected a BERT vocabulary"
        )
    path = folder / "tokenizer_config.json"
    stored = read_json(path) if path.is_file() else {}
    config = {"do_lower_case": not is_cased, **stored}
    try:
        return _assemble(vocabulary, config)
    except Exception as error:  # the library raises Exception itself
        raise CheckpointError(f"{path}: a setting is malformed ({first_line(error)})") from error


def _assemble(vocabulary: dict[str, int], config: dict[str, Any]) -> Tokenizer:
    special = {key: _content(config.get(key, value)) for key, value in _SPECIAL_TOKENS.items()}
    if special["unk_token"] not in vocabulary:
        raise ValueError(f"unk_token is {shown(special['unk_token'])}, which vocab.txt lacks")
    tokenizer = Tokenizer(
        WordPiece(vocabulary, unk_token=special["unk_token"], max_input_chars_per_word=100)
    )
    tokenizer.normalizer = BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=config["do_lower_case"],
    )
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = WordPieceDecoder(prefix="##")
    tokenizer.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True)
            for token in special.values()
            if token in vocabulary
        ]
    )
    return tokenizer


def _content(token: object) -> str:
    """Text of a special token, which is stored as text or as an object with `content`."""
    return str(token["content"] if isinstance(token, dict) else token)


def _read_vocabulary(path: Path) -> dict[str, int]:
    try:
        text = read_file(path, CheckpointError, max_bytes=_MAX_BYTES, remedy=_REMEDY).decode()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(
            f"{path.parent}: no tokenizer; expected tokenizer.json or vocab.txt"
        ) from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: not readable as a vocabulary ({error})") from error
    lines = text.removesuffix("\n").split("\n")
    return {line.rstrip("\r"): index for index, line in enumerate(lines)}
