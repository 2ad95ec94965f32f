"""The page in a browser: the map, the forecast of a detector, and names that are no markup."""

import dataclasses
import shutil
import threading
import time

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("selenium", reason="the browser is driven by selenium")
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains

from socialgraph.serve.app import make_app
from socialgraph.serve.service import Service
from socialgraph.stream import StreamingForecaster, StreamStore
from tests.conftest import make_series
from tests.last_value import last_value
from tests.serve.test_command import free_port

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (BROWSER and DRIVER), reason="there is no chromium with chromedriver on this machine"
    ),
]
TOKEN = "a-token-of-16-letters"
EVIL = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('browser')}")
    options.add_argument("--window-size=1280,860")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class WithQuantiles(StreamingForecaster):
    """A forecaster with more columns than its target."""

    columns = ("speed", "speed_p05", "speed_p95")

    def update(self, time, readings):
        forecast = super().update(time, readings)
        return torch.cat([forecast, forecast - 5, forecast + 5], dim=-1)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A service with a detector of a hostile name, and one that is silent."""
    series = make_series(steps=40, missing=0.0)
    series = dataclasses.replace(series, vdids=[EVIL, *series.vdids[1:]])
    store = StreamStore(tmp_path_factory.mktemp("page") / "s.db")
    service = Service(WithQuantiles(last_value(series)), store)
    for step in range(30):
        readings = series.values[step].copy()
        readings[3] = np.nan
        service.stored.read(series.timestamps[step], readings)
    port = free_port()
    config = uvicorn.Config(make_app(service, TOKEN), port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/", series
    server.should_exit = True
    thread.join()
    service.close()


def wait(condition):
    for _ in range(100):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError("the page did not get there")


def test_the_map_shows_forecasts_and_a_click_shows_those_of_a_detector(browser, address):
    url, series = address
    browser.get(url)
    find = browser.find_element
    wait(lambda: find("id", "ask").is_displayed())  # the token is asked for
    find("id", "token").send_keys(TOKEN)
    find("css selector", "#ask button").click()
    wait(lambda: "Issued 2024-01-01 at 10:25" in find("id", "status").text)
    assert "late" in find("id", "status").text
    assert find("id", "target").text == "speed · km/h"
    assert find("id", "silent").text == "1 of 6 detectors silent (hollow)"
    assert find("id", "minutes").text == "+5 min"
    painted = "const c = document.getElementById('map'); return new Set(c.getContext('2d')"
    painted += ".getImageData(0, 0, c.width, c.height).data).size"
    assert browser.execute_script(painted) > 50  # colours, not a blank sheet

    # The detectors lie on one meridian: the southernmost, of the hostile name, is lowest.
    canvas = find("id", "map")
    size = canvas.size
    x = 400 + (size["width"] - 440) / 2 - size["width"] / 2
    ActionChains(browser).move_to_element_with_offset(
        canvas, round(x), round(size["height"] / 2 - 60)
    ).click().perform()
    wait(lambda: find("id", "panel").is_displayed())
    assert find("id", "name").text == EVIL
    assert browser.title != "owned"
    last = series.values[29, 0, 0]
    assert find("id", "now").text == f"now {last:.1f} km/h · at 10:30 {last + 1:.1f} km/h"
    said = find("css selector", "#fan .said").get_attribute("d")
    assert said.count("L") == 3  # from the last reading through the three steps
    assert find("css selector", "#fan .read").get_attribute("d").count("L") == 29
    band = find("css selector", "#fan .band").get_attribute("points").split()
    assert len(band) == 6  # up along the high quantile, back along the low one
    assert find("id", "range").text == "05 to 95 %"
    find("id", "close").click()
    assert not find("id", "panel").is_displayed()


def test_the_page_asks_for_nothing_elsewhere_and_says_nothing_in_the_console(browser, address):
    url, _ = address
    browser.get(url)
    wait(lambda: "Issued" in browser.find_element("id", "status").text)
    names = "return performance.getEntriesByType('resource').map((one) => one.name)"
    assert all(name.startswith(url) for name in browser.execute_script(names))
    said = [entry for entry in browser.get_log("browser") if "401" not in entry["message"]]
    assert said == []
