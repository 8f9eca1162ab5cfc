"""Synthesis Step by Step: seed texts, then texts like those that a small model trained on them gets wrong.

Paper: Wang, Zhou, Sachan, "Let's Synthesize Step by Step: Iterative Dataset Synthesis with Large Language Models by
Extrapolating Errors from Small Models", Findings of EMNLP 2023, arXiv 2310.13671. Labels are checked within the
rounds and, like those of every method, afterwards by `selection/checking.py`. What we do otherwise, and why, is in
docs/methods/stepwise_synthesis.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from crossfade.data import Augmented, Corpus, Example, Synthetic
from crossfade.errors import ModelError
from crossfade.evaluation.scores import trained
from crossfade.methods.stepwise_calls import (
    Call,
    Desk,
    StepwiseSynthesisSettings,
    more_call,
    open_desk,
    rationale_request,
    seed_call,
    take,
)
from crossfade.methods.writing import Assignment
from crossfade.prompts.parse import is_refusal, parse_texts
from crossfade.roles import Encoder, Form, Learner, TextModel
from crossfade.selection.ledger import LEAST_YIELD
from crossfade.selection.row_value import helpfulness, pair_features
from crossfade.tasks.classification import TrainingRows
from crossfade.tasks.shapes import task_of

CheckedRows = Callable[[Augmented], TrainingRows]
"""Checks the labels of written rows, and makes training rows of what remains."""
MOST_HELPFUL = 50
"""Texts of a class that feedback draws from. ProGen."""
EXPECTED_ERRORS = 0.3
"""Share of the gold error split that plans expect a student to get wrong in a round. Ours."""


def augment(
    gold: Corpus,
    *,
    writer: TextModel,
    encoder: Encoder,
    new_student: Callable[[], Learner],
    checked_rows: CheckedRows,
    settings: StepwiseSynthesisSettings,
    rng: Generator,
) -> Augmented:
    """Write seed texts, then add rows round by round from what a student trained on all so far gets wrong.

    Args:
        gold: The labelled rows. Their contexts stand in prompts and in the written rows; what students are wrong on
            and whether they gain is measured on them; their labels are copied to what is written like them.
        writer: Makes the texts, asked in the form it prefers: 'instruct' is the paper's way, 'continue' gives small or
            base models lists to go on with (ours).
        encoder: Finds near-duplicates among single texts.
        new_student: Makes an unfitted student; each round trains a fresh one, on written rows alone.
        checked_rows: Checks the labels of all that is written so far, before each student, and makes training rows of
            what remains. The rows returned have the labels that were asked for.
        settings: See `StepwiseSynthesisSettings`.
        rng: Draws the split, contexts, rationales and random gold rows.

    Returns:
        Kept rows with their round and the key of the gold row they are like, and dropped rows; `stopped` says why the
        rounds ended, and how many errors each began with.

    Raises:
        SettingsError: There are no gold rows, and the settings need some.
        ModelError: The writer names no rationale for a class.
    """
    desk = open_desk(gold, writer.preferred_form, settings, rng)
    if desk.task.name == "text" and settings.rationales_per_label:
        desk.rationales.update(think(desk, writer))
    write_seeds(desk, writer, encoder)
    if settings.feedback:
        desk.helpful.update(find_helpful(desk, encoder))
        for label in gold.labels:
            desk.book.want(label, settings.texts_per_class - desk.book.wanted[label])
        write_seeds(desk, writer, encoder)
    stopped = [desk.shortage] if desk.shortage else []
    stopped.append(run_rounds(desk, writer, encoder, new_student, checked_rows))
    return replace(desk.book.close(), stopped=" ".join(stopped))


def think(desk: Desk, writer: TextModel) -> dict[str, tuple[str, ...]]:
    """Ask for rationales of each class, again where a class has none that can be read."""
    found: dict[str, dict[str, None]] = {label: {} for label in desk.gold.labels}
    failed = ""
    for sample in range(desk.settings.max_rounds):
        asked = {rationale_request(desk, label, sample): label for label, known in found.items() if not known}
        for reply in writer.answer(asked):
            failed = reply.error or failed
            parsed = parse_texts(reply.text, form=desk.form, cut_off=reply.finish == "length")
            found[asked[reply.request]].update(dict.fromkeys(text for text in parsed.texts if not is_refusal(text)))
    for label, known in found.items():
        if not known:
            raise ModelError(
                f"The writer named no rationale for '{label}' in {desk.settings.max_rounds} requests."
                + (f" The last one that failed: {failed}" if failed else ""),
                hint="Use another writer, or set method.rationales_per_label = 0.",
            )
        desk.book.counts[label]["rationales"] = len(known)
    return {label: tuple(known) for label, known in found.items()}


def write_seeds(desk: Desk, writer: TextModel, encoder: Encoder) -> None:
    """Ask for seed texts until each class has what it wants, or the rounds of topping up end."""
    for _ in range(desk.settings.max_rounds):
        if not (calls := propose_seeds(desk)):
            break
        take(desk, calls, writer, encoder, round_index=0)


def find_helpful(desk: Desk, encoder: Encoder) -> dict[str, tuple[str, ...]]:
    """Return the texts of each class that most help a model trained on the others (ProGen)."""
    labels = [row.example.label for row in desk.book.kept]
    found = sorted(set(labels))
    if len(found) < 2:
        return {}
    features = pair_features([row.example for row in desk.book.kept], encoder)
    value = helpfulness(features, np.array([found.index(label) for label in labels]), desk.rng)
    best = [row for row in np.argsort(-value, kind="stable").tolist() if value[row] > 0]
    return {
        label: tuple(desk.book.kept[row].example.text for row in best if labels[row] == label)[:MOST_HELPFUL]
        for label in found
    }


def propose_seeds(desk: Desk) -> list[Call]:
    """Ask for what each class still lacks of its seed."""
    count = desk.settings.seeds_in_request(desk.task, desk.form)
    return by_prefix(
        [seed_call(desk, label, count) for label in desk.gold.labels for _ in range(desk.book.requests_wanted(label))]
    )


def by_prefix(calls: list[Call]) -> list[Call]:
    """Put calls with equal prefixes one after the other, so that a model reads each but once."""
    return sorted(calls, key=lambda call: call.request.prefix)


def run_rounds(
    desk: Desk, writer: TextModel, encoder: Encoder, new_student: Callable[[], Learner], checked_rows: CheckedRows
) -> str:
    """Extrapolate errors until the rounds are done, no error is left, or a round brings no gain; say which it was."""
    settings, labels = desk.settings, desk.gold.labels
    errors_found: list[int] = []
    reached: list[float] = []
    why = (
        "No rounds were asked for: seed texts alone." if not settings.rounds else f"All {settings.rounds} rounds done."
    )
    for round_index in range(1, settings.rounds + 1):
        rows = checked_rows(desk.book.close())
        if not is_enough(rows):
            why = f"Round {round_index} had no rows of two classes to train a student on."
            break
        student = trained(new_student(), rows, labels)
        errors = [example for example, right in zip(desk.split.errors, desk.right(student), strict=True) if not right]
        errors_found.append(len(errors))
        if len(desk.split.development):
            reached.append(desk.score(student))
        if len(reached) > 1 and reached[-1] <= reached[-2]:
            why = f"Round {round_index - 1} brought no gain on the development rows."
            break
        if not errors:
            why = "The student makes no error on the gold rows."
            break
        add(desk, errors, writer, encoder, round_index)
    if errors_found:
        why += f" Errors of each student: {', '.join(map(str, errors_found))} of {len(desk.split.errors)} gold rows."
    if reached:
        shares = ", ".join(f"{share:.1%}" for share in reached)
        measure = "F1" if desk.task.name == "reading" else "Right"
        why += f" {measure} on {len(desk.split.development)} development rows: {shares}."
    return why


def is_enough(rows: TrainingRows) -> bool:
    """Say whether a student can be trained on rows: some, and of classes two at least, if there are any."""
    classes = rows.targets.shape[1]
    return bool(len(rows.examples)) and (classes < 2 or len(set(rows.targets.argmax(axis=1).tolist())) > 1)


def add(desk: Desk, errors: Sequence[Example], writer: TextModel, encoder: Encoder, round_index: int) -> None:
    """Add rows for the errors of a round, in the way that the settings name."""
    settings = desk.settings
    if settings.extrapolate == "verbatim":
        return add_verbatim(desk, errors, round_index)
    if settings.extrapolate == "gold_rows":
        chosen = desk.rng.choice(len(desk.split.errors), size=len(errors), replace=False)
        errors = [desk.split.errors.examples[row] for row in sorted(chosen.tolist())]
    for example in errors:
        desk.book.want(example.label, settings.per_error)
    if settings.extrapolate == "seeds":
        calls = [seed_call(desk, example.label, settings.per_error) for example in errors]
    else:
        calls = [more_call(desk, example, sample=round_index) for example in errors]
    take(desk, by_prefix(calls), writer, encoder, round_index)


def add_verbatim(desk: Desk, errors: Sequence[Example], round_index: int) -> None:
    """Add the errors themselves with their gold labels; one that stays wrong is added once."""
    before = {row.origin.parent_key for row in desk.book.kept}
    for example in errors:
        desk.book.want(example.label, 1)
    rows = [Synthetic(example, desk.origin(example.label, round_index, example)) for example in errors]
    desk.book.take(rows, [row.origin.parent_key in before for row in rows])


def planned(gold: Corpus, form: Form, settings: StepwiseSynthesisSettings, rng: Generator) -> list[Assignment]:
    """Return the requests of a run in which every answer is of use and students err on `EXPECTED_ERRORS` of the rows.

    What only answers could tell is made up: the rationales, and which rows are errors.
    """
    desk = open_desk(gold, form, settings, rng)
    calls: list[Assignment] = []
    if desk.task.name == "text" and settings.rationales_per_label:
        calls += [Assignment(label, (), None, rationale_request(desk, label, 0)) for label in gold.labels]
        desk.rationales.update(dict.fromkeys(gold.labels, ("some words on it",) * settings.rationales_per_prompt))
    if settings.feedback:
        for label in gold.labels:
            desk.book.want(label, settings.texts_per_class - desk.book.wanted[label])
    calls += propose_seeds(desk)
    errors = desk.split.errors.examples[: round(EXPECTED_ERRORS * len(desk.split.errors))]
    for round_index in range(settings.rounds if settings.extrapolate != "verbatim" else 0):
        if settings.extrapolate == "seeds":
            calls += [seed_call(desk, example.label, settings.per_error) for example in errors]
        else:
            calls += [more_call(desk, example, sample=round_index) for example in errors]
    return calls


def expected_additions(gold: Corpus, settings: StepwiseSynthesisSettings) -> int:
    """Return how many texts the rounds add to the seed if students err on `EXPECTED_ERRORS` of the rows."""
    searched = len(gold) * (1 - settings.development_share)
    return settings.rounds * round(EXPECTED_ERRORS * searched) * settings.per_error


def requests_at_most(gold: Corpus, form: Form, settings: StepwiseSynthesisSettings) -> int:
    """Return how many requests a run may send: hardly any answer of use, and every gold row wrong in every round."""
    task = task_of(gold)
    first = -(-settings.texts_per_class // settings.seeds_in_request(task, form))
    more = (settings.max_rounds - 1) * int(settings.texts_per_class / LEAST_YIELD)
    # With feedback there are two phases of topping up, and the second takes over what the first did not bring.
    phases = 2 if settings.feedback else 1
    thinking = settings.max_rounds if task.name == "text" and settings.rationales_per_label else 0
    rounds = settings.rounds if settings.extrapolate != "verbatim" else 0
    return len(gold.labels) * (thinking + phases * (first + more)) + rounds * len(gold)
