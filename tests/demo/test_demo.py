import json
import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossfade import demo
from crossfade.cli import app
from crossfade.data import Corpus, read_corpus


@pytest.fixture(scope="module")
def pool() -> Corpus:
    return read_corpus(demo.POOL)


@pytest.fixture(scope="module")
def test_set() -> Corpus:
    return read_corpus(demo.TEST, held_out=True)


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def test_every_class_has_12_pool_texts_and_30_test_texts(pool: Corpus, test_set: Corpus) -> None:
    assert pool.labels == test_set.labels
    assert len(pool.labels) == 8
    assert set(Counter(pool.example_labels).values()) == {12}
    assert set(Counter(test_set.example_labels).values()) == {30}


def test_no_text_stands_twice_whatever_its_case_and_punctuation(pool: Corpus, test_set: Corpus) -> None:
    plain = [words(text) for text in [*pool.texts, *test_set.texts]]
    assert [text for text, count in Counter(plain).items() if count > 1] == []


@pytest.mark.model
def test_a_tiny_demo_runs_with_the_packaged_models(tmp_path: Path) -> None:
    recipe = Path(__file__).parent.parent.parent / "recipes" / "demo.toml"
    settings = ["method.texts_per_class=2", "comparison.splits=1", "comparison.curve=[1, 2]", f"folder={tmp_path}"]
    arguments = ["run", str(recipe), "--json", *(part for text in settings for part in ("--set", text))]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["results"][0]["rows"] == "gold only"
    assert all(counts["kept"] <= 2 for counts in result["losses"].values())
    assert sum(counts["kept"] for counts in result["losses"].values()) >= 12
    assert result["cost"]["failed"] == 0
