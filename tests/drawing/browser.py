"""The system's Chromium, driven without a window; a test that asks for it is skipped where there is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-device-scale-factor=1",
    "--window-size=1280,900",
)


class Browser:
    """A page in Chromium, and what it did: console messages and requests."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        """Show a file; what earlier pages said is forgotten."""
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(path.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """The value a script returns in the page."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: str, seconds: float = 20) -> None:
        """Until an expression is true in the page."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, seconds, 0.05).until(lambda _: self.run(f"return {condition}"), condition)

    def find(self, selector: str) -> Any:
        """The first element a CSS selector finds."""
        return self.driver.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        """Type keys, wherever the page has its focus."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def click_at(self, selector: str, x: float, y: float) -> None:
        """Click into an element at a share of its width and height."""
        from selenium.webdriver.common.action_chains import ActionChains

        element = self.find(selector)
        size = element.rect
        offset = (round((x - 0.5) * size["width"]), round((y - 0.5) * size["height"]))
        ActionChains(self.driver).move_to_element_with_offset(element, *offset).click().perform()

    def drawn(self, selector: str, height: int, width: int) -> np.ndarray:
        """RGBA of a canvas at the middles of a frame's pixels, uint8 [height, width, 4]."""
        values = self.run(
            """
            const [selector, height, width] = arguments;
            const canvas = document.querySelector(selector), all = [];
            // Read from a copy: the console complains of reading a canvas that is drawn on.
            const copy = new OffscreenCanvas(canvas.width, canvas.height);
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            const pixels = context.getImageData(0, 0, copy.width, copy.height).data;
            for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
              const column = Math.floor((x + 0.5) * canvas.width / width);
              const row = Math.floor((y + 0.5) * canvas.height / height);
              const at = 4 * (row * canvas.width + column);
              all.push(...pixels.subarray(at, at + 4));
            }
            return all;
            """,
            selector,
            height,
            width,
        )
        return np.array(values, np.uint8).reshape(height, width, 4)

    def complaints(self) -> list[str]:
        """What the console shows since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses the page asked for since it was opened, itself first, without those inside the page."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        # The browser's own pages may still be loading.
        asked = [one["request"]["url"] for one in sent if one["documentURL"] == self.driver.current_url]
        return [address for address in asked if not address.startswith("data:")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with a profile of its own."""
    if CHROMIUM is None or CHROMEDRIVER is None:
        pytest.skip("Chromium and its driver are not installed (Debian: chromium, chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
    yield Browser(driver)
    driver.quit()
