"""The review page in a real browser, by keyboard alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from crossfade.reviewing import ReviewSession
from crossfade.reviewing.server import ReviewServer
from tests.reviewing.rows import LABELS, made, written

CHROMIUM = Path("/usr/bin/chromium")
EVIL = "a cat <script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
MANY = tuple(f"class {number:02}" for number in range(1, 21))

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no browser at {CHROMIUM}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def serve() -> Iterator["Serve"]:
    served = Serve()
    yield served
    served.end()


class Serve:
    """Serves sessions from a thread until the test ends."""

    def __init__(self) -> None:
        self.running: list[tuple[ReviewServer, Thread]] = []

    def __call__(self, session: ReviewSession) -> str:
        server = ReviewServer(session)
        thread = Thread(target=server.serve)
        thread.start()
        self.running.append((server, thread))
        return server.url

    def end(self) -> None:
        for server, thread in self.running:
            server.server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def session(folder: Path) -> ReviewSession:
    kept = [
        written(EVIL, confidence=0.2, votes={"judge": "dog"}),
        written("the second cat", confidence=0.3, votes={"judge": "dog"}),
        written("a cat that is not sure", confidence=0.4),
        written("a dog", label="dog", confidence=0.8, votes={"judge": "cat"}),
        written("a fine cat", confidence=0.95),
    ]
    return ReviewSession(folder, made(kept, [written("set aside", reason="dropped: judge: dog")]), LABELS)


def on_disk(folder: Path) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in (folder / "reviews.jsonl").read_text(encoding="utf-8").splitlines()]
    return [("undo", "", "") if "undo" in line else (line["verdict"], line["label"], *line["texts"]) for line in lines]


def test_a_review_by_keyboard_ends_on_the_disk(page: Page, serve: Serve, tmp_path: Path) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto(serve(session(tmp_path)))
    text, said, press = page.locator(".text"), page.locator("#said"), page.keyboard.press

    # The least trusted row comes first, and its markup is shown, not run.
    expect(text).to_have_text(EVIL)
    expect(page).to_have_title(f"Review of {tmp_path.name}")
    expect(page.locator("#count")).to_have_text("0 of 6 reviewed")

    # Filter by class, then by reason.
    press("c")
    page.keyboard.type("dog")
    press("Enter")
    expect(text).to_have_text("a dog")
    press("c")
    press("Home")
    press("Enter")
    press("r")
    page.keyboard.type("judge")
    press("Enter")
    expect(text).to_have_text(EVIL)
    expect(page.locator("#reason option:checked")).to_have_text("judge disagrees (3)")

    press("2")
    expect(said).to_have_text("Saved: relabelled as dog.")
    assert on_disk(tmp_path) == [("relabel", "dog", EVIL)]
    expect(text).to_have_text("the second cat")
    press("e")
    page.keyboard.press("Control+a")
    page.keyboard.type("ein Hund für <b>zwei</b>")
    press("Control+Enter")
    expect(said).to_have_text("Saved: edited as cat.")
    expect(text).to_have_text("a dog")
    press("d")
    expect(said).to_have_text("Saved: dropped.")
    # Nothing is left under this reason.
    expect(page.locator("#empty")).to_be_visible()
    press("u")
    expect(said).to_have_text("Taken back.")
    expect(text).to_have_text("a dog")
    press("a")
    expect(said).to_have_text("Saved: accepted.")

    assert on_disk(tmp_path) == [
        ("relabel", "dog", EVIL),
        ("edit", "cat", "ein Hund für <b>zwei</b>"),
        ("drop", "dog", "a dog"),
        ("undo", "", ""),
        ("accept", "dog", "a dog"),
    ]
    expect(page.locator("#count")).to_have_text("3 of 6 reviewed: 1 accepted, 1 relabelled, 1 edited")

    # Loaded again, the page goes on where it was.
    page.reload()
    expect(page.locator("#count")).to_have_text("3 of 6 reviewed: 1 accepted, 1 relabelled, 1 edited")
    expect(text).to_have_text("a cat that is not sure")
    press("f")
    page.keyboard.type("dropped")
    press("Enter")
    expect(text).to_have_text("set aside")
    assert problems == []


def test_keys_held_down_decide_once_and_escape_leaves_a_text_as_it_was(
    page: Page, serve: Serve, tmp_path: Path
) -> None:
    page.goto(serve(session(tmp_path)))
    expect(page.locator(".text")).to_have_text(EVIL)
    page.keyboard.press("e")
    page.keyboard.type("something else")
    page.keyboard.press("Escape")
    expect(page.locator(".text")).to_have_text(EVIL)
    for _ in range(3):
        page.keyboard.down("d")
    page.keyboard.up("d")
    expect(page.locator(".text")).to_have_text("the second cat")
    assert on_disk(tmp_path) == [("drop", "cat", EVIL)]
    page.keyboard.press("k")
    expect(page.locator(".verdict")).to_have_text("dropped")


def test_many_classes_are_searched(page: Page, serve: Serve, tmp_path: Path) -> None:
    row = written("which class?", label="class 03", votes={"judge": "class 07"})
    page.goto(serve(ReviewSession(tmp_path, made([row]), MANY)))
    expect(page.locator(".classes button")).to_have_text(["1class 03", "2class 07", "lall 20 classes …"])
    page.keyboard.press("l")
    page.keyboard.type("1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_have_text("Saved: relabelled as class 10.")
    assert on_disk(tmp_path) == [("relabel", "class 10", "which class?")]


def test_a_decision_that_cannot_be_saved_is_told_and_the_row_stays(page: Page, serve: Serve, tmp_path: Path) -> None:
    page.goto(serve(session(tmp_path)))
    expect(page.locator(".text")).to_have_text(EVIL)
    serve.end()
    page.keyboard.press("a")
    expect(page.locator("#said")).to_have_text("Not saved: the program does not answer. Start the review again.")
    expect(page.locator(".text")).to_have_text(EVIL)
    expect(page.locator("#count")).to_have_text("0 of 6 reviewed")
