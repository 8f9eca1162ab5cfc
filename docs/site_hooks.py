"""Take pages from outside docs/ into the site: results of benchmarks, the architecture, the changelog.

On disk a link leads to the file; in the site the same link must lead to its page.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
OUTSIDE = ("ARCHITECTURE.md", "CHANGELOG.md")
RESULTS = Path("benchmarks", "results")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside."""
    for name in OUTSIDE:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for path in sorted([*(ROOT / RESULTS).glob("*.md"), *(ROOT / RESULTS).glob("*.png")]):
        place = (RESULTS / path.name).as_posix()
        page = File.generated(config, place, abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV)
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/ to the pages that were taken in."""
    if page.file.src_uri in OUTSIDE:
        return re.sub(r"\]\(docs/", "](", markdown)
    depth = page.file.src_uri.count("/")
    leaving = re.escape("../" * (depth + 1))
    return re.sub(rf"\]\({leaving}(?=benchmarks/results/|ARCHITECTURE|CHANGELOG)", "](" + "../" * depth, markdown)
