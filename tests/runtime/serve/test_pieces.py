"""Texts in pieces: nothing lost, nothing doubled, nothing too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.runtime.serve.pieces import piece_seed, split_text

_MOST = 46


def words(text: str) -> int:
    return len(text.split())


def characters(text: str) -> int:
    return len("".join(text.split()))


@given(st.text(alphabet="ab .!?…\n。！？।\"'é🐶", max_size=400))
@pytest.mark.parametrize("count_tokens", [words, characters])
def test_pieces_are_the_text_and_fit(count_tokens: object, text: str) -> None:
    pieces = split_text(text, count_tokens=count_tokens)  # type: ignore[arg-type]
    assert "".join("".join(pieces).split()) == "".join(text.split())
    for piece in pieces:
        assert 0 < count_tokens(piece) <= _MOST  # type: ignore[operator]
        assert piece == piece.strip()


def test_a_short_text_is_one_piece_as_it_stands() -> None:
    assert split_text(" Hello. How are you? ", count_tokens=words) == ["Hello. How are you?"]


@pytest.mark.parametrize(
    ("sentence", "count_tokens"),
    [
        ("It costs 3.50 at example.org " + "word " * 20 + "today! ", words),
        ("He said " + "word " * 20 + "“stop.” ", words),
        ("今日は良い天気ですねと彼は言いましたが雨でした。", characters),
        ("आज मौसम बहुत अच्छा है लेकिन कल बारिश हुई थी।", characters),
    ],
)
def test_pieces_end_with_sentences(sentence: str, count_tokens: object) -> None:
    pieces = split_text(sentence * 4, count_tokens=count_tokens)  # type: ignore[arg-type]
    assert len(pieces) > 1
    for piece in pieces:
        assert piece.endswith(sentence.strip()[-3:])


def test_text_without_tokens_has_no_pieces() -> None:
    assert split_text(" \n ", count_tokens=words) == []
    assert split_text("\u200b", count_tokens=lambda text: 0) == []


def test_seeds_differ_and_the_first_is_the_requests_own() -> None:
    seeds = [piece_seed(5, index) for index in range(100)]
    assert seeds[0] == 5
    assert len(set(seeds)) == 100
    assert seeds == [piece_seed(5, index) for index in range(100)]
    assert piece_seed(2**63 - 1, 3) >= 0
