from tests.annotated_doubles import FILLER, INTENTS, corpus_of, requests
from tests.run_doubles import WordEncoder

from crossfade.data import AnnotatedExample, Augmented, Origin, Synthetic
from crossfade.selection.attribute_trust import trust_intents

GOLD = corpus_of(requests(80))


def written(text: str, *intents: str) -> Synthetic:
    return Synthetic(AnnotatedExample((text,), "intents", intents), Origin(method="m", written_label="intents"))


def checked(*rows: Synthetic) -> Augmented:
    made = Augmented(rows, (), {"intents": {"kept": len(rows)}}, "done")
    return trust_intents(made, GOLD, WordEncoder())


def test_texts_without_the_words_of_their_intents_go() -> None:
    right = written("the pays card", "card", "pay")
    wrong = written(" ".join(FILLER[:3]), "card", "pay", "when")
    found = checked(right, wrong)
    assert found.kept == (right,)
    assert "support of its intents" in str(found.dropped[0].origin.reason)
    assert found.losses["intents"] == {"kept": 1, "dropped": 1, "relabelled": 0}


def test_most_gold_like_texts_stay() -> None:
    rows = [written(row.text, *row.intents) for row in requests(60, 5)]
    assert len(checked(*rows).kept) / 60 > 0.75


def test_gold_texts_without_a_judged_intent_set_no_bar() -> None:
    rows = requests(80)
    plain = [AnnotatedExample((f"{FILLER[number % 3]} {number}",), "intents") for number in range(400)]
    written_rows = tuple(written(row.text, *row.intents) for row in requests(60, 5) if row.intents)
    made = Augmented(written_rows, (), {"intents": {"kept": len(written_rows)}}, "done")
    found = trust_intents(made, corpus_of([*rows, *plain]), WordEncoder())
    assert found.dropped
    assert len(found.kept) > 0.6 * len(written_rows)


def test_too_little_gold_judges_nothing() -> None:
    row = written("nothing", *INTENTS)
    made = Augmented((row,), (), {"intents": {"kept": 1}}, "done")
    assert trust_intents(made, corpus_of(requests(3)), WordEncoder()) == made
    assert checked() == Augmented((), (), {"intents": {"kept": 0}}, "done")


def test_rare_intents_are_told_apart_too() -> None:
    # Two of 48 texts have each intent: some folds have seen none of it, and even a right one is hardly ever probable.
    names = [f"about{number}" for number in range(24)]
    gold = corpus_of([AnnotatedExample((f"{name} {end}",), "intents", (name,)) for name in names for end in ("a", "b")])
    right = [written(f"{name} c", name) for name in names]
    wrong = [written(f"{names[number - 1]} c", name) for number, name in enumerate(names)]
    made = Augmented((*right, *wrong), (), {"intents": {"kept": 48}}, "done")
    found = trust_intents(made, gold, WordEncoder())
    assert sum(row in right for row in found.kept) >= 20
    assert sum(row in wrong for row in found.kept) <= 4
