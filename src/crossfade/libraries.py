"""Optional libraries: whether they are there, and transformers without its log lines."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from crossfade.errors import missing_extra


def require_libraries(*packages: str, extra: str = "torch") -> None:
    """Raise the error that names the extra when one of the packages, by its import name, is missing.

    Raises:
        DependencyError: A package is missing.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise missing_extra(package.replace("_", "-"), extra)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the log lines and progress bars of transformers, and restore them afterwards."""
    from transformers.utils import logging as library_logging

    verbosity, bars = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
    library_logging.set_verbosity(logging.ERROR)
    library_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        library_logging.set_verbosity(verbosity)
        if bars:
            library_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
