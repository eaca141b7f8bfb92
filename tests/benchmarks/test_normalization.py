"""One spelling for every way to write a text, and the words that a speaker says."""

import pytest


@pytest.fixture(scope="module")
def normalization(recognition):
    return recognition("normalization")


@pytest.mark.parametrize(
    "texts",
    [
        ("It is seven thirty.", "It's 7:30.", "It's 730", "its 7.30", "IT IS SEVEN-THIRTY"),
        ("one hundred and twenty three", "123", "one hundred twenty-three", "1 2 3"),
        ("five dollars", "$5", "5 dollars"),
        ("five dollars and twenty cents", "$5.20", "$5 and 20 cents"),
        ("seventy percent", "70%", "70 %", "70 per cent"),
        ("May first", "May 1st", "May 1", "may 1."),
        ("the first of May", "the 1st of May"),
        ("December twenty-first", "December 21"),
        ("seven o'clock", "7 o'clock", "7:00", "Seven O’Clock", "7 oclock"),
        ("nine oh five", "9:05", "nine o five", "905"),
        ("eight forty-five a.m.", "8:45 AM", "8.45 am", "845am"),
        ("zero two five one nine", "0-2-5-1-9", "02519", "oh two five one nine"),
        ("five nine two nine eight", "5.9298", "5-9298"),
        ("a hundred miles", "100 miles", "one hundred miles"),
        ("one thousand two hundred", "1,200", "twelve hundred"),
        ("three point five", "3.5"),
        ("twenty-three plus four is not six", "23 + 4 isn't 6"),
        ("five degrees", "5°"),
        ("Okay, ok.", "OK okay"),
        ("gray colours in the theatre", "grey colors in the theater"),
        ("I realised the neighbour travelled", "I realized the neighbor traveled"),
        ("I'm sure we'll go; I can't", "I am sure we will go, I cannot"),
        ("Mr. Smith", "mister Smith"),
        ("John's hat", "Johns hat"),
        ("nineteen ninety-five", "1995"),
    ],
)
def test_texts_that_sound_alike_have_the_same_words(normalization, texts):
    words = [normalization.normalized_words(text) for text in texts]
    assert words[0]
    assert words == [words[0]] * len(texts)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("fifteen", "fifty"),
        ("7:30", "7:13"),
        ("first", "one"),
        ("it is", "is it"),
        ("123", "one hundred and twenty four"),
        ("to go", "two go"),
        ("can", "can't"),
        ("seven o'clock", "seven"),
    ],
)
def test_texts_that_sound_different_have_different_words(normalization, first, second):
    assert normalization.normalized_words(first) != normalization.normalized_words(second)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 7:30!", "it's seven thirty"),
        ("At 7:00 or 9:05.", "at seven o'clock or nine oh five"),
        ("May 21st", "may twenty first"),
        ("$5.20 for 342", "five dollars and twenty cents for three hundred forty two"),
        ("70% of 1,200", "seventy percent of one thousand two hundred"),
        ("Forty-two; John’s hat", "forty two john's hat"),
        ("?!", ""),
    ],
)
def test_spoken_words_are_those_that_a_speaker_says(normalization, text, words):
    assert normalization.spoken_words(text) == words.split()
