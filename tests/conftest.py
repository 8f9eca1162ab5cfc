"""Fixtures that several folders share."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from crossfade import opening, runs
from tests.doubles import LocalEndpoint
from tests.run_doubles import WordEncoder, answer_well, write_tiny_recipe

# Machines are shared: how long an example takes says nothing.
hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.load_profile("shared")


@pytest.fixture
def endpoint() -> Iterator[LocalEndpoint]:
    """An endpoint that writes and judges well."""
    with LocalEndpoint(answer_well) as server:
        yield server


@pytest.fixture
def tiny_recipe(tmp_path: Path, endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose run needs no packaged model; its folder is `tmp_path`."""
    monkeypatch.setenv("TINY_KEY", "any")
    monkeypatch.setattr(opening, "SentenceEncoder", WordEncoder)
    monkeypatch.setattr(runs, "SentenceEncoder", WordEncoder)
    return write_tiny_recipe(tmp_path, endpoint.url)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Keep torch to one thread; several only wait for each other over the small models of tests."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
