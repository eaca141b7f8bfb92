"""Dialogues are split into turns, and no line is lost."""

import pytest

from bark_onnx.runtime import TextError
from bark_onnx.runtime.text.dialogue import Turn, split_turns
from tests.support.messages import assert_one_line


def test_text_without_names_is_one_unchanged_turn() -> None:
    text = " Anna: Hello!\nNote: nothing. "
    assert split_turns(text, []) == [Turn("", text)]


def test_lines_belong_to_the_name_before_them() -> None:
    text = "It is late.\nAnna: Hello!\nAre you there?\n  Ben : Yes: here.\n\nAnna：Good."
    turns = split_turns(text, ["Anna", "Ben"])
    assert [(turn.speaker, turn.text) for turn in turns] == [
        ("", "It is late."),
        ("Anna", "Hello!\nAre you there?"),
        ("Ben", "Yes: here."),
        ("Anna", "Good."),
    ]


def test_words_before_a_colon_are_text_unless_they_are_a_speaker() -> None:
    turns = split_turns("Anna: One thing.\nNote: Annabel: no.\nHello Anna: no.", ["Anna"])
    assert [turn.speaker for turn in turns] == ["Anna"]
    assert "Note: Annabel: no.\nHello Anna: no." in turns[0].text


def test_names_match_when_one_begins_with_another_or_has_special_characters() -> None:
    text = "Dr. A+: One.\nDr. A: Two.\nDr. A+ (aside): Three."
    turns = split_turns(text, ["Dr. A", "Dr. A+", "Dr. A+ (aside)"])
    assert [turn.speaker for turn in turns] == ["Dr. A+", "Dr. A", "Dr. A+ (aside)"]


def test_turns_without_words_are_omitted() -> None:
    turns = split_turns("Anna:\nBen: Yes.\nAnna: Oh.", ["Anna", "Ben"])
    assert [turn.speaker for turn in turns] == ["Ben", "Anna"]


@pytest.mark.parametrize("text", ["Anna: Hello!", "", "Ben:  \n"])
def test_speaker_without_a_line_is_refused(text: str) -> None:
    with pytest.raises(TextError) as caught:
        split_turns(text, ["Ben"])
    assert_one_line(caught.value, '"Ben" has no line', '"Ben:"')


def test_text_that_is_not_a_string_is_refused() -> None:
    with pytest.raises(TextError) as caught:
        split_turns(b"Hello", [])
    assert_one_line(caught.value, "The text is b'Hello'", "expected a string")
