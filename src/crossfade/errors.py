"""Say what went wrong: one failure family, named for the boundary that was crossed.

Every message says what was found, what was expected, and (as the hint) what to do. The command line prints message and
hint without a traceback.
"""

import difflib
from collections.abc import Iterable


class CrossfadeError(Exception):
    """A failure that the person running Crossfade can act on.

    Args:
        message: What was found and what was expected.
        hint: What to do about it, as one sentence; empty when the message says it all.
        retryable: Whether the same call may succeed later without any change.
    """

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint
        self.retryable = retryable


class SettingsError(CrossfadeError):
    """A setting or recipe key has a value that cannot work."""


class DataError(CrossfadeError):
    """A file, frame or row cannot be read as labelled texts."""


class ModelError(CrossfadeError):
    """A model cannot be loaded, reached, or asked."""


class BudgetError(CrossfadeError):
    """The run has spent what it may; it continues when the budget is raised."""


class ParsingError(CrossfadeError):
    """Something on disk or in a reply is not in the form it must have."""


class DependencyError(CrossfadeError):
    """An optional package is needed and missing."""


def missing_extra(package: str, extra: str) -> DependencyError:
    """Build the error for a missing optional package, with the command that installs it."""
    return DependencyError(
        f"The package '{package}' is not installed.", hint=f"Install it with: pip install 'crossfade[{extra}]'"
    )


def nearest_name(wrong: str, valid: Iterable[str]) -> str:
    """Name the valid spelling closest to a wrong one, as a hint sentence; list all when none is close."""
    names = sorted(valid)
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    return f"Did you mean '{close[0]}'?" if close else f"Valid names: {', '.join(names)}."
