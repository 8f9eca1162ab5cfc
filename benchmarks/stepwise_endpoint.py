"""Does a stepwise recipe ask an endpoint for what its plan says?

    python benchmarks/stepwise_endpoint.py recipes/rte.toml

The endpoint is scripted: it writes what the prompt shows, with a number. So nothing is learned about students here;
what counts is the plan, the requests that arrived, and that a second start asks for nothing.
"""

import argparse
import os
import re
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import crossfade
from crossfade.data import DataWarning
from crossfade.planning import PlannedCalls
from crossfade.recipe import read_recipe
from door_results import table, write

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.doubles import Body, Canned, LocalEndpoint, completion, prompt_of

SMALL = (
    "method.texts_per_class=20",
    "method.rounds=2",
    "comparison.shots=[20]",
    "comparison.splits=1",
    "comparison.methods=[]",
    "comparison.processes=1",
)


def answer(body: Body) -> Canned:
    """Write a sentence of the prompt's last words and a number that differs between prompts."""
    words = re.findall(r"[a-z]{3,}", prompt_of(body).lower())[-40:]
    stamp = zlib.crc32(f"{prompt_of(body)}{body.get('seed')}".encode())
    return completion(" ".join([*words[stamp % 20 :][:12], str(stamp)]))


def measured(recipe: Path, folder: Path) -> list[list[object]]:
    """Plan and run a recipe against the scripted endpoint, twice."""
    with LocalEndpoint(answer) as endpoint:
        overrides = [
            *SMALL,
            'writer.kind="endpoint"',
            f'writer.base_url="{endpoint.url}"',
            'writer.model="small"',
            'writer.form="instruct"',
            'writer.key_variable="SCRIPTED_KEY"',
            f'folder="{folder}"',
        ]
        settings = read_recipe(recipe, overrides)
        planned: PlannedCalls = crossfade.plan(settings).writing
        before = len(endpoint.bodies)
        first = crossfade.run(settings)
        asked = len(endpoint.bodies)
        second = crossfade.run(settings)
        again = len(endpoint.bodies) - asked
    same = [row.values for row in first.rows] == [row.values for row in second.rows]
    return [[recipe.stem, planned.calls, planned.calls_at_most, planned.prompt_tokens, before, asked, again, same]]


def main() -> None:
    """Measure every recipe and write the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("recipes", type=Path, nargs="+")
    given = arguments.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    os.environ["SCRIPTED_KEY"] = "any"
    rows: list[list[object]] = []
    for recipe in given.recipes:
        with tempfile.TemporaryDirectory() as folder:
            rows.extend(measured(recipe, Path(folder)))
    header = (
        "recipe",
        "calls planned",
        "at most",
        "prompt tokens planned",
        "requests that the plan sent",
        "requests that the run sent",
        "by a second start",
        "same results",
    )
    settings = ", ".join(f"`{value}`" for value in SMALL)
    write(
        Path(__file__).parent / "results" / "stepwise_endpoint.md",
        f"stepwise_endpoint.py {' '.join(map(str, given.recipes))}",
        f"A scripted OpenAI-compatible endpoint as writer, in the form 'instruct'; the recipe with {settings}.",
        table(header, rows),
    )


if __name__ == "__main__":
    main()
