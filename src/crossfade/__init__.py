"""Crossfade turns a handful of labelled texts into a small, fast model.

The public names are loaded when first used, so `import crossfade` is quick and needs no optional package.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = [
    "Augmented",
    "Corpus",
    "CrossfadeError",
    "Example",
    "Recipe",
    "Synthetic",
    "annotate",
    "augment",
    "card",
    "compare",
    "evaluate",
    "export",
    "export_kept",
    "find_answers",
    "invert",
    "mix",
    "noise",
    "plan",
    "predict",
    "push_to_hub",
    "read_corpus",
    "report",
    "reviewed",
    "run",
    "student_gives",
    "train",
]

if TYPE_CHECKING:
    from crossfade.comparing import compare, run
    from crossfade.data import Augmented, Corpus, Example, Synthetic, read_corpus
    from crossfade.errors import CrossfadeError
    from crossfade.inverting import invert
    from crossfade.planning import plan
    from crossfade.recipe import Recipe
    from crossfade.reporting import report
    from crossfade.runs import (
        annotate,
        augment,
        evaluate,
        export,
        find_answers,
        mix,
        noise,
        predict,
        reviewed,
        student_gives,
        train,
    )
    from crossfade.sharing import card, export_kept, push_to_hub

    __version__: str
else:
    _HOMES = {
        "crossfade.comparing": ("compare", "run"),
        "crossfade.data": ("Augmented", "Corpus", "Example", "Synthetic", "read_corpus"),
        "crossfade.errors": ("CrossfadeError",),
        "crossfade.inverting": ("invert",),
        "crossfade.planning": ("plan",),
        "crossfade.recipe": ("Recipe",),
        "crossfade.reporting": ("report",),
        "crossfade.runs": (
            "annotate",
            "augment",
            "evaluate",
            "export",
            "find_answers",
            "mix",
            "noise",
            "predict",
            "reviewed",
            "student_gives",
            "train",
        ),
        "crossfade.sharing": ("card", "export_kept", "push_to_hub"),
    }

    def __getattr__(name: str) -> object:
        """Load a public name from its home."""
        if name == "__version__":
            return import_module("importlib.metadata").version("crossfade")
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(home), name)
        raise AttributeError(f"module 'crossfade' has no attribute '{name}'")

    def __dir__() -> list[str]:
        """List the public names, loaded or not."""
        return sorted([*globals(), *__all__, "__version__"])
