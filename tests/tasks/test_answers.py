import pytest

from crossfade.tasks.answers import answer_f1, exact_match, normalised_answer


def test_articles_case_marks_and_white_space_do_not_count() -> None:
    assert normalised_answer("  The  Eiffel-Tower's  top, a view! ") == "eiffeltowers top view"
    assert exact_match("the Town Moor.", ["Town Moor"]) == 1
    assert exact_match("An apple", ["apple"]) == 1
    assert exact_match("anapple", ["apple"]) == 0


@pytest.mark.parametrize(
    ("said", "answers", "expected"),
    [
        ("Town Moor", ["Town Moor"], 1.0),
        ("the Moor", ["Town Moor"], 2 / 3),  # one word said, two due, one shared: 2 * 1 / (1 + 2)
        ("in Newcastle upon Tyne", ["Newcastle"], 2 / 5),
        ("north north", ["north of the city"], 2 / 5),  # a word said twice counts once; "the" is no word
        ("London", ["Newcastle"], 0.0),
        ("", ["Newcastle"], 0.0),
        ("the", ["a"], 1.0),  # both are empty once articles are gone
        ("Hyde Park", ["London", "Hyde Park, London"], 4 / 5),  # the best of several answers
    ],
)
def test_f1_equals_values_worked_out_by_hand(said: str, answers: list[str], expected: float) -> None:
    assert answer_f1(said, answers) == pytest.approx(expected)


def test_any_of_several_answers_is_an_exact_match() -> None:
    assert exact_match("1912", ["in 1912", "1912"]) == 1
    assert exact_match("1912", ["in 1912", "April 1912"]) == 0
