"""A thousand texts in Bark's thirteen languages, and tokenizers with a vocabulary for them."""

import random

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

from tests.support.sentences import SENTENCES

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS_PER_LANGUAGE = 80  # 1,040 texts, a few of them twice

# What the operator BertTokenizer alone encodes in another way than tokenizers.
DIFFICULT = [
    "",
    " \n\t",
    "  spaces   around  ",
    "你好，世界！我的狗很可爱。𠮷野家",
    "नमस्ते। आप कैसे हैं॥ ३.५०",
    "مرحبا، بالعالم؟ שלום־עולם",
    "“quoted” ‘single’ — dash… «guillemets»",
    "tab\tnewline\nreturn\rbell\x07delete\x7fescape\x1b[0m",
    "zero\u200bwidth soft\xadhyphen no\xa0break \u2028line \u2029paragraph \ufeffmark \u202eright",
    "combining: e\u0301 n\u0303 a\u030a\u0323 \u0301alone \u1100\u1161\u11a8",
    "ÀÉÎ Straße İstanbul Ελληνικά ΌΣΟΣ ﬁ ² ™ Ａｆｕｌｌ Ⅳ K ≠ ;",
    "😀 👩‍👩‍👧‍👦 👍🏽 smile😀inside 😀first",
    "hello\u0d9cinside \u0d9chello hello\u0d9c",
    "[CLS] [SEP] [MASK] [PAD] [UNK] a[MASK]b [mask] [ CLS ] [CLS][SEP] [MA\u200bSK]",
    "##ing ## # a##b don't e-mail user@example.com https://x.y/z?q=1&r=%20 C++ 1,000.50",
    "a" * 100,
    "a" * 101,
    "a" * 250,
    "\\1 \\0 $1 \\",
    "word " * 3500,
    "\ufffd\ufffe\ue000\ue001\U0010ffff",
]


def multilingual_texts() -> list[str]:
    """Sentences of each language, and random orders of their words, some in capital letters."""
    rng = random.Random(0)
    texts = []
    for sentences in SENTENCES.values():
        words = " ".join(sentences).split()
        characters = "".join(words)
        for index in range(TEXTS_PER_LANGUAGE - 1):
            chosen = rng.sample(words, rng.randint(1, len(words)))
            if index % 3 == 0:  # words that no vocabulary has as a whole
                chosen += ["".join(rng.sample(characters, rng.randint(2, 12))) for _ in range(9)]
            text = rng.choice([" ", "  ", "", "\n"]).join(chosen)
            texts.append(text.upper() if index % 5 == 0 else text)
        texts.append(" ".join(sentences))
    return texts


def trained_tokenizer(*, lowercase: bool = False) -> Tokenizer:
    """BERT's tokenizer with pieces of words of `multilingual_texts` that lack some letters.

    In lower case it also lacks Korean, whose syllables it would take apart.
    """
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=1200, limit_alphabet=260, special_tokens=SPECIAL, show_progress=False
    )
    languages = [language for language in SENTENCES if not (lowercase and language == "ko")]
    texts = [" ".join(SENTENCES[language]) for language in languages]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
