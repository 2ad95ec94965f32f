"""Draw ``docs/report.png``: ``python -m docs.draw_report REPORT.html docs/report.png DETECTOR``.

The part of a report that has the map, as Chromium shows it with a detector opened; it needs
Debian's ``chromium`` and ``chromium-driver``, and the package selenium.
"""

import base64
import shutil
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["draw"]

_WIDTH = 1180
_OPEN = """
const choose = document.getElementById("choose");
choose.value = [...choose.options].find((o) => o.textContent.startsWith(arguments[0])).value;
choose.dispatchEvent(new Event("change"));
const head = document.getElementById("map").closest("section").getBoundingClientRect();
const last = document.getElementById("attention-1").parentElement.getBoundingClientRect();
return [head.top + scrollY + 12, last.bottom + scrollY + 8];
"""


def draw(page: Path, picture: Path, detector: str) -> None:
    """Write the picture of a page with a detector opened."""
    from selenium import webdriver

    with tempfile.TemporaryDirectory() as folder:
        options = webdriver.ChromeOptions()
        words = ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking")
        for word in (*words, f"user-data-dir={folder}", f"window-size={_WIDTH},1200"):
            options.add_argument(f"--{word}")
        options.add_argument("--hide-scrollbars")
        options.binary_location = shutil.which("chromium")
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.get(page.resolve().as_uri())
            time.sleep(3)
            top, bottom = driver.execute_script(_OPEN, detector)
            clip = {"x": 10, "y": top, "width": _WIDTH - 20, "height": bottom - top, "scale": 1}
            time.sleep(1)
            words = {"captureBeyondViewport": True, "clip": clip}
            shot = driver.execute_cdp_cmd("Page.captureScreenshot", words)
        finally:
            driver.quit()
    picture.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
