"""Read texts out of a model's reply, and say why a line is not one.

Nothing is repaired by guessing: a line that is not clearly a text is rejected with its reason.
"""

import re
from dataclasses import dataclass

from crossfade.prompts.render import LABEL_ENDS, LABEL_OPENS
from crossfade.roles import Form

PREAMBLE = re.compile(
    r"^((sure|certainly|of course|okay|ok|absolutely|great)\b[\s,!.]*)?"
    r"((here (are|is)|here's|below (are|is)|these are|the following)\b.*:|(sure|certainly|of course)[!.,:]*)$"
    r"|^(i hope (this|these)\b|let me know if you (need|want|would)\b|as an ai\b)",
    re.IGNORECASE,
)
NUMBERING = re.compile(r"^\s*(?:example\s*\d+\s*[:.)-]\s*|\(?\d{1,3}[.)]\s+|[-*•–]+\s*)", re.IGNORECASE)
PERCENT_REMARK = re.compile(r"\s*[(\[]\s*\d{1,3}\s*%[^()\[\]]*[)\]]\s*$")
INSTRUCTION = re.compile(r"(a diverse set of|belongs? \d+ ?%|one per line)", re.IGNORECASE)
REFUSAL = re.compile(
    r"\b(as an ai\b|as a (large )?language model|i am an ai\b|i'm an ai\b"
    r"|(i'm sorry,? but|sorry,? but|unfortunately,?) i (cannot|can't|can not|am not able|am unable|won't)"
    # "I can't help but smile" is a figure of speech.
    r"|i (cannot|can't|am unable to|won't) (assist|help(?! (but|feeling|thinking|wondering|noticing|loving|it)\b)"
    r"|fulfil|fulfill|comply|provide|generate|write|create)\b)",
    re.IGNORECASE,
)
WRAPPED = re.compile(r"""["“”„]+([^"“”„]*)["“”„]+|['‘]((?:[^'‘’]|(?<=\w)['’](?=\w))*)['’]|«([^«»]*)»|`([^`]*)`""")
"""A text in quotes, with none of the same kind inside; an apostrophe is none."""
DOUBLE_QUOTES = '"“”'
LONGEST_TEXT = 600
"""Characters; a longer line is a ramble, not an example."""


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """The texts of a reply, and the lines that were none of it."""

    texts: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]
    """(line, reason) pairs: 'preamble', 'instruction repeated', 'heading', 'no words', 'too long', 'cut off'."""


def parse_texts(
    reply: str, *, form: Form, cut_off: bool, longest: int = LONGEST_TEXT, whole: bool = False
) -> ParsedReply:
    """Take the texts out of a reply of one text per line, in order, without copies.

    Args:
        reply: The raw reply.
        form: 'continue' replies go on with an open dash; the list ends at the first later line without a dash.
        cut_off: The reply hit its token limit, so its last line is incomplete and is rejected.
        longest: Characters from which on a line is a ramble, not an example.
        whole: The reply is one text, on however many lines; preambles are no part of it.
    """
    lines = [line.strip() for line in reply.splitlines()]
    if form == "continue":
        lines = _list_part(lines)
    lines = [line for line in lines if line]
    if whole:
        lines = [" ".join(line for line in lines if not PREAMBLE.match(line) or is_refusal(line))] if lines else []
    texts: dict[str, None] = {}
    rejected: list[tuple[str, str]] = []
    for index, line in enumerate(lines):
        text = clean_line(line)
        reason = "cut off" if cut_off and index == len(lines) - 1 else _why_not(line, text, longest)
        if reason:
            rejected.append((line, reason))
        else:
            texts.setdefault(text)
    return ParsedReply(tuple(texts), tuple(rejected))


def split_label(item: str) -> tuple[str, str] | None:
    """Split an item of a labelled list into text and label; None when it has no label behind it."""
    text, opens, rest = item.rpartition(LABEL_OPENS)
    label, ends, _ = rest.partition(LABEL_ENDS)
    return (clean_line(text), label.strip()) if opens and ends else None


def is_refusal(text: str) -> bool:
    """Say whether a text is a language model's refusal, or speaks of being one."""
    return bool(REFUSAL.search(text.replace("’", "'")))


def _list_part(lines: list[str]) -> list[str]:
    """Keep the first line and the dashed lines that follow it without a break."""
    kept = lines[:1]
    for line in lines[1:]:
        if not line.startswith("-"):
            break
        kept.append(line)
    return kept


def clean_line(line: str) -> str:
    """Strip numbering, bullets, quotes around the text, bold marks and a closing '(85% ...)' remark."""
    text = line.strip()
    while (stripped := NUMBERING.sub("", text, count=1)) != text:
        text = stripped
    return _unquoted(PERCENT_REMARK.sub("", text).replace("**", "").strip())


def _unquoted(text: str) -> str:
    """Strip quotes around a text, and one at its end that has no other; quotes within a text stay."""
    if wrapped := WRAPPED.fullmatch(text):
        return next(part for part in wrapped.groups() if part is not None).strip()
    if sum(text.count(quote) for quote in DOUBLE_QUOTES) % 2:
        text = text[1:] if text[0] in DOUBLE_QUOTES else text.rstrip(DOUBLE_QUOTES)
    return text.strip()


def _why_not(line: str, text: str, longest: int) -> str | None:
    if PREAMBLE.match(line):
        return "preamble"
    if INSTRUCTION.search(text):
        return "instruction repeated"
    if text.endswith(":"):
        return "heading"
    if not re.search(r"[^\W\d_]{2}", text):
        return "no words"
    if len(text) > longest:
        return "too long"
    return None
