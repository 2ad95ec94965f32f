"""The page as a browser shows it: without a network, on a phone and on a desk."""

import base64
import json
import shutil
import time

import pytest

from socialgraph.report import write_report
from tests.report.conftest import EVIL_ID, EVIL_NAME

pytest.importorskip("selenium", reason="pages are driven by selenium")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="no browser: apt-get install chromium chromium-driver",
    ),
]
WORDS = ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking")
WORDS += ("disable-dev-shm-usage",)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM
    for word in (*WORDS, f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def show(browser, page, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    wait(browser, "document.body.dataset.ready")


def wait(browser, expression):
    end = time.monotonic() + 20
    while not browser.execute_script(f"return {expression}"):
        assert time.monotonic() < end, f"{expression} did not come true"
        time.sleep(0.05)


@pytest.mark.parametrize("width", [390, 1440])
def test_a_page_is_shown_without_errors_and_without_a_network(browser, page, width):
    show(browser, page, width)
    assert browser.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"
    ]
    # The browser's own first page is of the scheme 'chrome'.
    assert {url.split(":")[0] for url in urls} <= {"file", "data", "blob", "chrome"}
    # Nothing is wider than the page, of which a scroll bar may take a part.
    assert width - 20 < browser.execute_script("return document.body.scrollWidth") <= width
    assert browser.execute_script(
        "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('.js-plotly-plot')].map("
        "(p) => [p.id, p.getBoundingClientRect().width, p.querySelectorAll('svg.main-svg').length])"
    )
    names = {name for name, _, _ in drawn}
    assert {"errors", "gains", "map", "day", "week", "detectors", "pooling"} <= names
    assert {"training", "radius", "attention-0", "attention-1", "gradient-step"} <= names
    for name, own_width, layers in drawn:
        assert layers, name
        assert 100 < own_width < width, name


def test_names_of_a_file_do_not_run(browser, page):
    show(browser, page, 1440)
    browser.execute_script(
        "const all = [...document.getElementById('choose').options].map((o) => o.value);"
        "for (const v of all) { document.getElementById('choose').value = v;"
        "document.getElementById('choose').dispatchEvent(new Event('change')); }"
    )
    assert browser.execute_script("return window.hit") is None
    assert browser.execute_script("return document.images.length") == 0
    assert browser.title.endswith(EVIL_NAME)
    options = browser.execute_script(
        "return [...document.getElementById('choose').options].map((o) => o.textContent)"
    )
    assert any(text.startswith(EVIL_ID) for text in options)
    # As the name of a neighbour of another detector, in a figure.
    browser.execute_script(
        "document.getElementById('choose').value = '1';"
        "document.getElementById('choose').dispatchEvent(new Event('change'));"
    )
    ticks = browser.execute_script(
        "return [...document.querySelectorAll('#attention-0 .ytick')].map((t) => t.textContent)"
    )
    assert any(text.startswith(f"{EVIL_ID[:11]}…{EVIL_ID[-8:]}") for text in ticks)
    assert browser.get_log("browser") == []


def test_a_click_on_the_map_opens_a_detector(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains

    show(browser, page, 1440)
    before = browser.execute_script("return document.getElementById('name').textContent")
    browser.execute_script("document.getElementById('map').scrollIntoView()")
    points = browser.find_elements("css selector", "#map .scatterlayer .points path.point")
    wanted = points[-6:][2]
    ActionChains(browser).move_to_element(wanted).pause(0.2).click().perform()
    wait(browser, f"document.getElementById('name').textContent !== {json.dumps(before)}")
    assert browser.execute_script("return document.getElementById('name').textContent") == "VD-2"
    assert browser.execute_script("return document.getElementById('why').textContent").startswith(
        "MAE"
    )
    lines = browser.execute_script(
        "return Object.fromEntries(document.getElementById('day').data.map((l) => [l.name, l.y]))"
    )
    detail = browser.execute_script("return report.details[2]")
    assert lines["truth"] == detail["truth"]
    assert lines["usual day"] == detail["usual"]
    assert [lines["forecast 5 min before"], lines["forecast 20 min before"]] == detail["forecast"]
    told = browser.execute_script("return document.getElementById('told').textContent")
    assert "would move by" in told
    # The circles are as large as the learned radius, in kilometres on both axes.
    name, circle, radius, x = browser.execute_script(
        "const map = document.getElementById('map'), own = map.data[1];"
        "return [own.name, own.x.slice(0, 73), report.map.layers[0][0], report.map.x[2]]"
    )
    assert name.startswith("layer 1: ")
    assert max(circle) - x == pytest.approx(radius / 1000, rel=1e-3)
    scale = browser.execute_script(
        "const l = document.getElementById('map')._fullLayout; return [l.xaxis._m, l.yaxis._m]"
    )
    assert abs(scale[0]) == pytest.approx(abs(scale[1]), rel=1e-3)


def test_buttons_change_the_colours(browser, page):
    show(browser, page, 1440)
    shown = "document.getElementById('map').data.at(-1).marker.color[5]"
    for name in ("missing", "bias", "mae"):
        browser.execute_script(f"document.querySelector('[data-colour={name}]').click()")
        expected = browser.execute_script(f"return report.colours.{name}.values[5]")
        assert browser.execute_script(f"return {shown}") == expected
    assert (
        browser.execute_script("return document.querySelectorAll('[aria-pressed=true]').length")
        == 1
    )


def test_on_paper_no_figure_is_cut(browser, page):
    show(browser, page, 1440)
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    widths = "[...document.querySelectorAll('.js-plotly-plot')].map((p) => p._fullLayout.width)"
    wait(browser, f"Math.max(...{widths}) <= 700")
    size = {"width": 703, "height": 900, "deviceScaleFactor": 1, "mobile": False}  # A4 less margins
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 703
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**size, "width": 1440})
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    wait(browser, f"Math.max(...{widths}) > 700")
    told = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pdf = base64.b64decode(told["data"])
    assert 3 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 12


def test_lines_of_a_sample_are_drawn_and_other_gaps_stay(browser, run, page):
    sampled = run.folder / "sampled.html"
    write_report(sampled, run.ckpt_path, every=3)
    lines = (
        "[...document.querySelectorAll('#day .scatterlayer .js-line')]"
        ".map((p) => p.getAttribute('d'))"
    )
    for shown, connected in ((sampled, True), (page, False)):
        show(browser, shown, 1440)
        drawn = browser.execute_script(f"return {lines}")
        assert len(drawn) == 6  # usual day, truth, two forecasts, and the ends of the interval
        assert all("L" in line for line in drawn)
        gaps = browser.execute_script("return document.getElementById('day').data[1].connectgaps")
        assert gaps is connected
