"""A checkpoint's tokenizer in either stored form, compared with that of transformers."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import BertTokenizerFast

from bark_onnx.export.checkpoints.tokenizer import read_tokenizer
from bark_onnx.graphs.errors import CheckpointError
from tests.conftest import SHARED, needs_shared_data
from tests.support.messages import assert_one_line

WORD_PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "Hello", ",", "!", "'", "my", "dog"),
    *("##s", "is", "cute", "naïve", "naive", "中", "中文", "文", "a", "##a", "é", "e", "##", "É"),
    *("X", "##yz", "...", ".", "[", "laughs", "]", "♪", "CLS", "##é"),
]
TEXTS = [
    "Hello, my dogs is cute!",
    "hello HELLO Hello",
    "naïve naive é É",
    "中文 中 文 a中a",
    "  \t\n ",
    "",
    "[laughs] ♪ ... [CLS] [SEP] [MASK] [PAD]",
    "aaa\x00a \ufffd\u200b a",
    "a" * 101,
    "Xyz yz unknown-word's",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vocab.txt").write_text("\n".join(WORD_PIECES) + "\n", encoding="utf-8")
    return tmp_path


def configure(folder: Path, **config: object) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def of_transformers(vocabulary: Path, **config: object) -> BertTokenizerFast:
    if transformers.__version__.startswith("4."):
        return BertTokenizerFast(vocab_file=str(vocabulary), **config)
    lines = vocabulary.read_text(encoding="utf-8").split("\n")[:-1]
    return BertTokenizerFast(vocab={piece: index for index, piece in enumerate(lines)}, **config)


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return list(tokenizer.encode(text, add_special_tokens=False).tokens)


CONFIGS = [
    {"do_lower_case": False},
    {"do_lower_case": True},
    {"do_lower_case": False, "strip_accents": True},
    {"do_lower_case": True, "strip_accents": False},
    {"do_lower_case": False, "tokenize_chinese_chars": False},
    {"do_lower_case": False, "tokenize_chinese_chars": True},
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_vocabulary_gives_the_ids_of_transformers(folder: Path, config: dict[str, bool]) -> None:
    configure(folder, **config)
    ours, theirs = read_tokenizer(folder), of_transformers(folder / "vocab.txt", **config)
    for text in TEXTS:
        assert ids(ours, text) == theirs.encode(text, add_special_tokens=False), text


def test_every_setting_changes_the_tokens(folder: Path) -> None:
    def tokens(text: str, **config: object) -> list[str]:
        configure(folder, **config)
        return pieces(read_tokenizer(folder), text)

    assert tokens("Hello", do_lower_case=False) == ["Hello"]
    assert tokens("Hello", do_lower_case=True) == ["hello"]
    assert tokens("naïve", do_lower_case=False, strip_accents=False) == ["naïve"]
    assert tokens("naïve", do_lower_case=False, strip_accents=True) == ["naive"]
    assert tokens("中文", do_lower_case=False, tokenize_chinese_chars=True) == ["中", "文"]
    assert tokens("中文", do_lower_case=False, tokenize_chinese_chars=False) == ["中文"]
    assert tokens("É", do_lower_case=True, strip_accents=None) == ["e"]


def test_special_token_may_have_another_name(folder: Path) -> None:
    configure(folder, do_lower_case=False, unk_token={"content": "dog", "lstrip": False})
    assert pieces(read_tokenizer(folder), "elephant") == ["dog"]


def test_text_is_tokenized_as_in_bert_without_a_configuration(folder: Path) -> None:
    assert pieces(read_tokenizer(folder), "HELLO naïve") == ["hello", "naive"]


def test_tokenizer_file_takes_precedence_over_the_vocabulary(folder: Path) -> None:
    configure(folder, do_lower_case=False)
    stored = read_tokenizer(folder)
    stored.save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").write_text("nothing\n")
    again = read_tokenizer(folder)
    for text in TEXTS:
        assert ids(again, text) == ids(stored, text)


def test_tokenizer_file_of_transformers_gives_its_ids(folder: Path, tmp_path: Path) -> None:
    configure(folder, do_lower_case=False)
    theirs = of_transformers(folder / "vocab.txt", do_lower_case=False)
    saved = tmp_path / "saved"
    theirs.save_pretrained(saved)
    ours = read_tokenizer(saved)
    for text in TEXTS:
        assert ids(ours, text) == theirs.encode(text, add_special_tokens=False), text


def test_stored_padding_and_truncation_are_dropped(folder: Path) -> None:
    tokenizer = read_tokenizer(folder)
    tokenizer.enable_padding(length=8)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert len(ids(read_tokenizer(folder), "a")) == 1
    assert len(ids(read_tokenizer(folder), "a a a a a a")) == 6


def test_vocabulary_with_windows_line_ends_gives_the_same_ids(folder: Path) -> None:
    expected = [ids(read_tokenizer(folder), text) for text in TEXTS]
    (folder / "vocab.txt").write_bytes("\r\n".join([*WORD_PIECES, ""]).encode())
    assert [ids(read_tokenizer(folder), text) for text in TEXTS] == expected


@needs_shared_data
@given(text=st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_text_gives_the_ids_of_transformers(text: str) -> None:
    ours, theirs = _multilingual()
    assert ids(ours, text) == theirs.encode(text, add_special_tokens=False)


@needs_shared_data
def test_suno_vocabulary_gives_the_known_ids() -> None:
    tokenizer, _ = _multilingual()
    expected = [31178, 117, 15127, 17835, 10124, 21610, 10112]
    assert ids(tokenizer, "Hello, my dog is cute") == expected


@cache
def _multilingual() -> tuple[Tokenizer, BertTokenizerFast]:
    """Tokenizers over bert-base-multilingual-cased's vocabulary, with its settings."""
    vocabulary = SHARED / "tokenizer" / "vocab.txt"
    config = {"do_lower_case": False, "strip_accents": False}
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(vocabulary, name)
        configure(Path(name), **config)
        return read_tokenizer(Path(name)), of_transformers(vocabulary, **config)


# Unusable tokenizers


def refuse(folder: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(folder)
    assert_one_line(caught.value, *words)


def test_folder_is_refused_without_a_tokenizer(tmp_path: Path) -> None:
    refuse(tmp_path, str(tmp_path), "no tokenizer", "tokenizer.json", "vocab.txt")


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"model": {"type": "Nonsense"}}'])
def test_malformed_tokenizer_file_is_refused(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    refuse(folder, "tokenizer.json", "not a tokenizer")


def test_vocabulary_is_refused_when_it_is_not_utf_8(folder: Path) -> None:
    (folder / "vocab.txt").write_bytes(b"[PAD]\n[UNK]\n\xff\xfe\n")
    refuse(folder, "vocab.txt", "not readable as a vocabulary")


@pytest.mark.parametrize(
    ("content", "found"), [("{", "not readable as JSON"), ("[]", "the JSON is []")]
)
def test_malformed_configuration_is_refused(folder: Path, content: str, found: str) -> None:
    (folder / "tokenizer_config.json").write_text(content)
    refuse(folder, "tokenizer_config.json", found)


@pytest.mark.parametrize(
    "config", [{"do_lower_case": "no"}, {"strip_accents": 3}, {"unk_token": {}}]
)
def test_setting_of_the_wrong_type_is_refused(folder: Path, config: dict[str, object]) -> None:
    configure(folder, **config)
    refuse(folder, "tokenizer_config.json")


def test_vocabulary_is_refused_without_the_unknown_token(folder: Path) -> None:
    # Otherwise, the first unknown word would raise the tokenizer's own exception.
    (folder / "vocab.txt").write_text("a\nb\n")
    refuse(folder, "vocab.txt", "[UNK]")


@pytest.mark.parametrize("token", ["elephant", {"content": []}, 5])
def test_unknown_token_that_the_vocabulary_lacks_is_refused(folder: Path, token: object) -> None:
    configure(folder, unk_token=token)
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(folder)
    assert_one_line(caught.value, "tokenizer_config.json", "unk_token", "vocab.txt")


@pytest.mark.parametrize("config", [{"do_lower_case": "x"}, {"strip_accents": []}])
def test_setting_of_another_type_is_refused(folder: Path, config: dict[str, object]) -> None:
    configure(folder, **config)
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(folder)
    assert_one_line(caught.value, "tokenizer_config.json: a setting is malformed")
