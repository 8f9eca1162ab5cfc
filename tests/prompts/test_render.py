import pytest

from crossfade.data import Example
from crossfade.prompts import render
from crossfade.prompts.render import ShownClass

CARD = ShownClass("lost_card", "lost or stolen cards", ("my card is gone", "where is my card"))
LOAN = ShownClass("loan", "borrowing money", ("i need a loan",))


def test_mixed_instruction_reads_as_the_paper_has_it() -> None:
    prompt = render.class_list([CARD, LOAN], kind="questions") + render.writing_instruction(
        "lost_card", "loan", 0.8, count=3, kind="questions"
    )
    assert (
        prompt
        == """\
The task is to tell apart these classes of questions.

1. lost_card, which is about lost or stolen cards. Examples:
- my card is gone
- where is my card
2. loan, which is about borrowing money. Examples:
- i need a loan

Write a diverse set of 3 short questions. Each of them belongs 80% to the class "lost_card" and 20% to the class \
"loan". One per line, nothing else.
Example 1:"""
    )


def test_single_class_instruction_names_no_percentages() -> None:
    prompt = render.class_list([CARD], kind="questions") + render.writing_instruction(
        "lost_card", None, 1.0, count=5, kind="questions"
    )
    assert (
        prompt
        == """\
The task is to tell apart these classes of questions.

1. lost_card, which is about lost or stolen cards. Examples:
- my card is gone
- where is my card

Write a diverse set of 5 short questions. Each of them belongs to the class "lost_card". One per line, nothing else.
Example 1:"""
    )


def test_class_without_examples_announces_none() -> None:
    shown = [ShownClass("lost_card", "lost or stolen cards"), ShownClass("loan", "")]
    assert (
        render.class_list(shown, kind="texts")
        == """\
The task is to tell apart these classes of texts.

1. lost_card, which is about lost or stolen cards.
2. loan.
"""
    )


def test_class_without_a_description_is_told_by_name_and_examples() -> None:
    assert (
        render.class_list([ShownClass("loan", "", ("i need a loan",))], kind="texts")
        == """\
The task is to tell apart these classes of texts.

1. loan. Examples:
- i need a loan
"""
    )


@pytest.mark.parametrize(("ratio", "first", "second"), [(0.8, 80, 20), (0.9, 90, 10), (0.55, 55, 45)])
def test_both_percentages_are_printed(ratio: float, first: int, second: int) -> None:
    prompt = render.writing_instruction("a", "b", ratio, count=3, kind="texts")
    assert f'belongs {first}% to the class "a" and {second}% to the class "b"' in prompt


def test_single_list_ends_in_an_open_dash() -> None:
    assert (
        render.list_to_continue([CARD], kind="questions")
        == """\
Questions about lost or stolen cards:
- my card is gone
- where is my card
-"""
    )


def test_partner_list_stands_apart_before_the_open_one() -> None:
    assert (
        render.list_to_continue([LOAN, CARD], kind="questions")
        == """\
Questions about borrowing money:
- i need a loan

Questions about lost or stolen cards:
- my card is gone
- where is my card
-"""
    )


def test_list_without_description_or_examples_has_the_name_in_words() -> None:
    assert render.list_to_continue([ShownClass("lost_card", "")], kind="texts") == "Texts about lost card:\n-"


def test_relabel_instruction_follows_the_class_list() -> None:
    prompt = render.class_list([LOAN], kind="questions") + render.relabel_instruction(Example(("lend me $5",), "?"))
    assert (
        prompt
        == """\
The task is to tell apart these classes of questions.

1. loan, which is about borrowing money. Examples:
- i need a loan

Here is one more text:
1. lend me $5

Which of the classes above does it belong to? Answer with the name of one class and nothing else."""
    )


def test_relabel_list_is_continued_by_a_choice() -> None:
    prompt = (
        render.relabel_examples(
            [(Example(("i need a loan",), "a"), "borrowing money"), (Example(("card gone",), "b"), "lost cards")],
            kind="questions",
        )
        + render.relabel_question(Example(("lend me $5",), "?"))
        + render.relabel_choice("borrowing money")
    )
    assert (
        prompt
        == """\
Questions, and what each is about.

- "i need a loan" is about borrowing money.
- "card gone" is about lost cards.
- "lend me $5" is about borrowing money.
"""
    )


def test_relabel_list_without_examples_is_a_heading() -> None:
    assert render.relabel_examples([], kind="texts") == "Texts, and what each is about.\n\n"


PAIR = Example(("It rains.", "The street\n is wet."), "yes")


def test_a_pair_is_judged_by_what_its_second_text_is_given_the_first() -> None:
    prompt = (
        render.relabel_examples([(PAIR, "correct")], kind="sentences", width=2)
        + render.relabel_question(Example(("Ann sings.", "Ann sleeps."), "?"))
        + render.relabel_choice("wrong")
    )
    assert (
        prompt
        == """\
Sentences in pairs, and what the second is, given the first.

- "It rains." Given this, "The street is wet." is definitely correct.
- "Ann sings." Given this, "Ann sleeps." is definitely wrong.
"""
    )


def test_the_instruction_to_judge_a_pair_shows_both_texts() -> None:
    assert (
        render.relabel_instruction(PAIR)
        == """\

Here is one more pair:
1. It rains.
2. The street is wet.

Which of the classes above does it belong to, the second given the first? Answer with the name of one class and \
nothing else."""
    )


def test_a_judged_text_is_cut_where_it_is_very_long() -> None:
    question = render.relabel_question(Example(("word " * 1000,), "?"))
    assert render.LONGEST_JUDGED - 10 < len(question) < render.LONGEST_JUDGED + 30


def test_example_is_shown_on_one_line() -> None:
    assert render.one_line(Example(("two\n lines ", "and\ta tab"), "a")) == "two lines | and a tab"


def test_labelled_list_of_one_class_names_it_alone() -> None:
    assert render.labelled_list([LOAN], [("lend me $5", "loan")], kind="texts") == (
        'Texts, each with its label in brackets. The label is one of: "loan" (borrowing money).\n\n'
        "- lend me $5 (label: loan)\n"
    )


def test_labelled_list_separates_three_classes() -> None:
    head = render.labelled_list([CARD, LOAN, ShownClass("rate", "")], [], kind="texts")
    assert head == (
        'Texts, each with its label in brackets. The label is one of: "lost_card" (lost or stolen cards), '
        '"loan" (borrowing money) or "rate".\n\n'
    )


def test_stepwise_prompts_show_what_their_step_needs() -> None:
    shown = {"context": "It rained.", "text": "It was wet.", "label": "correct", "answer": "rained"}
    for task in ("text", "pair", "reading"):
        more = render.stepwise_prompt("more", task, "instruct", kind="sentences", count=2, **shown)
        opened = render.stepwise_prompt("more", task, "continue", kind="sentences", count=2, **shown)
        assert "It was wet." in more
        assert "How many: 2." in more
        assert opened.endswith("\n- It was wet.\n-")
        assert ("It rained." in more) == ("It rained." in opened) == (task != "text")
        assert ("correct" in more) == (task != "reading")
        assert ("rained" in more) == (task != "text")
    seed = render.stepwise_prompt(
        "seed", "text", "continue", kind="reviews", count=1, label="praise", rationales="plot; wit"
    )
    assert seed == "Points to make: plot; wit.\n\nReviews about praise that make these points:\n-"
    asked = render.stepwise_prompt("seed", "reading", "continue", kind="questions", count=1, **shown)
    assert asked == "Text: It rained.\n\nAnswer: rained\nQuestions:\n-"
