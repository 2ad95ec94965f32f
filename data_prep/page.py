"""The findings on a file as one HTML page with a map, which needs nothing from anywhere else."""

from html import escape
from pathlib import Path

import numpy as np

from data_prep.findings import describe
from socialgraph.atomic import replacing
from socialgraph.graph.geodesy import project

__all__ = ["draw_map", "write_page"]

_WIDTH = 900.0
_MARGIN = 20.0
_MOST_ROWS = 500
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}
.bad{color:#b00020}.doubt{color:#8a5a00}.fine{color:#106b2e}svg{background:#f4f4f2;width:100%}
circle{stroke:#fff;stroke-width:.5}"""


def write_page(path: str | Path, found: dict) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the page.
        found: of :func:`data_prep.inspect_file.inspect_file`.

    Raises:
        OSError: if it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(_page(found), encoding="utf-8")


def _page(found: dict) -> str:
    name = escape(found.get("dataset_name") or Path(found["file"]).name)
    verdict = ("bad", "not fit for training") if found["problems"] else ("fine", "fine")
    parts = [
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{name}</h1>",
        f'<p class="{verdict[0]}">{verdict[1]}</p>',
        *(f'<p class="bad">{escape(text)}</p>' for text in found["problems"]),
        *(f'<p class="doubt">{escape(text)}</p>' for text in found["warnings"]),
    ]
    if "num_steps" in found:
        rows = "".join(
            f"<tr><th>{escape(topic)}</th><td>{escape(text)}</td></tr>"
            for topic, text in describe(found)
        )
        parts += [f"<table>{rows}</table>", draw_map(found["detectors"]), _worst(found)]
    return "\n".join([*parts, "</body></html>\n"])


def draw_map(detectors: list[dict]) -> str:
    """The detectors that have a position as an SVG: the redder, the more of their readings are
    missing or doubtful; empty if none has."""
    placed = [entry for entry in detectors if entry["lat"] is not None]
    places = project(
        np.array([entry["lat"] for entry in placed]), np.array([entry["lon"] for entry in placed])
    )
    known = np.isfinite(places).all(axis=1)
    placed = [entry for entry, is_known in zip(placed, known, strict=True) if is_known]
    places = places[known]
    if not placed:
        return "<p>No detector has a position.</p>"
    low, high = places.min(axis=0), places.max(axis=0)
    scale = (_WIDTH - 2 * _MARGIN) / max(*(high - low), 1.0)
    height = (high[1] - low[1]) * scale + 2 * _MARGIN
    circles = "".join(
        _circle(entry, (x - low[0]) * scale + _MARGIN, (high[1] - y) * scale + _MARGIN)
        for entry, (x, y) in zip(placed, places, strict=True)
    )
    size = f'viewBox="0 0 {_WIDTH:.0f} {height:.0f}"'
    return f'<h2>Map</h2><svg xmlns="http://www.w3.org/2000/svg" {size}>{circles}</svg>'


def _circle(entry: dict, x: float, y: float) -> str:
    hue = 120 * (1 - min(1.0, entry["missing"] + (0.5 if entry["doubtful"] else 0)))
    told = (
        f"{entry['vdid']}: {entry['missing']:.1%} missing, silent on {entry['silent_days']} days, "
        f"{entry['doubtful']} doubtful"
    )
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="hsl({hue:.0f},70%,40%)"><title>'
        f"{escape(told)}</title></circle>"
    )


def _worst(found: dict) -> str:
    order = sorted(found["detectors"], key=lambda entry: (-entry["doubtful"], -entry["missing"]))
    doubted = [entry for entry in order if entry["doubtful"] or entry["missing"]][:_MOST_ROWS]
    if not doubted:
        return ""
    head = "".join(
        f"<th>{name}</th>" for name in ("detector", "missing", "silent days", "doubtful")
    )
    rows = "".join(
        f"<tr><td>{escape(entry['vdid'])}</td><td>{entry['missing']:.1%}</td>"
        f"<td>{entry['silent_days']}</td><td>{entry['doubtful']}</td></tr>"
        for entry in doubted
    )
    return f"<h2>Detectors</h2><table><tr>{head}</tr>{rows}</table>"
