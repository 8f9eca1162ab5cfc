"""Stand-ins for whole runs: a quick encoder, an endpoint that writes and judges, and a recipe for both."""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crossfade.roles import Floats
from tests.doubles import Body, Canned, completion, prompt_of

WIDTH = 256
WORDS = ("red", "green", "quick", "sleepy", "noisy", "tiny", "brave", "hungry", "clever", "old", "young", "soft")
POOL = """text,label
my cat sleeps on the warm roof,cat
a cat chased a mouse through the kitchen,cat
that cat purrs when it rains,cat
our cat hates cold milk,cat
my dog barks at the postman,dog
a dog dug up the garden again,dog
that dog wants a long walk,dog
our dog lost its red ball,dog
"""
TEST = """text,label
the neighbour has a grey cat,cat
this cat climbs trees,cat
one cat slept all day,cat
the farmer has a large dog,dog
this dog swims well,dog
one dog guarded a house,dog
"""
RECIPE = """name = "tiny"
folder = "{folder}/runs"

[data]
train = "pool.csv"
test = "test.csv"

[writer]
kind = "endpoint"
base_url = "{url}"
model = "small"
key_variable = "TINY_KEY"
concurrency = 2

[judge]
kind = "endpoint"
base_url = "{url}"
model = "small"
key_variable = "TINY_KEY"
concurrency = 2

[method]
texts_per_class = 4

[comparison]
splits = 2
curve = [1, 2, 3]
"""


class WordEncoder:
    """Embeds a text as the words it holds; takes the arguments of `SentenceEncoder`."""

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        self.name = "words"

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return unit-length vectors, [texts, WIDTH]."""
        vectors = np.zeros((len(texts), WIDTH))
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, zlib.crc32(word.encode()) % WIDTH] += 1
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return np.asarray(vectors / lengths, dtype=np.float64)


def answer_well(body: Body) -> Canned:
    """Write three texts of the class asked for, or name the class whose name stands in the text to judge."""
    prompt = prompt_of(body)
    judged = re.search(r"Here is one more text:\n1\. (.*)", prompt)
    if judged:
        offered = re.findall(r"^\d+\. (\w+)", prompt.partition("Here is one more text")[0], flags=re.MULTILINE)
        return completion(next((label for label in offered if label in judged[1]), offered[0]))
    wanted = re.search(r'to the class "(\w+)"|short texts about (\w+)', prompt)
    assert wanted, prompt
    rng = np.random.default_rng(int(str(body["seed"])))
    label = wanted[1] or wanted[2]
    lines = []
    for number in range(1, 4):
        first, second, third = rng.choice(WORDS, 3, replace=False)
        lines.append(f"Example {number}: {first} {second} {label} with {third} paws {rng.integers(1000)}")
    return completion("\n".join(lines))


def write_tiny_recipe(folder: Path, url: str) -> Path:
    """Write data and recipe of a run that takes a second."""
    (folder / "pool.csv").write_text(POOL, encoding="utf-8")
    (folder / "test.csv").write_text(TEST, encoding="utf-8")
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE.format(folder=folder, url=url), encoding="utf-8")
    return recipe
