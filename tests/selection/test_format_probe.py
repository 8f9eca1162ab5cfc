import numpy as np
import pytest

from crossfade.data import Example
from crossfade.selection.format_probe import probe_format

WORDS = ("cat", "dog", "house", "river", "stone", "cloud", "paper", "green", "old", "often", "sings", "falls", "under")
SHARES = (("wrong", 0.95), ("correct", 0.42))


def rows(count: int, seed: int, *, quoted: str = "", share: float = 1.0, short: str = "") -> list[Example]:
    """Draw sentences of random words and labels; one class may be put in quotes, or be shorter."""
    rng = np.random.default_rng(seed)
    made = []
    for row in range(count):
        label = ("correct", "wrong")[row % 2]
        length = int(rng.integers(6, 15)) - (4 if label == short else 0)
        text = f"{' '.join(rng.choice(WORDS, length)).capitalize()}."
        if label == quoted and rng.random() < share:
            text = f'"{text}"'
        made.append(Example(("Some premise.", text), label))
    return made


def test_the_quote_shortcut_of_the_rte_release_is_found() -> None:
    """There 95 % of one label's texts and 42 % of the other's begin with a quote."""
    plain = rows(300, 0)
    wrong, correct = (rows(300, 0, quoted=label, share=share) for label, share in SHARES)
    written = [correct[row] if one.label == "correct" else wrong[row] for row, one in enumerate(plain)]
    found = probe_format(written, rows(60, 1))
    assert found is not None
    assert found.is_shortcut
    assert found.accuracy > 0.7
    assert "of gold texts it tells" in found.warning


def test_a_class_of_shorter_texts_is_found() -> None:
    found = probe_format(rows(300, 0, short="wrong"), rows(60, 1))
    assert found is not None
    assert found.is_shortcut


@pytest.mark.parametrize("seed", range(20))
def test_texts_whose_form_says_nothing_raise_no_warning(seed: int) -> None:
    found = probe_format(rows(200, seed), rows(60, seed + 100))
    assert found is not None
    assert not found.is_shortcut
    assert found.warning == ""


def test_form_that_tells_the_labels_of_gold_texts_as_well_is_no_shortcut() -> None:
    found = probe_format(rows(300, 0, quoted="wrong"), rows(60, 1, quoted="wrong"))
    assert found is not None
    assert found.accuracy > 0.95
    assert not found.is_shortcut


def test_a_skewed_label_is_no_shortcut() -> None:
    written = [one for row, one in enumerate(rows(400, 0)) if one.label == "wrong" or row % 10 == 0]
    found = probe_format(written, rows(60, 1))
    assert found is not None
    assert found.majority > 0.8
    assert not found.is_shortcut


def test_few_texts_or_a_single_class_are_not_probed() -> None:
    assert probe_format(rows(18, 0), rows(60, 1)) is None
    assert probe_format(rows(100, 0)[::2], rows(60, 1)) is None
