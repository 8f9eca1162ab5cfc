import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossfade.data import Augmented, Origin, Synthetic
from crossfade.reports.blocks import Figure
from crossfade.reports.page import render_page
from crossfade.reports.rounds import round_section
from tests.report_doubles import (
    SCRIPT,
    findings,
    gold_corpus,
    intrusion,
    with_text,
    written_rows,
)

pytest.importorskip("plotly")
CHROMIUM = Path("/usr/bin/chromium")


def sections(page: str) -> list[str]:
    return re.findall(r'<section id="(\w+)">', page)


@pytest.fixture(scope="module")
def page() -> str:
    gold = gold_corpus()
    made = with_text(written_rows(gold, 120), 0, SCRIPT)
    return render_page(dataclasses.replace(findings(made, gold), intrusion=intrusion()))


def test_every_section_with_data_is_there_in_order(page: str) -> None:
    assert sections(page) == ["gain", "curve", "map", "labels", "ratio", "between", "losses", "cost", "rows"]


def test_sections_without_data_are_left_out() -> None:
    gold = gold_corpus()
    bare = dataclasses.replace(
        findings(written_rows(gold, 9), gold, measured=False), models=(), projection=None, check="none"
    )
    page = render_page(bare)
    assert sections(page) == ["losses", "rows"]
    assert "Not measured: this folder holds no comparison." in page


def test_a_run_without_rows_still_has_a_page() -> None:
    gold = gold_corpus()
    empty = Augmented((), (), {}, "The writer said nothing.")
    assert sections(render_page(dataclasses.replace(findings(empty, gold, measured=False), models=()))) == ["map"]


def test_texts_are_escaped() -> None:
    gold = gold_corpus()
    page = render_page(findings(with_text(written_rows(gold, 30), 0, SCRIPT), gold))
    assert SCRIPT not in page
    assert "&lt;script&gt;document.title" in page
    assert "\\u003cscript>document.title" in page


def test_class_names_with_markup_are_escaped() -> None:
    gold = gold_corpus(("<b>a</b>", 'b"&', "</script><script>alert(1)</script>"))
    page = render_page(findings(written_rows(gold, 30), gold))
    assert "<b>a</b>" not in page
    assert "<script>alert(1)" not in page


def test_the_page_loads_nothing(page: str) -> None:
    assert "default-src 'none'" in page
    own = page[: page.index('<script type="application/json"')]
    assert "http" not in re.sub(r"http-equiv", "", own)
    assert re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=", own) == []


def test_rounds_and_errors_of_stepwise_synthesis_are_shown() -> None:
    gold = gold_corpus()
    first, second = gold.examples[0], gold.examples[1]

    def row(text: str, number: int, key: str) -> Synthetic:
        method = "stepwise_synthesis"
        origin = Origin(method=method, round_index=number, parent_key=key, written_label="billing")
        return Synthetic(dataclasses.replace(first, texts=(text,)), origin)

    kept = (row("seed", 0, ""), row("a", 1, first.key), row("b", 1, second.key), row("c", 2, first.key))
    made = Augmented(kept, (), {"billing": {"asked": 4, "written": 4, "kept": 4}}, "All 2 rounds done.")
    base = dataclasses.replace(findings(made, gold, measured=False), method="stepwise_synthesis")
    assert "rounds" in sections(render_page(base))
    page = render_page(dataclasses.replace(base, follows_errors=True))
    assert re.search(
        r"errors of class.*billing</td><td class=.number.>2</td><td class=.number.>1</td>", page, re.DOTALL
    )

    # Nobody looked at the errors of a draw after its own last round: only the first draw has one that is now right.
    short = dataclasses.replace(base.draws[0], made=dataclasses.replace(made, kept=kept[:3]))
    section = round_section(dataclasses.replace(base, draws=(*base.draws, short), follows_errors=True))
    assert section is not None
    (figure,) = (block for block in section.blocks if isinstance(block, Figure) and block.name == "errors")
    assert [trace["y"] for trace in figure.traces] == [[4, 0], [0, 1], [0, -1]]


def test_no_more_than_twenty_rows_of_a_class_are_shown(page: str) -> None:
    for listed in re.findall(r"<ol class=\"samples\">(.*?)</ol>", page, re.DOTALL):
        assert 0 < listed.count("<li>") <= 20


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.is_file():
        pytest.skip(f"There is no {CHROMIUM}; install Debian's chromium to test the report in a browser.")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_in_a_browser_filters_sort_and_texts_work(
    browser: object, page: str, tmp_path: Path, width: int, scheme: str
) -> None:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[attr-defined]
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    errors: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(file.as_uri())
    tab.wait_for_selector("html[data-ready=yes]")

    assert tab.inner_text("#map-count") == "129 of 129 texts"
    tab.select_option("#map-filters [name=kind]", label="labelled by people")
    tab.select_option("#map-filters [name=label]", label="returns")
    assert tab.inner_text("#map-count") == "3 of 129 texts"
    assert tab.evaluate("document.getElementById('map-plot').data.map((trace) => trace.x.length)") == [0, 0, 3]
    tab.evaluate("document.getElementById('map-plot').emit('plotly_hover', {points: [{customdata: 8}]})")
    assert "a person's text 2 about returns" in tab.inner_text("#map-card")

    written = "#suspect-table tbody tr td:nth-child(2)"
    tab.select_option("#suspect-filters [name=written]", label="billing")
    assert set(tab.locator(written).all_inner_texts()) == {"billing"}
    tab.click("[data-sort=confidence]")
    shown = [int(cell.removesuffix(" %")) for cell in tab.locator("#suspect-table td.number").all_inner_texts()]
    assert shown == sorted(shown)
    tab.click("[data-sort=confidence]")
    turned = [int(cell.removesuffix(" %")) for cell in tab.locator("#suspect-table td.number").all_inner_texts()]
    assert turned == sorted(turned, reverse=True)
    assert turned[0] >= shown[-1]
    tab.fill("#suspect-filters [name=words]", "no text holds this")
    assert tab.locator("#suspect-table tbody tr").count() == 0

    assert tab.evaluate("document.title") == "tickets · Crossfade report"
    texts = tab.evaluate("JSON.parse(document.getElementById('data').textContent).map.text")
    row = texts.index(SCRIPT)
    tab.evaluate(f"document.getElementById('map-plot').emit('plotly_hover', {{points: [{{customdata: {row}}}]}})")
    assert SCRIPT in tab.inner_text("#map-card")
    assert tab.evaluate("document.title") == "tickets · Crossfade report"
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()
