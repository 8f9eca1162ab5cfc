"""Bring the tables of settings in the docs up to date with the settings classes.

    python docs/generate_settings.py            rewrite the pages
    python docs/generate_settings.py --check    only say whether they are up to date

A page holds `<!-- settings KEY -->` and `<!-- end settings -->`; between them stands the table of the recipe's table
KEY, of the method KEY, or of the recipe's own keys where KEY is 'recipe', or all settings of an inverter where it is
'alignment' or 'refinement'.
"""

import argparse
import re
import sys
from pathlib import Path

from crossfade.inversion import InverterSettings
from crossfade.methods import METHODS
from crossfade.recipe import Recipe
from crossfade.refining import RefinementSettings
from crossfade.tables import SettingLine, method_settings, setting_lines

FOLDER = Path(__file__).parent
OTHERS = {"alignment": InverterSettings, "refinement": RefinementSettings}
"""Settings that stand in no recipe."""
BLOCK = re.compile(r"(<!-- settings (\w+) -->\n).*?(<!-- end settings -->)", flags=re.DOTALL)

PAGES = tuple(page for page in sorted(FOLDER.rglob("*.md")) if BLOCK.search(page.read_text(encoding="utf-8")))


def main() -> int:
    """Rewrite or check the pages; the exit status is 1 when a checked page is out of date."""
    parser = argparse.ArgumentParser(description="Bring the tables of settings up to date.")
    parser.add_argument("--check", action="store_true", help="only say whether the pages are up to date")
    parser.add_argument("pages", nargs="*", type=Path, default=list(PAGES))
    given = parser.parse_args()
    stale = []
    for page in given.pages:
        old = page.read_text(encoding="utf-8")
        new = BLOCK.sub(lambda block: block[1] + "\n".join(table(block[2])) + "\n" + block[3], old)
        if new != old:
            stale.append(page)
            if not given.check:
                page.write_text(new, encoding="utf-8")
    if given.check and stale:
        names = ", ".join(page.name for page in stale)
        sys.stderr.write(f"Out of date: {names}. Run: python docs/generate_settings.py\n")
        return 1
    return 0


def table(key: str) -> list[str]:
    """Write the Markdown table of one of the recipe's tables, of a method, or of settings that stand in none."""
    if key in METHODS:
        lines = setting_lines(method_settings(key), "method.")
    elif key in OTHERS:
        lines = setting_lines(OTHERS[key])
    else:
        lines = [line for line in setting_lines(Recipe) if _owner(line) == key]
    if not lines:
        raise SystemExit(f"There is no table '{key}' in a recipe.")
    rows = [f"| `{line.key}` | {_code(line.default)} | {line.values} | {_cell(line.meaning)} |" for line in lines]
    return ["", "| key | default | values | meaning |", "| --- | --- | --- | --- |", *rows, ""]


def _owner(line: SettingLine) -> str:
    return line.key.partition(".")[0] if "." in line.key else "recipe"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(default: str) -> str:
    return default if default in ("-", "needed") else f"`{default}`"


if __name__ == "__main__":
    sys.exit(main())
