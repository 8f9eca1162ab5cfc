"""Fill the prompt templates (the *.txt files beside this one) with classes, examples and ratios.

The part of a prompt that requests share is rendered apart and stands first, so that servers can reuse the work of
reading it. White space matters: a list that the model must continue ends in an open dash.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Literal

from crossfade.data import Example, readable
from crossfade.numerics.mixing import percentages
from crossfade.roles import Form
from crossfade.tasks.shapes import TASKS

OPEN_DASH = "-"
"""Where a list goes on."""
LABEL_OPENS = "(label:"
"""Stands between a text and its label in a labelled list."""
LABEL_ENDS = ")"
LONGEST_JUDGED = 2000
"""Characters after which a text is cut where a judge reads it, as `longest_shown` of stepwise synthesis."""


@dataclass(frozen=True, slots=True)
class ShownClass:
    """A class as a prompt shows it."""

    name: str
    description: str
    """Reads well after "which is about"; empty to show the name alone."""
    examples: tuple[str, ...] = ()


@cache
def template(name: str) -> Template:
    """Load the template `prompts/<name>.txt`, without its last newline."""
    return Template(files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n"))


def one_line(example: Example) -> str:
    """Write an example as the single line a prompt shows: inner line breaks become spaces."""
    return " ".join(example.text.split())


def class_list(classes: Sequence[ShownClass], *, kind: str) -> str:
    """Render the numbered list of classes that opens an instruction (PromptMix spec, section 2.1)."""
    entries = [_numbered(number, shown) for number, shown in enumerate(classes, start=1)]
    return template("promptmix_instruct_classes").substitute(kind=kind, classes="\n".join(entries)) + "\n"


def _numbered(number: int, shown: ShownClass) -> str:
    about = f", which is about {shown.description}" if shown.description else ""
    lead = "Examples:" if shown.examples else ""
    head = f"{number}. {shown.name}{about}. {lead}".rstrip()
    return "\n".join([head, *(f"- {text}" for text in shown.examples)])


def writing_instruction(target: str, partner: str | None, ratio: float, *, count: int, kind: str) -> str:
    """Ask for texts at a ratio between two classes, or of one class when there is no partner."""
    if partner is None:
        return template("promptmix_instruct_single").substitute(count=count, kind=kind, target=target)
    target_percent, partner_percent = percentages(ratio)
    return template("promptmix_instruct_mixed").substitute(
        count=count,
        kind=kind,
        target=target,
        partner=partner,
        target_percent=target_percent,
        partner_percent=partner_percent,
    )


def list_to_continue(classes: Sequence[ShownClass], *, kind: str) -> str:
    """Render the lists of some classes, the target's last and open, for a model that continues text (ours).

    A partner's list stands before the target's; the ratio is told by how many examples each list holds.
    """
    lists = [
        template("continue_list").substitute(
            Kind=kind[:1].upper() + kind[1:],
            description=shown.description or readable(shown.name),
            examples="".join(f"- {text}\n" for text in shown.examples),
        )
        for shown in classes
    ]
    return "\n".join(lists) + OPEN_DASH


def label_instruction(label: str, description: str, *, count: int, kind: str) -> str:
    """Ask for texts of a class that is told by its description, or its name in words, alone (ours, after ZeroGen)."""
    return template("label_instruct").substitute(count=count, kind=kind, description=description or readable(label))


def label_list_to_continue(label: str, description: str, *, count: int, kind: str) -> str:
    """Render an empty list of texts of a class for a model that continues text; it ends in an open dash (ours)."""
    return template("label_continue").substitute(
        count=count, kind=kind, Kind=kind[:1].upper() + kind[1:], description=description or readable(label)
    )


def class_examples(shown: ShownClass, *, kind: str) -> str:
    """Show the examples of one class, for an instruction (ours, after Sahu et al. 2022)."""
    return template("example_instruct_class").substitute(
        kind=kind,
        target=shown.name,
        about=f", which is about {shown.description}" if shown.description else "",
        examples="".join(f"- {text}\n" for text in shown.examples),
    )


def more_examples_instruction(*, count: int, kind: str) -> str:
    """Ask for more texts like those shown before."""
    return template("example_instruct_more").substitute(count=count, kind=kind)


def labelled_list(classes: Sequence[ShownClass], items: Sequence[tuple[str, str]], *, kind: str) -> str:
    """Render texts with their labels behind them (text, label), under a line that names the classes (GPT3Mix)."""
    named = [f'"{shown.name}"' + (f" ({shown.description})" if shown.description else "") for shown in classes]
    return template("gpt3mix_list").substitute(
        Kind=kind[:1].upper() + kind[1:],
        labels=" or ".join([", ".join(named[:-1]), named[-1]]) if named[1:] else named[0],
        examples="".join(f"- {text}{item_label(label)}\n" for text, label in items),
    )


def item_label(label: str) -> str:
    """Render the label that stands behind the text of a labelled item."""
    return f" {LABEL_OPENS} {label}{LABEL_ENDS}"


def more_labelled_instruction(*, count: int) -> str:
    """Ask for more items of the list that stands before."""
    return template("gpt3mix_instruct_more").substitute(count=count)


def label_of_item_instruction(text: str) -> str:
    """Ask for the label of one more item of the list that stands before."""
    return template("gpt3mix_instruct_label").substitute(text=text)


def stepwise_prompt(
    step: Literal["rationales", "seed", "more"], task: str, form: Form, *, kind: str, count: int, **shown: str
) -> str:
    """Ask for rationales of a class, for seed texts, or for texts like a given one (Wang et al. 2023, our words).

    Args:
        step: What is asked for.
        task: 'text', 'pair' or 'reading'; rationales are asked for single texts only.
        form: An instruction, or an open list to continue (ours).
        kind: What is written, as a plural.
        count: How many.
        shown: The parts of the example that the template names, and the class as `label`.
    """
    filled = template(f"stepwise_{step}_{task}_{form}")
    return filled.substitute(shown, kind=kind, Kind=kind[:1].upper() + kind[1:], count=count)


def relabel_instruction(example: Example) -> str:
    """Ask which of the classes listed before a text belongs to (PromptMix spec, section 2.4); of a pair, ours."""
    return _of_width("relabel_instruct", len(example.texts)).substitute(_judged_parts(example))


def relabel_examples(examples: Sequence[tuple[Example, str]], *, kind: str, width: int = 1) -> str:
    """Render labelled examples, each with its phrase, as a list that a judge model continues (ours); the shared prefix.

    Args:
        examples: What the list shows.
        kind: What the texts are, as a plural.
        width: Texts of an example, 1 or 2.
    """
    lines = [_judged_line(example, phrase) for example, phrase in examples]
    return _of_width("relabel_continue_shared", width).substitute(
        Kind=kind[:1].upper() + kind[1:], examples="".join(f"{line}\n" for line in lines)
    )


def relabel_question(example: Example) -> str:
    """Render the open line that the judge completes with one of `relabel_choice`'s phrases."""
    return _judged_line(example, "").removesuffix(" .")


def _judged_line(example: Example, phrase: str) -> str:
    parts = _judged_parts(example)
    return _of_width("relabel_continue_example", len(example.texts)).substitute(parts, phrase=phrase)


def _judged_parts(example: Example) -> Mapping[str, str]:
    return TASKS["pair" if len(example.texts) == 2 else "text"].shown(example, LONGEST_JUDGED)


def _of_width(name: str, width: int) -> Template:
    """Load the template for single texts or that for pairs."""
    return template(f"{name}_pair" if width == 2 else name)


def relabel_choice(phrase: str) -> str:
    """Render a phrase as the end of the open line."""
    return f" {phrase}.\n"
