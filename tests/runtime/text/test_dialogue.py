"""Lines of a dialogue go to their speakers, and nothing that is said is lost."""

import pytest

from bark_onnx.runtime import TextError
from bark_onnx.runtime.text.dialogue import Turn, split_turns
from tests.support.messages import assert_one_line


def test_without_names_a_text_is_one_turn_as_it_stands() -> None:
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


def test_other_words_before_a_colon_are_text() -> None:
    turns = split_turns("Anna: One thing.\nNote: Annabel: no.\nHello Anna: no.", ["Anna"])
    assert [turn.speaker for turn in turns] == ["Anna"]
    assert "Note: Annabel: no.\nHello Anna: no." in turns[0].text


def test_a_name_may_be_the_beginning_of_another_and_hold_any_character() -> None:
    text = "Dr. A+: One.\nDr. A: Two.\nDr. A+ (aside): Three."
    turns = split_turns(text, ["Dr. A", "Dr. A+", "Dr. A+ (aside)"])
    assert [turn.speaker for turn in turns] == ["Dr. A+", "Dr. A", "Dr. A+ (aside)"]


def test_turns_without_words_are_left_out() -> None:
    turns = split_turns("Anna:\nBen: Yes.\nAnna: Oh.", ["Anna", "Ben"])
    assert [turn.speaker for turn in turns] == ["Ben", "Anna"]


@pytest.mark.parametrize("text", ["Anna: Hello!", "", "Ben:  \n"])
def test_a_speaker_who_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(TextError) as caught:
        split_turns(text, ["Ben"])
    assert_one_line(caught.value, '"Ben" says nothing', '"Ben:"')


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TextError) as caught:
        split_turns(b"Hello", [])
    assert_one_line(caught.value, "bytes", "expected a string")
