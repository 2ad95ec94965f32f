"""The examples of the pages in ``docs`` run as they stand, and the pictures are drawn."""

import json
import re
import runpy

import pytest

from tests.conftest import NEEDS_SHARED, ROOT, SHARED

PAGES = sorted((ROOT / "docs").glob("*.md"))


def examples():
    """Every example with its page and the heading above it."""
    for page in PAGES:
        title = ""
        for part in re.split(r"^(#+ .*)$", page.read_text(), flags=re.M):
            if part.startswith("#"):
                title = part.lstrip("# ")
            for number, code in enumerate(re.findall(r"```python\n(.*?)```", part, re.S)):
                yield pytest.param(code, id=f"{page.stem}: {title} {number}")


@pytest.mark.parametrize("code", examples())
def test_an_example_runs(code):
    exec(code, {"__name__": "example"})


@pytest.mark.slow
def test_the_picture_of_the_soft_radius_is_drawn(tmp_path):
    path = tmp_path / "soft_radius.png"
    runpy.run_path(ROOT / "docs" / "draw_soft_radius.py")["draw"](path)
    assert path.stat().st_size > 10_000


@NEEDS_SHARED
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs_on_two_real_networks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs" / "frames.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    short = {
        'Path("../../shared/data/original")': f'Path("{SHARED / "original"}")',
        "EPOCHS, BATCHES = 3, 1.0": "EPOCHS, BATCHES = 1, 3",
    }
    code = "\n".join(cells)
    for ours, test in short.items():
        assert ours in code
        code = code.replace(ours, test)
    names = {}
    exec(code, names)
    table = names["table"]
    assert len(table) == 122 * 12
    assert str(table["time"].dt.tz) == "Europe/Berlin"  # pandas 2 has zones of pytz
    assert table["flow"].notna().all()
