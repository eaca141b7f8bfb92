"""Token ids are those of transformers' BertTokenizerFast, which AutoProcessor uses."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import BertTokenizerFast

from bark_onnx.graphs.errors import BundleError, TextError
from bark_onnx.runtime import Bark
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from tests.conftest import SHARED
from tests.support.messages import assert_one_line

SAMPLE = [
    "Hello, my dog is cute",
    "In the light of the moon, a little egg lay on a leaf",
    "Größe, Straße und Fußgängerübergänge: das kostet 3,50 €.",
    "¿Qué tal, señor Muñoz? ¡El pingüino llegó!",
    "Ça va ? L'été, j'étais à Noël chez les Œuvré…",
    "नमस्ते, आप कैसे हैं? हिन्दी में क्षत्रिय।",
    "Perché no? È così, città più università.",
    "こんにちは、世界。ｶﾀｶﾅとひらがな、漢字。",
    "안녕하세요, 세계! 한국어 띄어쓰기",
    "Zażółć gęślą jaźń, łódź i Świętokrzyskie.",
    "Não, coração, pão de açúcar às três.",
    "Съешь ещё этих мягких французских булок, да выпей чаю. Ёлка.",
    "İstanbul'da ışıklı güneş, çığlık ve ağaç.",
    "你好，世界！我的狗很可爱。𠮷野家",
    "مرحبا بالعالم שלום ไทย Việt Nam Ελληνικά",
    "[laughs] Well... [sighs] [music] [gasps] [clears throat]",
    "♪ In the jungle, the mighty jungle ♪ — WOMAN: … ...",
    "😀 👩‍👩‍👧‍👦 🇫🇷 👍🏽 ❤️ emoji🎵inside",
    "tab\tnewline\nreturn\rnull\x00bell\x07delete\x7fescape\x1b[0m",
    "zero\u200bwidth soft\xadhyphen no\xa0break \u2028line \u2029paragraph \ufeffmark \u202eright",
    "combining: e\u0301 n\u0303 a\u030a\u0323 \u0301alone \u1100\u1161\u11a8",
    "ﬁ ligature ½ ² ™ Ａｆｕｌｌ ① Ⅳ ㎏",
    "[CLS] [SEP] [MASK] [PAD] [UNK] a[MASK]b [mask] [ CLS ] [CLS][SEP]",
    "##ing ## # a##b don't e-mail user@example.com https://x.y/z?q=1&r=%20 C++ 1,000.50",
    "x" * 100,
    "x" * 101,
    "Donaudampfschifffahrtsgesellschaft" * 10,
    "你" * 150,
    "word " * 400,
    "!" * 300,
    "�\ufffe\ue000\U0010ffff",
    "a",
    "  spaces   around  ",
]  # fmt: skip


@pytest.fixture(scope="session")
def ours(real_bundle: Path) -> TextTokenizer:
    """The tokenizer of a bundle with the real vocabulary, without a limit."""
    return TextTokenizer(real_bundle / "tokenizer.json", 1_000_000)


@pytest.fixture(scope="session")
def theirs(real_bundle: Path) -> Any:
    return BertTokenizerFast.from_pretrained(str(SHARED / "tokenizer"), do_lower_case=False)


def _ids(tokenizer: TextTokenizer, text: str) -> list[int]:
    """Token ids; none for text without tokens."""
    try:
        ids = tokenizer.encode(text)
    except TextError:
        return []
    assert ids.dtype == np.int64
    return ids.tolist()


@pytest.mark.parametrize("text", SAMPLE, ids=lambda text: ascii(text)[:24])
def test_ids_of_a_sample_are_those_of_transformers(ours, theirs, text: str):
    assert _ids(ours, text) == theirs(text, add_special_tokens=False)["input_ids"] != []


def test_ids_of_the_model_card_sentence_are_known(ours):
    expected = [31178, 117, 15127, 17835, 10124, 21610, 10112]
    assert _ids(ours, "Hello, my dog is cute") == expected


pieces = st.sampled_from(
    [*"aZ é\u0301ß你の한я\u200b\x00\t\n♪[]#.,'-😀\u200d\ufeff½", "[CLS]", "[MASK]", "##", "ing"]
)


@settings(max_examples=300, deadline=None)
@given(text=st.text() | st.lists(pieces, max_size=20).map("".join))
@example(text="")
@example(text="\u0301")
@example(text="[MASK][MASK] [UNK]")
def test_ids_of_any_text_are_those_of_transformers(ours, theirs, text: str):
    assert _ids(ours, text) == theirs(text, add_special_tokens=False)["input_ids"]


@settings(max_examples=50, deadline=None)
@given(text=st.text(min_size=90, max_size=130, alphabet=st.characters(categories=["L", "M"])))
def test_ids_of_very_long_words_are_those_of_transformers(ours, theirs, text: str):
    assert _ids(ours, text) == theirs(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t \r", "\u3000\xa0\u2003", "\x00", "\x07\x1b\x7f", "\u200b\ufeff\u202e"]
)
def test_text_without_tokens_is_refused(ours, text: str):
    with pytest.raises(TextError) as caught:
        ours.encode(text)
    assert_one_line(caught.value, "text is empty", "expected at least one word")


@pytest.mark.parametrize("text", ["\ud800", "half an emoji \ud83d", "byte \udcff of a terminal"])
def test_text_that_is_not_unicode_is_refused(ours, text: str):
    with pytest.raises(TextError) as caught:
        ours.encode(text)
    assert_one_line(caught.value, "text", "expected")


def test_text_over_the_limit_is_cut_with_a_warning(real_bundle: Path, ours):
    tokenizer = TextTokenizer(real_bundle / "tokenizer.json", 256)
    text = "dog " * 300
    with pytest.warns(UserWarning, match=r'"dog dog .*…" has 300 tokens; .* first 256, the rest'):
        ids = tokenizer.encode(text)
    assert ids.tolist() == _ids(ours, text)[:256]


def test_warning_about_a_long_text_is_printable(real_bundle: Path):
    tokenizer = TextTokenizer(real_bundle / "tokenizer.json", 256)
    with pytest.warns(UserWarning, match=r'"dog \[2J cat dog .*…" has') as caught:
        tokenizer.encode("dog\x1b[2J\n\ncat\u202e " + "dog " * 300)
    (warning,) = caught
    assert str(warning.message).isprintable()


def test_text_at_the_limit_causes_no_warning(real_bundle: Path):
    tokenizer = TextTokenizer(real_bundle / "tokenizer.json", 256)
    assert len(tokenizer.encode("dog " * 256)) == 256


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"not JSON", b"\xff\xfe"])
def test_file_that_is_not_a_tokenizer_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        TextTokenizer(path, 256)
    assert_one_line(caught.value, str(path), "not a tokenizer", "download the bundle again")


def _write_tokenizer(path: Path, words: dict[str, int]) -> None:
    model = {"type": "WordPiece", "unk_token": "[UNK]", "vocab": words}
    model |= {"continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))


@pytest.mark.parametrize(
    ("words", "message"),
    [({"dog": 0}, "it fails"), ({"dog": 10**9, "[UNK]": 0}, "found token id 1000000000")],
)
def test_tokenizer_with_impossible_words_is_refused(
    tmp_path: Path, words: dict[str, int], message: str
):
    path = tmp_path / "tokenizer.json"
    _write_tokenizer(path, words)
    tokenizer = TextTokenizer(path, 256, vocabulary=len(words))
    for call in (tokenizer.encode, tokenizer.count):
        with pytest.raises(BundleError) as caught:
            call("dog" if "[UNK]" in words else "cat")
        assert_one_line(caught.value, str(path), message, "download the bundle again")


def test_tokenizer_with_another_number_of_entries_is_refused(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    _write_tokenizer(path, {"dog": 0, "[UNK]": 1})
    with pytest.raises(BundleError) as caught:
        TextTokenizer(path, 256, vocabulary=3)
    assert_one_line(caught.value, f"{path} has 2 entries, expected 3 by bark.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 5000, "1 of 1 tokens are unknown .* not spoken: x{39}…$"),
        ("😀😀", "1 of 1 tokens are unknown .* not spoken: 😀😀$"),
        ("♪ ♪", "2 of 2 tokens are unknown"),
        ("Hello 你好, dog ♪", r"2 of \d+ tokens are unknown .* not spoken: 你, 好$"),
        ("Hello 你好你好, dog", r"4 of \d+ tokens are unknown .* not spoken: 你, 好, 你, …$"),
    ],
)
def test_unknown_words_cause_a_warning(random_bundle: Path, text: str, message: str) -> None:
    tokenizer = TextTokenizer(random_bundle / "tokenizer.json", 256)
    with pytest.warns(UserWarning, match=message):
        tokenizer.encode(text)


@pytest.mark.parametrize("text", ["Hello, my dog is cute", "♪ Hello ♪", "Hello 😀"])
def test_known_words_and_signs_cause_no_warning(random_bundle: Path, text: str) -> None:
    tokenizer = TextTokenizer(random_bundle / "tokenizer.json", 256)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer.encode(text)


# Checkpoints that know few words

KNOWN = frozenset({"hello", "don't", "weather", "is", "sunny", "the"})


@pytest.fixture
def small(real_bundle: Path) -> TextTokenizer:
    return TextTokenizer(real_bundle / "tokenizer.json", 256, words=KNOWN)


@pytest.mark.parametrize("text", ["Hello! The weather is sunny.", "DON\u2019T!", "12:30 +5", "♪"])
def test_text_of_known_words_causes_no_warning(small: TextTokenizer, text: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small.encode(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("The weather is xylophonic.", "1 of 4 words are not .* 6 .*: xylophonic; .*words.txt"),
        ("Das Wetter ist schön heute.", "5 of 5 words .*: Das, Wetter, ist, …; "),
        ("你好，世界！", r"2 of 2 words .*: 你好, 世界; "),
        ("Съешь ещё \x1b[2J", r"3 of 3 words .*: Съешь, ещё, J; "),
    ],
)
def test_other_words_cause_one_warning(small: TextTokenizer, text: str, message: str):
    with pytest.warns(UserWarning, match=message) as caught:
        small.encode(text)
    (warning,) = caught
    assert str(warning.message).isprintable()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small.encode(text)


@pytest.mark.parametrize("text", [5, None, b"Hello", ["Hello"]])
def test_text_that_is_not_a_string_is_refused(random_bark: Bark, text: Any) -> None:
    for use in (random_bark.count_tokens, random_bark.speak):
        with pytest.raises(TextError) as caught:
            use(text)
        assert_one_line(caught.value, f"The text is {text!r}", "expected a string")
