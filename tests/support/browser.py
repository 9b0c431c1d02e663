"""Debian's chromium without a screen, driven by selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from tests.support.needs import need, need_packages

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--window-size=1400,1300",
)
PAGE_WITHIN_S = 60


def need_browser() -> None:
    """Skip where there is no browser, or nothing that drives it."""
    need_packages("selenium")
    for command in ("chromium", "chromedriver"):
        need(f"Debian's {command}", is_there=shutil.which(command) is not None)


@contextmanager
def open_browser(url: str) -> Iterator[Any]:
    """Open a page; the browser ends with the block."""
    webdriver = import_module("selenium.webdriver")  # only some environments have it
    service = import_module("selenium.webdriver.chrome.service")

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ARGUMENTS:
        options.add_argument(argument)
    driver = webdriver.Chrome(
        options=options, service=service.Service(shutil.which("chromedriver"))
    )
    try:
        driver.set_page_load_timeout(PAGE_WITHIN_S)
        driver.set_script_timeout(PAGE_WITHIN_S)
        driver.get(url)
        yield driver
    finally:
        driver.quit()
