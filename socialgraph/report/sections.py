"""The sections of the page: what is said of each topic, with everything from files escaped."""

from html import escape

import numpy as np

from socialgraph.backtest.paired import LEAST_DAYS
from socialgraph.report.content import Content
from socialgraph.report.data import lead
from socialgraph.report.errors import gain, percent
from socialgraph.report.health import RULES
from socialgraph.report.scoring import NETWORK, POOLED
from socialgraph.report.tables import (
    backtest_table,
    error_table,
    facts,
    gain_table,
    number,
    state_table,
    tile,
    worst_table,
)

__all__ = ["SECTIONS"]


def _head(content: Content) -> str:
    minutes, own = content.subject.minutes, content.accuracy.errors[NETWORK]
    begin, end = content.tested.period
    unit = f"<small> {escape(content.subject.unit)}</small>" if content.subject.unit else ""
    errors = content.accuracy.errors
    best = min(content.accuracy.rivals, key=lambda name: errors[name]["mae_all"] or np.inf)
    near, far = (lead(ahead).replace(" ", "\u00a0") for ahead in (minutes[0], minutes[-1]))
    tiles = [
        tile(number(own["mae_all"]) + unit, f"mean absolute error, {near} to {far} ahead"),
        tile(number(own["rmse_all"]) + unit, "root mean square error"),
        tile(f"{number(own['mape_all'], 1)}<small> %</small>", "mean absolute percentage error"),
    ]  # fmt: skip
    if share := gain(own["mae_all"], content.accuracy.errors[best]["mae_all"]):
        word = "below" if share > 0 else "above"
        tiles.append(tile(f"{100 * abs(share):.1f}<small> %</small>",
                          f"{word} the error of the best rival ({best})"))  # fmt: skip
    if content.accuracy.coverage is not None:
        wanted = percent(content.accuracy.nominal)
        tiles.append(tile(f"{100 * content.accuracy.coverage['all']:.1f}<small> %</small>",
                          f"of the truth inside the {wanted} interval"))  # fmt: skip
    subject = content.subject
    return (
        f"<header><h1>Forecasts of {escape(subject.target)}: {escape(subject.name)}</h1>\n"
        f'<p class="soft">{len(subject.vdids):,} detectors, the next {len(minutes)} steps, '
        f"{near} to {far} ahead; {_windows(content)} from {begin} to "
        f"{end} ({escape(subject.timezone)}), none of which was trained on.</p>\n"
        f'<div class="tiles">{"".join(tiles)}</div></header>'
    )


def _horizon(content: Content) -> str:
    known = "last week" in content.accuracy.rivals
    last_week = "Last week: the reading at the same time a week before. " if known else ""
    covered = ""
    if content.accuracy.coverage is not None:
        covered = _figure(
            "coverage",
            "How often the truth is inside the interval.",
            "Below the dashed line the interval is too narrow, above it is too wide.",
        ) + _figure(
            "width",
            "How wide the interval is.",
            "The narrower, the more is said, if the truth is inside as often as it should be.",
        )
    return _section(
        "How far off are the forecasts?",
        "The numbers of the network are those of <code>socialgraph test</code>"
        f"{_part(content)}.",
        '<div class="pair">',
        _figure("errors", "Error by horizon.",
                "Mean absolute error of forecasts made so long before; lower is better."),
        _figure("gains", "Gain over each rival.",
                "How many percent the network's error is below theirs; below zero it is worse."),
        covered,
        "</div>",
        f'<div class="pair"><figure>{error_table(content)}</figure>'
        f"<figure>{gain_table(content, content.accuracy.rivals)}</figure></div>",
        '<p class="note">Last value: the last reading, repeated. Usual day: the detector&#x27;s '
        f"mean at that time in training, working days and weekends apart. {last_week}Ridge: a "
        "linear map of the window&#x27;s deviations from the usual day, for each detector.</p>",
    )  # fmt: skip


def _where(content: Content) -> str:
    names = {"mae": "error", "bias": "bias", "coverage": "coverage", "missing": "health"}
    colours = [
        name for name in names if name != "coverage" or content.accuracy.coverage is not None
    ]
    buttons = "".join(
        f'<button type="button" data-colour="{name}" aria-pressed="false">{names[name]}</button>'
        for name in colours
    )
    mae = content.detectors.errors["mae"]
    order = sorted(content.details.chosen, key=lambda n: -np.nan_to_num(mae[n], nan=-1))
    options = "".join(
        f'<option value="{n}">{escape(content.subject.vdids[n])} – MAE '
        f"{number(content.detectors.errors['mae'][n])}</option>"
        for n in order
    )
    placed = np.isfinite(content.detectors.pos).all(axis=1)
    map_part = (
        f'<div class="controls" id="colours">{buttons}</div>'
        + _figure("map", "Map of the detectors, in kilometres.", _map_caption(content, placed))
        if placed.any()
        else "<p>No detector has a position, so there is no map.</p>"
    )
    opened = len(content.details.chosen)
    sample = (
        f" {opened:,} of {len(placed):,} detectors can be opened: the worst, and others evenly "
        "spread."
        if opened < len(placed)
        else ""
    )
    return _section(
        "Where?",
        f"Click a detector, or choose one, to see its forecasts and who influences them.{sample}",
        f'<div class="split"><div>{map_part}</div><div id="one">'
        '<div class="controls"><h3>Detector <span id="name"></span></h3>'
        f'<select id="choose" aria-label="detector">{options}</select></div><p id="why"></p>',
        _figure("day", "One day of the test.", "What was read, what was forecast so long before, "
                "and what is usual at that time."),
        '<p id="told"></p></div></div>',
        _influences(content),
    )  # fmt: skip


def _map_caption(content: Content, placed: np.ndarray) -> str:
    edges = (
        "grey lines join neighbours in the graph" if content.detectors.edges.size else "no edges"
    )
    circles = (
        "; circles are the learned radii of the pooling around the chosen detector, to scale"
        if content.detectors.radii
        else ""
    )
    lacking = f"; {(~placed).sum():,} without a position are left out" if not placed.all() else ""
    return f"Colour tells what the button says; {edges}{circles}{lacking}."


def _influences(content: Content) -> str:
    if content.details.influences is None:
        return '<p class="note">The network has no pooling: no detector influences another.</p>'
    charts = [
        _figure(f"attention-{k}", f"Attention, {layer}.",
                "Share of what the detector pools that comes from each neighbour, by local hour.")
        for k, layer in enumerate(content.details.layers)
    ]  # fmt: skip
    charts += [
        _figure("gradient-hour", "Gradient, by hour.",
                "How far the forecast moves if all readings of that neighbour in the window are "
                "higher by one unit: exact, mean of the steps."),
        _figure("gradient-step", "Gradient, by horizon.",
                "The same, mean of the hours; it counts what comes by way of other detectors too."),
    ]  # fmt: skip
    some = content.details.gradients < len(content.details.chosen)
    note = (
        f'<p class="note">Gradients were taken for {content.details.gradients:,} of '
        f"{len(content.details.chosen):,} detectors, the worst first.</p>"
        if some
        else ""
    )
    return f'<div class="pair" id="neighbours">{"".join(charts)}</div>{note}'


def _worst(content: Content) -> str:
    found = content.detectors.errors
    known = np.isfinite(found["mae"]) & np.isfinite(found["rival"])
    better = float((found["mae"] < found["rival"])[known].mean()) if known.any() else 0.0
    return _section(
        "Which detectors are worst, and why?",
        f"The network is better than the usual day at {percent(better)} of the detectors.",
        f'<div class="wide">{worst_table(content)}</div>',
        '<div class="pair">',
        _figure("detectors", "Every detector.", "Below the dashed line the network is better than "
                "the detector's usual day."),
        f'<figure><figcaption><b>What is told as unusual.</b></figcaption>{facts(RULES)}</figure>',
        "</div>",
    )  # fmt: skip


def _when(content: Content) -> str:
    return _section(
        "When?",
        "Errors by the local time that is forecast, and by the state of the traffic at that time.",
        _figure("week", "Error by hour and weekday.",
                "Mean absolute error of all horizons; empty where nothing was tested."),
        f'<figure class="wide">{state_table(content)}</figure>',
    )  # fmt: skip


def _pooling(content: Content) -> str:
    names = [name for name in POOLED if name in content.accuracy.errors]
    if not names:
        return _section("What do neighbours add?", "The network has no pooling.")
    given = "" if POOLED[1] in names else "; one can be given by <code>--without_pooling</code>"
    return _section(
        "What do neighbours add?",
        "The same network, tested as if nobody had a neighbour, shows how much it relies on them. "
        f"What pooling is worth is told by a network that was trained without it{given}.",
        '<div class="pair">',
        _figure("pooling", "Gain of pooling.",
                "How many percent the error is below that without pooling, by horizon."),
        f"<figure>{gain_table(content, names)}</figure></div>",
    )  # fmt: skip


def _backtest(content: Content) -> str:
    found = content.backtest
    if found is None:
        return ""
    tested = found["days"] >= LEAST_DAYS
    intervals = f", with intervals of 95 % from {found['days']} days" if tested else ""
    return _section(
        "Would it have done so before?",
        f"A backtest of {len(found['folds'])} folds of {escape(str(found['step']))}, each trained "
        f"on what came before (refit: {escape(str(found['refit']))}), and rivals that are fitted "
        f"anew. Differences are in percent{intervals}.",
        _figure("backtest", "Error in each fold.", "Mean absolute error of all horizons; where the "
                "lines cross, another forecaster was better at that time."),
        f'<figure class="backtest">{backtest_table(content, found)}</figure>',
    )  # fmt: skip


def _training(content: Content) -> str:
    curves = content.origin.training
    if not curves:
        return _section("How was it trained?", "There is no <code>metrics.csv</code> beside the "
                        "checkpoint, so its curves are not known.")  # fmt: skip
    parts = []
    if any(not name.startswith("radius/") for name in curves):
        parts.append(
            _figure(
                "training",
                "Curves of the training.",
                "Where the validation no longer falls, more epochs bring nothing.",
            )
        )
    if any(name.startswith("radius/") for name in curves):
        parts.append(_figure("radius", "Learned radii.", "How far each head of each layer of "
                             "pooling reaches, as the training went on."))  # fmt: skip
    return _section("How was it trained?", "", f'<div class="pair">{"".join(parts)}</div>')


def _protocol(content: Content) -> str:
    lines = escape("\n".join(content.origin.commands))
    return _section(
        "How were the numbers made?",
        "",
        facts(content.origin.protocol),
        f"<figure><figcaption><b>To make it again.</b></figcaption><pre>{lines}</pre></figure>",
    )


def _section(title: str, text: str, *parts: str) -> str:
    told = f"<p>{text}</p>" if text else ""
    return "\n".join([f"<section><h2>{title}</h2>{told}", *filter(None, parts), "</section>"])


def _figure(name: str, title: str, caption: str) -> str:
    return (
        f"<figure><figcaption><b>{title}</b> {escape(caption)}</figcaption>"
        f'<div id="{name}"></div></figure>'
    )


def _windows(content: Content) -> str:
    if content.tested.windows == content.tested.all_windows:
        return f"tested on {content.tested.windows:,} windows"
    return f"tested on one in {content.tested.every} of {content.tested.all_windows:,} windows"


def _part(content: Content) -> str:
    if content.tested.windows == content.tested.all_windows:
        return ""
    return f" on one window in {content.tested.every} (<code>--every 1</code> takes all)"


#: In the order of the page. A section takes the content and gives its HTML.
SECTIONS = (_head, _horizon, _where, _worst, _when, _pooling, _backtest, _training, _protocol)
