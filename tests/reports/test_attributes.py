from crossfade.data import AnnotatedExample, Augmented, Corpus, Origin, Synthetic
from crossfade.reports.attributes import attribute_section
from crossfade.reports.blocks import Figure, Table
from crossfade.reports.findings import Draw, Findings
from tests.annotated_doubles import corpus_of, sentences
from tests.report_doubles import gold_corpus


def drafted(row: AnnotatedExample, reason: str | None) -> Synthetic:
    origin = Origin(method="soft_prompt_mixture", parent_key=row.key, written_label=row.label, reason=reason)
    return Synthetic(row, origin)


def findings(gold: Corpus | None, made: Augmented) -> Findings:
    draws = (Draw(name="all", made=made, noise=None, gold=gold),)
    return Findings(
        name="tiny", method="soft_prompt_mixture", check="none", student="linear", kind="notes", seed=0, draws=draws
    )


def test_drafts_that_lack_a_string_count_against_the_share() -> None:
    rows = sentences(4)
    kept = [drafted(row, None) for row in rows[:2]]
    dropped = [drafted(rows[2], "surplus"), drafted(rows[3], "lacking: 'rome' does not stand in the text")]
    made = Augmented(tuple(kept), tuple(dropped), losses={}, stopped="")
    section = attribute_section(findings(corpus_of(rows), made))
    assert section is not None
    figure, shares, attributes = section.blocks
    assert isinstance(figure, Figure)
    assert figure.traces[0]["x"] == ["2"]
    assert figure.traces[0]["y"] == [75.0]
    assert isinstance(shares, Table)
    assert shares.rows[0][:3] == ("2", "4", "3")
    assert shares.rows[-1] == ("all", "4", "3", shares.rows[0][3])
    assert isinstance(attributes, Table)
    assert dict((name, (gold, kept)) for name, gold, kept in attributes.rows) == {
        "person": ("4", "2"),
        "place": ("4", "2"),
    }


def test_texts_of_classes_and_missing_gold_have_no_such_section() -> None:
    made = Augmented((), (), losses={}, stopped="")
    assert attribute_section(findings(gold_corpus(), made)) is None
    assert attribute_section(findings(None, made)) is None
