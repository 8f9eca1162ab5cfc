import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.prompts.parse import clean_line, is_refusal, parse_texts, split_label
from crossfade.roles import Form


def test_every_line_is_a_text() -> None:
    parsed = parse_texts(" where is my card?\n\nExample 2: it is gone\n3. help me", form="instruct", cut_off=False)
    assert parsed.texts == ("where is my card?", "it is gone", "help me")
    assert parsed.rejected == ()


@pytest.mark.parametrize(
    "line",
    [
        "where is it?",
        "1. where is it?",
        "(2) where is it?",
        "3) where is it?",
        "- where is it?",
        "* where is it?",
        "• where is it?",
        "Example 4: where is it?",
        "1. - where is it?",
        '"where is it?"',
        "“where is it?”",
        "**where is it?**",
        "where is it? (80% lost_card, 20% loan)",
        "where is it? [80% lost_card]",
        '2. "where is it?" (80% lost_card)',
    ],
)
def test_dressing_around_a_text_is_stripped(line: str) -> None:
    assert clean_line(line) == "where is it?"


@pytest.mark.parametrize(
    "line", ["'where’s it?'", "‘where’s it?’", "«where’s it?»", "`where’s it?`", '"where’s it?', "where’s it?”"]
)
def test_every_kind_of_quotes_is_stripped_and_one_without_the_other_too(line: str) -> None:
    assert clean_line(line) == "where’s it?"


@pytest.mark.parametrize(
    "line",
    [
        "5 dollars were lost",
        "1984 is a book",
        "I said “no” to him",
        "it's 50% off",
        'The film is called "Jaws"',
        '"Yes," he said. "No."',
        '"Jaws" is a film',
        "The dogs' bowls are the cats'",
        "'Yes' is not 'no'",
    ],
)
def test_numbers_and_quotes_inside_a_text_stay(line: str) -> None:
    assert clean_line(line) == line


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Sure! Here are three questions:", "preamble"),
        ("Here are some examples:", "preamble"),
        ("Certainly.", "preamble"),
        ("I hope this helps!", "preamble"),
        ("Let me know if you need more.", "preamble"),
        ("As an AI I cannot do that", "preamble"),
        ("Write a diverse set of 3 short texts.", "instruction repeated"),
        ('Each belongs 80% to "a"', "instruction repeated"),
        ("Lost cards:", "heading"),
        ("12345 ?!", "no words"),
        ("long " * 200, "too long"),
    ],
)
def test_line_that_is_no_text_is_rejected_with_its_reason(line: str, reason: str) -> None:
    parsed = parse_texts(f"{line}\nwhere is my card?", form="instruct", cut_off=False)
    assert parsed.texts == ("where is my card?",)
    assert parsed.rejected == ((line.strip(), reason),)


@pytest.mark.parametrize("line", ["Sure, I can lend you money", "Okay, where is my card?", "Here is my card"])
def test_text_that_opens_like_a_preamble_is_kept(line: str) -> None:
    assert parse_texts(line, form="instruct", cut_off=False).texts == (line,)


def test_copies_count_once() -> None:
    assert parse_texts("1. where is it?\n2. where is it?", form="instruct", cut_off=False).texts == ("where is it?",)


def test_last_line_of_a_reply_that_was_cut_off_is_rejected() -> None:
    parsed = parse_texts("where is it?\nwhere is m", form="instruct", cut_off=True)
    assert parsed.texts == ("where is it?",)
    assert parsed.rejected == (("where is m", "cut off"),)


@pytest.mark.parametrize(
    ("item", "parts"),
    [
        ("where is it? (label: card)", ("where is it?", "card")),
        ('"where is (it)?" (label: Refund?)', ("where is (it)?", "Refund?")),
        ("one (label: card) two (label: loan).", ("one (label: card) two", "loan")),
        ("(label: card)", ("", "card")),
        ("where is it? (card)", None),
        ("where is it? (label: card", None),
    ],
)
def test_label_is_what_stands_in_the_last_brackets(item: str, parts: tuple[str, str] | None) -> None:
    assert split_label(item) == parts


def test_continued_list_ends_where_the_dashes_end() -> None:
    reply = " where is it?\n- it is gone\n\nQuestions about loans:\n- lend me money"
    assert parse_texts(reply, form="continue", cut_off=False).texts == ("where is it?", "it is gone")


def test_continued_list_keeps_what_stands_on_the_open_line() -> None:
    assert parse_texts(" where is it?", form="continue", cut_off=False).texts == ("where is it?",)


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_empty_reply_holds_nothing(form: Form) -> None:
    parsed = parse_texts(" \n ", form=form, cut_off=True)
    assert (parsed.texts, parsed.rejected) == ((), ())


@given(st.text(), st.sampled_from(["instruct", "continue"]), st.booleans())
def test_texts_are_single_lines_without_copies(reply: str, form: Form, cut_off: bool) -> None:
    texts = parse_texts(reply, form=form, cut_off=cut_off).texts
    assert len(set(texts)) == len(texts)
    assert all(text.strip() == text and text and len(text.splitlines()) == 1 for text in texts)


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I cannot watch films.",
        "I'm sorry, but I can't help with that.",
        "Sorry, but I cannot write this.",
        "I am unable to provide a review.",
        "I’m sorry but I can’t do it.",
    ],
)
def test_refusals_are_known(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but this film is a mess.",
        "I cannot recommend it.",
        "He plays an AI with a heart.",
        "I can't help but smile.",
        "I can’t help feeling that it is too long.",
    ],
)
def test_texts_that_only_sound_sorry_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)


def test_a_reply_that_is_one_text_is_put_on_one_line() -> None:
    reply = 'Here is a review:\n\n"A dull start.\n\nBut then it grips you."'
    parsed = parse_texts(reply, form="instruct", cut_off=False, whole=True)
    assert parsed.texts == ("A dull start. But then it grips you.",)
    assert parse_texts(reply, form="instruct", cut_off=True, whole=True).texts == ()
    assert parse_texts("", form="instruct", cut_off=False, whole=True).texts == ()


def test_how_long_a_text_may_be_can_be_set() -> None:
    long = "word " * 200
    assert parse_texts(long, form="instruct", cut_off=False).texts == ()
    assert parse_texts(long, form="instruct", cut_off=False, longest=1000).texts == (long.strip(),)
