"""Put the report together: one HTML file with everything inside, which asks no network for anything."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossfade.libraries import require_libraries
from crossfade.reports.attributes import attribute_section
from crossfade.reports.between import intrusion_section
from crossfade.reports.blocks import Figure, Section
from crossfade.reports.findings import Findings
from crossfade.reports.gains import curve_section, gain_section, verdict
from crossfade.reports.labels import doubt, noise_section, ratio_section, suspect_data
from crossfade.reports.rounds import round_section
from crossfade.reports.scatter import map_data, map_section
from crossfade.reports.writing import cost, cost_section, loss_section, sample_section

ASSETS = Path(__file__).parent / "assets"
SECTIONS: tuple[Callable[[Findings], Section | None], ...] = (
    gain_section,
    curve_section,
    map_section,
    noise_section,
    ratio_section,
    intrusion_section,
    round_section,
    attribute_section,
    loss_section,
    cost_section,
    sample_section,
)
"""What a page is made of, in its order; each returns None when the run holds nothing for it."""


def render_page(findings: Findings) -> str:
    """Return the report as HTML.

    Every text is escaped: as HTML by the template, as JSON for the page's program, which sets texts as texts. The page
    forbids itself to load anything, and to run any script but its own.

    Raises:
        DependencyError: A library of the extra 'report' is missing.
    """
    require_libraries("plotly", "jinja2", extra="report")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    sections = [section for make in SECTIONS if (section := make(findings)) is not None]
    scripts = {"library": str(get_plotlyjs()), "program": (ASSETS / "page.js").read_text(encoding="utf-8")}
    environment = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html").render(
        findings=findings,
        verdicts=verdict(findings),
        cost=cost(findings),
        doubt=doubt(findings),
        sections=sections,
        data=Markup(_json(_data(findings, sections))),
        style=Markup((ASSETS / "page.css").read_text(encoding="utf-8")),
        allowed=" ".join(_digest(script) for script in scripts.values()),
        **{name: Markup(script) for name, script in scripts.items()},
    )


def _data(findings: Findings, sections: list[Section]) -> dict[str, Any]:
    """Return what the page's program draws."""
    names = {section.name for section in sections}
    figures = {
        block.name: block.as_json() for section in sections for block in section.blocks if isinstance(block, Figure)
    }
    return {
        "figures": figures,
        "map": map_data(findings) if "map" in names else None,
        "suspects": suspect_data(findings) if "labels" in names else None,
    }


def _json(value: object) -> str:
    """Write JSON that cannot end the script element it stands in."""
    plain = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return plain.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _digest(script: str) -> str:
    """Return what a content security policy calls a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
