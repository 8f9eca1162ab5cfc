import dataclasses

from crossfade.reports.labels import doubt, noise_section, ratio_section, suspect_data
from tests.report_doubles import findings, gold_corpus, written_rows

GOLD = gold_corpus()
FOUND = findings(written_rows(GOLD, 200), GOLD)


def test_unchecked_labels_are_called_so() -> None:
    unchecked = dataclasses.replace(FOUND, check="none")
    assert doubt(unchecked).startswith("Labels were not checked")
    assert noise_section(unchecked) is None
    assert ratio_section(unchecked) is None


def test_doubt_counts_suspects_and_names_the_worst_class() -> None:
    noise = FOUND.draws[0].noise
    assert noise is not None
    suspects = sum(len(of_class.suspects) for of_class in noise.classes)
    worst = max(noise.classes, key=lambda of_class: len(of_class.suspects))
    said = doubt(FOUND)
    assert said.startswith(f"{suspects} of 200 checked labels")
    assert f"'{worst.label}' ({len(worst.suspects)} of {worst.rows})" in said


def test_the_least_trusted_come_first() -> None:
    rows = suspect_data(FOUND)
    changed = [written != suggested for written, suggested in zip(rows["written"], rows["suggested"], strict=True)]
    assert changed == sorted(changed, reverse=True)
    sure = [confidence for confidence, moved in zip(rows["confidence"], changed, strict=True) if moved]
    assert sure == sorted(sure, reverse=True)


def test_ratios_of_several_draws_are_added_up() -> None:
    once, twice = ratio_section(FOUND), ratio_section(dataclasses.replace(FOUND, draws=FOUND.draws * 2))
    assert once is not None
    assert twice is not None
    first, second = (section.blocks[0].as_json()["data"][0] for section in (once, twice))  # type: ignore[union-attr]
    assert first["y"] == second["y"]
    assert [2 * int(text.split()[0]) for text in first["text"]] == [int(text.split()[0]) for text in second["text"]]
