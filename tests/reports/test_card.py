import dataclasses

import pytest

from crossfade.reports.card import CardFacts, prompts_digest, render_card
from crossfade.selection.noise_report import label_noise
from tests.report_doubles import gold_corpus, written_rows

GOLD = gold_corpus()
MADE = written_rows(GOLD, 200)
FACTS = CardFacts(
    name="tickets",
    method="promptmix",
    check="trust",
    task="text",
    kind="customer messages",
    source="labelled.csv",
    version="0.1.0",
    kept=MADE.kept,
    dropped=MADE.dropped,
    draws=1,
    noise=(label_noise(MADE, GOLD),),
    sources={"judge": {"accuracy": 0.75, "texts": 9}},
    model_licenses={"writer": "apache-2.0", "judge": None},
)


def header(card: str) -> dict[str, object]:
    yaml = pytest.importorskip("yaml")
    start, written, _ = card.split("---\n", 2)
    assert start == ""
    found = yaml.safe_load(written)
    assert isinstance(found, dict)
    return found


def test_the_header_is_the_hubs() -> None:
    found = header(render_card(FACTS))
    assert found == {
        "pretty_name": "tickets",
        "task_categories": ["text-classification"],
        "size_categories": ["n<1K"],
        "tags": ["synthetic", "crossfade", "promptmix"],
    }
    assert header(render_card(dataclasses.replace(FACTS, task="entities")))["task_categories"] == [
        "token-classification"
    ]
    assert header(render_card(dataclasses.replace(FACTS, license="cc-by-4.0")))["license"] == "cc-by-4.0"


def test_a_licence_that_nobody_stated_is_not_made_up() -> None:
    card = render_card(FACTS)
    assert "- These rows: not stated in the recipe." in card
    assert "- The labelled texts they were written from: not stated in the recipe." in card
    assert "- The writer: apache-2.0." in card
    assert "- The judge: not stated in the recipe." in card


def test_counts_noise_and_origin_are_told() -> None:
    card = render_card(FACTS)
    suspects = sum(len(of_class.suspects) for of_class in FACTS.noise[0].classes)
    assert f"{len(MADE.kept):,} customer messages written by a program" in card
    assert f"{suspects} of 200 checked labels" in card
    assert "`judge` was right on 75 % of labelled texts it had not seen" in card
    assert "Written by `small` (200 rows, dropped ones included)" in card
    assert "arXiv 2310.14192" in card
    count, digest = prompts_digest(MADE.kept + MADE.dropped)
    assert f"Prompts: {count}, digest `{digest}`" in card


def test_unchecked_labels_are_called_so() -> None:
    card = render_card(dataclasses.replace(FACTS, check="none"))
    assert "Labels were not checked" in card
    assert "suspect" not in card


def test_the_prompts_digest_does_not_depend_on_the_order() -> None:
    assert prompts_digest(MADE.kept) == prompts_digest(MADE.kept[::-1])
    assert prompts_digest(()) == (0, prompts_digest(())[1])


def test_names_with_markup_stay_texts() -> None:
    card = render_card(dataclasses.replace(FACTS, name='a "b"\n---\nlicense: mit', kind="<b>texts</b>"))
    assert header(card)["pretty_name"] == 'a "b"\n---\nlicense: mit'
    assert "<b>" not in card
