"""Takes the picture of the demo's page: `python -m tests.support.screenshot docs/demo.png`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.support.browser import open_browser
from tests.support.demo import Demo

BUSY_S = 45
"""Until some windows are over, and posts are liked."""


def main(picture: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        demo = Demo(Path(directory))
        try:
            demo.start()
            demo.do("/api/posts", user="you", text="Hello from three brokers #ottla")
            demo.do("/api/schema/break")
            time.sleep(BUSY_S)
            with open_browser(demo.url) as browser:
                demo.do("/api/leader/kill")
                demo.wait_for("a dead broker", 20, lambda: _dead(demo))
                time.sleep(3)
                browser.save_screenshot(picture)
        finally:
            demo.close()


def _dead(demo: Demo) -> bool:
    return any(each["state"] == "dead" for each in demo.state()["brokers"])


if __name__ == "__main__":
    main(sys.argv[1])
