"""Trees of intents and slots, as TOPv2 writes them, and the flat form that the paper of soft prompts predicts.

    [IN:CREATE_REMINDER Remind [SL:PERSON_REMINDED me ] to [SL:TODO feed my dog ] [SL:DATE_TIME at 5 ] ]

becomes the text "Remind me to feed my dog at 5", the intent `create_reminder`, and the slots person_reminded = "me",
todo = "feed my dog", date_time = "at 5". A slot that holds an intent takes the intent's name as its value, and the
inner slots follow as their own: the tree cannot be had back, so it is kept beside.
"""

from dataclasses import dataclass, field

from crossfade.data.annotated import NOWHERE, AnnotatedExample, Mention
from crossfade.data.nouns import readable
from crossfade.errors import DataError

PARSES = "parses"
"""The task, and the one class of its rows."""
OPENINGS = ("[IN:", "[SL:")


@dataclass
class _Node:
    """An intent or a slot under way."""

    name: str
    is_slot: bool
    start: int
    """Where its words begin in the text."""
    place: int
    """Where its mention stands in the list, for a slot."""
    nested: str = ""
    """The name of an intent inside it."""


@dataclass
class _Reading:
    """What was read of a tree so far."""

    words: list[str] = field(default_factory=list)
    intents: list[str] = field(default_factory=list)
    mentions: list[Mention | None] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Characters of the words so far, with a space after each."""
        return sum(len(word) + 1 for word in self.words)


def flatten(tree: str) -> AnnotatedExample:
    """Read a tree; the text is its words, joined by spaces.

    Raises:
        DataError: It is no tree: a bracket without its fellow, or no intent on top.
    """
    read, stack = _Reading(), list[_Node]()
    for number, piece in enumerate(tree.split()):
        if number and not stack:
            raise DataError(f"the parse goes on after its end, at {piece!r}")
        if piece.startswith(OPENINGS):
            _open(piece, stack, read)
        elif piece == "]":
            if not stack:
                raise DataError("the parse closes a bracket that is not open")
            _close(stack.pop(), read)
        elif not stack:
            raise DataError("the parse begins without an intent")
        else:
            read.words.append(piece)
    if stack or not read.words or not read.intents:
        raise DataError("the parse ends before its brackets are closed" if stack else "the parse has no words")
    mentions = tuple(mention for mention in read.mentions if mention is not None)
    return AnnotatedExample(
        (" ".join(read.words),), PARSES, tuple(sorted(set(read.intents))), mentions, " ".join(tree.split())
    )


def _open(piece: str, stack: list[_Node], read: _Reading) -> None:
    name, is_slot = piece[4:].lower(), piece.startswith("[SL:")
    if not name or (not stack and is_slot):
        raise DataError(f"the parse opens {piece!r}; expected [IN:NAME on top")
    if is_slot:
        read.mentions.append(None)
    else:
        read.intents.append(name)
        if stack:
            stack[-1].nested = stack[-1].nested or name
    stack.append(_Node(name, is_slot, read.length, len(read.mentions) - 1))


def _close(node: _Node, read: _Reading) -> None:
    if not node.is_slot:
        return
    value = " ".join(read.words)[node.start :]
    if not value:
        # A few of TOPv2's trees have slots without words: nothing to write, nothing to find.
        return
    read.mentions[node.place] = (
        Mention(NOWHERE, readable(node.nested), node.name) if node.nested else Mention(node.start, value, node.name)
    )
