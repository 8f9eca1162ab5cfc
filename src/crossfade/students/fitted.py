"""What a student has once it was fitted."""

from typing import TypeVar

from crossfade.errors import ModelError

Part = TypeVar("Part")


def fitted(part: Part | None) -> Part:
    """Return what a student got from `fit` or `load`.

    Raises:
        ModelError: It is None: the student is not fitted.
    """
    if part is None:
        raise ModelError("The student is not fitted.", hint="Call fit and use the student that it returns.")
    return part
