"""The tables of the page."""

from collections.abc import Sequence
from html import escape

import numpy as np

from socialgraph.error_table import name_quarters, quarters
from socialgraph.report.content import Content
from socialgraph.report.errors import gain, percent
from socialgraph.report.scoring import NETWORK

__all__ = [
    "backtest_table",
    "error_table",
    "facts",
    "gain_table",
    "number",
    "state_table",
    "tile",
    "worst_table",
]


def tile(number: str, caption: str) -> str:
    """One number in large type; ``number`` is HTML."""
    return f'<div class="tile"><b>{number}</b><span>{escape(caption)}</span></div>'


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Topics and texts."""
    body = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'


def error_table(content: Content) -> str:
    """MAE, RMSE and MAPE of the network at every quarter of the horizon."""
    own = content.accuracy.errors[NETWORK]
    unit = f" [{content.subject.unit}]" if content.subject.unit else ""
    labels = {"mae": f"MAE{unit}", "rmse": f"RMSE{unit}", "mape": "MAPE [%]"}
    rows = [(label, quarters(own[name], own[f"{name}_all"])) for name, label in labels.items()]
    return _table("the network", name_quarters(content.subject.minutes), rows)


def gain_table(content: Content, names: Sequence[str]) -> str:
    """MAE of the network and of others at every quarter of the horizon, with the gain over all."""
    own = content.accuracy.errors[NETWORK]
    rows = [("network", [*quarters(own["mae"], own["mae_all"]), ""])]
    for name in names:
        other = content.accuracy.errors[name]
        share = gain(own["mae_all"], other["mae_all"])
        cells = quarters(other["mae"], other["mae_all"])
        rows.append((name, [*cells, "–" if share is None else _signed(100 * share)]))
    return _table("MAE", [*name_quarters(content.subject.minutes), "gain %"], rows)


def backtest_table(content: Content, found: dict) -> str:
    """MAE of every forecaster over all folds, and how the network differs from each rival."""
    rows = [
        (model["name"], [*quarters(model["mae"], model["mae_all"]), model["test"]])
        for model in found["models"]
    ]
    heads = [*name_quarters(content.subject.minutes), "the network differs by"]
    return _table("MAE", heads, rows)


def state_table(content: Content) -> str:
    """MAE of the network and its rivals in dense and in other traffic."""
    state, rivals = content.accuracy.state, content.accuracy.rivals
    names = [row["name"] for row in state["rows"]]
    rows = [("share of the targets", [percent(row["share"], 1) for row in state["rows"]])]
    for name in (NETWORK, *rivals):
        rows.append((name, [number(row["mae"][name]) for row in state["rows"]]))
    gains = [
        gain(row["mae"][NETWORK], min(row["mae"][name] for name in rivals)) for row in state["rows"]
    ]
    rows.append(("gain %", ["–" if share is None else _signed(100 * share) for share in gains]))
    caption = (
        f"<figcaption><b>Error by state of the traffic.</b> MAE, and the gain "
        f"over the best rival; {escape(state['rule'])}."
        "</figcaption>"
    )
    return caption + _table("at the target", names, rows)


def worst_table(content: Content) -> str:
    """The ten worst detectors, and what is unusual about each."""
    covered = content.accuracy.coverage is not None
    columns = ["MAE", "usual day", "bias", "missing", *(["coverage"] if covered else [])]
    head = "".join(f'<th class="n">{name}</th>' for name in columns)
    body = []
    for worst in content.detectors.worst:
        cells = [number(worst["mae"]), number(worst["rival"]), _signed(worst["bias"], 2)]
        cells.append(percent(worst["missing"], 1))
        cells += [percent(worst["coverage"])] if covered else []
        numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        name = escape(content.subject.vdids[worst["node"]])
        why = escape("; ".join(worst["why"])) or "nothing unusual found"
        body.append(
            f'<tr><th><button type="button" class="link" data-node="{worst["node"]}">{name}'
            f"""</button></th>{numbers}<td class="why">{why}</td></tr>"""
        )
    return (
        f'<table class="worst" style="--columns:{len(columns)}"><thead><tr><th>detector</th>{head}'
        '<th class="why">what is unusual</th></tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _table(
    corner: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str]]],
) -> str:
    """A table of numbers; texts are escaped."""
    head = "".join(f'<th class="n">{escape(name)}</th>' for name in columns)
    body = "".join(
        f"<tr{' class=own' if name == NETWORK else ''}><th>{escape(name)}</th>"
        + "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells)
        + "</tr>"
        for name, cells in rows
    )
    return (
        f'<div class="wide"><table><thead><tr><th>{escape(corner)}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def number(value: float | None, digits: int = 2) -> str:
    """A number as text, a dash if it is not known."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _signed(value: float, digits: int = 1) -> str:
    return f"{value:+.{digits}f}".replace("-", "−") if np.isfinite(value) else "–"
