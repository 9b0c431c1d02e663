"""The demo's page in a real browser: everything that a visitor can press."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.support.browser import need_browser, open_browser
from tests.support.demo import Demo

need_browser()
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.by import By

pytestmark = pytest.mark.slow

WITHIN_S = 40
NOT_THERE = (
    NoSuchElementException,  # not yet
    StaleElementReferenceException,  # renewed while we looked
    ElementClickInterceptedException,  # moved while we pressed
)


class Page:
    """What a visitor sees and presses."""

    def __init__(self, browser, demo: Demo) -> None:
        self.browser = browser
        self.demo = demo

    def find(self, selector: str):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.find(selector).text)

    def number(self, name: str) -> int:
        return int("".join(each for each in self.text(f"#{name}") if each.isdigit()) or 0)

    def wait_for(self, what: str, is_so) -> None:
        def seen() -> bool:
            try:
                return bool(is_so())
            except NOT_THERE:
                return False

        self.demo.wait_for(what, WITHIN_S, seen)

    def press(self, selector: str) -> None:
        def pressed() -> bool:
            found = self.find(selector)
            if not found.is_enabled():
                return False
            found.click()
            return True

        self.wait_for(f"{selector} to press", pressed)

    def choose(self, user: str) -> None:
        self.press(f'#user option[value="{user}"]')

    def is_whole(self) -> bool:
        return (
            "Nothing acknowledged is lost" in self.text("#verdict")
            and self.number("twice") == 0
            and not self.browser.find_elements(By.CSS_SELECTOR, '[data-state="dead"]')
            # The page's service has not only been started, but can do what the page offers.
            and self.text("#version").isdigit()
            and self.find("#kill-leader").is_enabled()
        )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("page"))
    try:
        demo.start()
        with open_browser(demo.url) as browser:
            page = Page(browser, demo)
            page.wait_for("events", lambda: page.number("seen") > 10 and page.is_whole())
            yield page
            errors = [each for each in browser.get_log("browser") if "javascript" in each["source"]]
            assert errors == []
    finally:
        demo.close()


def test_what_is_posted_is_seen_and_liked_and_its_author_hears_of_it(page):
    words = "From a real browser <b>really</b> #page"
    page.find("#post-text").send_keys(words)
    page.press("#post button")
    page.wait_for("the post", lambda: words in page.text("#feed"))
    assert "Posted" in page.text("#own")
    assert "offset" in page.text("#own")

    page.choose("mira")
    own = f'//ul[@id="feed"]/li[contains(., "{words}")]//button'
    page.wait_for("mira's feed", lambda: page.browser.find_element(By.XPATH, own))

    def is_liked() -> bool:
        """Press, and see: posts that come in move it, and the press may have met another."""
        button = page.browser.find_element(By.XPATH, own)
        if "Liked" not in button.text and button.is_enabled():
            button.click()
        return "Liked" in button.text

    page.wait_for("that it is liked", is_liked)

    page.choose("you")
    page.wait_for("a notification", lambda: "Mira liked your post" in page.text("#notifications"))


def test_a_message_arrives(page):
    page.press('#message-to option[value="teo"]')
    page.find("#message-text").send_keys("Good evening")
    page.press("#message button")
    page.choose("teo")
    page.wait_for("the message", lambda: "Good evening" in page.text("#messages"))
    page.choose("you")


def test_posts_trend(page):
    page.wait_for("a window that is over", lambda: page.find("#trending .window .bar"))


def test_the_leader_is_killed_and_nothing_that_was_acknowledged_is_lost(page):
    before = page.number("acknowledged")
    page.press("#kill-leader")
    dead = '#nodes [data-state="dead"]'
    page.wait_for("a dead broker", lambda: "Broker" in page.text(dead))
    start = f"{dead} [data-act=start]"
    page.wait_for("a way to start it", lambda: page.find(start).is_enabled())
    page.wait_for("events that flow on", lambda: page.number("acknowledged") > before + 5)
    for button in page.browser.find_elements(By.CSS_SELECTOR, start):
        with suppress(*NOT_THERE):  # it may be started by itself by now
            button.click()
    page.wait_for("the broker again", page.is_whole)

    assert page.number("acknowledged") > before
    assert page.number("twice") == 0


def test_a_service_is_killed_and_starts_again_where_it_was(page):
    before = page.number("acknowledged")
    feed = '#services [data-name="feed"]'
    page.press(f"{feed} [data-act=kill]")
    # Pressed or not, it is started again in a few seconds.
    page.wait_for("it again", lambda: "started 2 times" in page.text(feed))
    page.wait_for("what it does", lambda: page.is_whole() and page.number("seen") > before)


def test_the_service_of_the_page_itself_is_killed_and_the_page_goes_on(page):
    page.press('#services [data-name="posting"] [data-act=kill]')
    page.wait_for("that it is away", lambda: "is away" in page.text("#verdict"))
    page.wait_for("it again", page.is_whole)


def test_the_schema_is_broken_in_vain_and_evolves(page):
    page.press("#break")
    page.wait_for("the refusal", lambda: "mood" in page.text("#refusal"))
    for words in ("TYPE_MISMATCH", "READER_FIELD_MISSING_DEFAULT_VALUE", "give field", "409"):
        assert words in page.text("#refusal")
    assert page.text("#version") == "1"

    page.press("#evolve")
    page.wait_for("version 2", lambda: page.text("#version") == "2")
    page.find("#post-text").send_keys("With tags #evolved")
    page.press("#post button")
    page.wait_for("a tag", lambda: page.find("#feed .tag").text)
    page.wait_for("that all is well", page.is_whole)
