"""``socialgraph report`` as typed, and what stands on its page."""

import hashlib
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from socialgraph.cli import main
from socialgraph.data import TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.nn import SocialGraphNet
from socialgraph.report import errors, write_report
from socialgraph.report.collect import collect
from socialgraph.report.page import render
from socialgraph.report.scoring import score
from socialgraph.report.training import metrics_file, read_training
from socialgraph.schema import read, write
from tests.conftest import ROOT, make_series
from tests.report.conftest import EVIL_ID, EVIL_NAME, EVIL_UNIT, fit

ALONE = ["--model", str(ROOT / "configs" / "model" / "stacked_alone.yaml")]


def refused(capsys, *words) -> str:
    with pytest.raises(SystemExit) as end:
        main(["report", *map(str, words)])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def content_of(path) -> dict:
    found = re.search(
        r'<script id="content" type="application/json">(.*?)</script>', path.read_text()
    )
    return json.loads(found[1])


def visible(path) -> str:
    """The page without its scripts and style."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", path.read_text(), flags=re.S)
    return re.sub(r"<[^>]*>", "|", text)


def test_the_page_shows_the_errors_of_the_command_test(run, page):
    main(["test", f"--ckpt_path={run.ckpt_path}", "--trainer.enable_progress_bar=false"])
    speed = json.loads(run.ckpt_path.with_suffix(".test.json").read_text())["targets"]["speed"]
    text = visible(page)
    for name, label in (("mae", "MAE"), ("rmse", "RMSE"), ("mape", "MAPE")):
        row = re.search(rf"\|{label} \[[^|]*\|([-\d.|]+)", text)[1]
        numbers = [float(cell) for cell in row.split("|") if cell]
        assert numbers == [round(v, 2) for v in (*speed[name], speed[f"{name}_all"])], name
    line = content_of(page)["figures"]["errors"]["data"][0]
    assert line["name"] == "network"
    assert line["x"] == [5, 10, 15, 20]
    assert line["y"] == pytest.approx(speed["mae"], abs=1e-3)


def test_what_comes_from_the_file_is_text(run, page):
    text = page.read_text()
    assert text.index("Content-Security-Policy") < text.index("<style>")
    for evil in (EVIL_ID, EVIL_NAME, EVIL_UNIT):
        assert evil not in text
    assert content_of(page)["vdids"][0] == EVIL_ID
    assert "&lt;img src=x onerror=hit=1&gt;&lt;b&gt;&amp;amp;%{x}" in text
    assert "://" not in re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert page.stat().st_size < 6e6


def test_the_stuck_and_the_silent_are_told(page):
    text = visible(page)
    assert re.search(r"\|VD-4\|.*?\|stuck: \d+\u00a0% of its readings", text)
    assert re.search(r"\|VD-5\|[^V]*silent: 5\d\u00a0% of its readings are missing", text)


def test_details_are_those_of_the_detector(run, page):
    told, series = content_of(page), run.data.series
    assert set(told["details"]) == {str(node) for node in range(6)}
    day, detail = told["day"], told["details"]["1"]
    assert day["leads"] == ["5 min", "20 min"]
    utc = [f"{t}" for t in series.timestamps.astype("datetime64[m]")]
    first = utc.index(run.scores.times[0, 0].astype("datetime64[m]").astype(str))
    assert day["time"][0] == "2024-01-03T18:05"  # Taipei is 8 hours ahead
    assert utc[first] == "2024-01-03T10:05"
    assert len({time[:10] for time in day["time"]}) == 1
    truth = series.values[first : first + len(day["time"]), 1, 0]
    known = [(a, b) for a, b in zip(detail["truth"], truth, strict=True) if a is not None]
    assert all(a == pytest.approx(float(b), abs=0.05) for a, b in known)
    forecast = run.scores.forecasts["network"][:, 3, 1]
    assert detail["forecast"][1][3:20] == pytest.approx(forecast[:17].tolist(), abs=0.05)
    assert detail["forecast"][1][:3] == [None] * 3  # nothing was forecast so long before
    assert len(detail["neighbours"]["attention"]) == 2


def test_the_map_has_the_graph_and_the_radii_to_scale(run, page):
    told = content_of(page)["map"]
    pairs = {tuple(sorted(pair)) for pair in run.data.graph_tensors["edge_index"].T.tolist()}
    assert {tuple(pair) for pair in told["edges"]} == pairs
    assert len(told["edges"]) == len(pairs)
    # Detectors are 0.003 degrees of latitude apart, which is 332 m.
    assert told["y"][3] - told["y"][2] == pytest.approx(0.332, abs=0.002)
    radii = [pooling.radius.tolist() for pooling in run.forecaster.network.poolings]
    for layer, own in zip(told["layers"], radii, strict=True):
        assert layer == pytest.approx(own)
    assert told["layer_names"] == ["layer 1", "layer 2"]


def row_of(page, label) -> list[str]:
    """The cells of the row of a table."""
    return row_in(visible(page), label)


def row_in(text, label) -> list[str]:
    return re.search(rf"\|{label}\|((?:[^|\n]*\|)+?)\|\|", text)[1].strip("|").split("||")


def test_tables_hold_the_numbers_of_their_heads(run, page):
    scores = run.scores
    own = errors.mae(scores, "network")
    for name in ("ridge", "usual day", "last value", "pooling off"):
        *_, over_all, gain = row_of(page, name)
        other = errors.mae(scores, name)
        assert float(over_all) == round(other, 2)
        assert float(gain.replace("−", "-")) == round(100 * (1 - own / other), 1)
    train = run.data.series.values[: run.data.train_steps, :, 0]
    state = errors.traffic_state(scores, train, "speed", "")
    known = ~np.isnan(scores.truth)
    order = ("network", "ridge", "usual day", "last value")
    by_state = visible(page).partition("Error by state")[2]
    rows = {name: row_in(by_state, name) for name in ("share of the targets", *order, "gain %")}
    assert row_in(by_state, "at the target") == list(state.names)
    for place, kept in enumerate((state.dense, known & ~state.dense)):
        share = 100 * kept.sum() / known.sum()
        assert rows["share of the targets"][place] == f"{share:.1f}\u00a0%"
        found = [errors.mae(scores, each, kept) for each in order]
        assert [float(rows[each][place]) for each in order] == [round(mae, 2) for mae in found]
        wanted = round(100 * (1 - found[0] / min(found[1:])), 1)
        assert float(rows["gain %"][place].replace("−", "-")) == wanted
    worst = errors.by_detector(scores)
    cells = row_of(page, "VD-4")[:4]
    told = [worst[name][4] for name in ("mae", "rival", "bias")]
    numbers = [float(cell.replace("−", "-")) for cell in cells[:3]]
    assert numbers == [round(float(value), 2) for value in told]
    assert cells[3] == f"{100 * worst['missing'][4]:.1f}\u00a0%"


def test_figures_show_what_their_axes_say(run, page):
    told, scores = content_of(page)["figures"], run.scores
    week = errors.by_hour_of_week(scores, "Asia/Taipei")
    (heat,) = told["week"]["data"]
    assert heat["y"] == ["Wednesday", "Thursday"]
    np.testing.assert_allclose(np.array(heat["z"], dtype=float), week[2:4], atol=0.01)
    found = errors.by_detector(scores)
    points = told["detectors"]["data"][1]
    assert points["x"] == pytest.approx(found["rival"].tolist(), abs=0.01)
    assert points["y"] == pytest.approx(found["mae"].tolist(), abs=0.01)
    curves = read_training(metrics_file(run.ckpt_path))
    line = told["radius"]["data"][0]
    metres = curves["radius/layer_1_head_1"]["value"]
    assert line["y"] == pytest.approx([m / 1000 for m in metres], abs=1e-3)
    mae = next(line for line in told["training"]["data"] if line["name"] == "MAE of validation")
    assert mae["y"] == pytest.approx(curves["val/mae"]["value"], abs=1e-2)
    gains = {line["name"]: line["y"] for line in told["gains"]["data"]}
    ratio = [
        errors.mae(scores, name, np.broadcast_to(np.arange(4)[:, None] == 3, scores.truth.shape))
        for name in ("network", "ridge")
    ]
    assert gains["ridge"][3] == pytest.approx(100 * (1 - ratio[0] / ratio[1]), abs=0.05)


def test_the_protocol_tells_how_to_make_it_again(run, page):
    text = visible(page)
    assert hashlib.sha256(run.ckpt_path.read_bytes()).hexdigest()[:16] in text
    assert "ShareSplit(train = 0.7, val = 0.1, test = 0.2, border = split_first)" in text
    assert f"torch {torch.__version__.partition('+')[0]}" in text
    config = run.ckpt_path.parents[1] / "config.yaml"
    assert config.is_file()
    for command in (
        f"socialgraph fit --config {config} --overwrite",
        f"socialgraph test --ckpt_path {run.ckpt_path} --data.series {run.file}",
        f"socialgraph report --ckpt_path {run.ckpt_path} -o {page}",
    ):
        assert command in text


@pytest.mark.slow
def test_a_training_without_pooling_is_compared(run, tmp_path, capsys):
    alone = fit(run.file, tmp_path, "alone", *ALONE)
    page = tmp_path / "page.html"
    words = ["--ckpt_path", str(run.ckpt_path), "--without_pooling", str(alone), "-o", str(page)]
    main(["report", *words])
    main(["test", f"--ckpt_path={alone}", "--trainer.enable_progress_bar=false"])
    mae = json.loads(alone.with_suffix(".test.json").read_text())["targets"]["speed"]["mae_all"]
    row = re.search(r"\|trained without pooling\|([-\d.|]+)", visible(page))[1]
    assert [float(c) for c in row.split("|") if c][-1] == round(mae, 2)
    names = [line["name"] for line in content_of(page)["figures"]["pooling"]["data"]]
    assert names == ["pooling off", "trained without pooling"]
    # A page of the network without pooling says so, and is refused nothing else.
    main(["report", "--ckpt_path", str(alone), "-o", str(page)])
    assert "The network has no pooling." in visible(page)
    assert "pooling" not in content_of(page)["figures"]
    said = refused(capsys, "--ckpt_path", alone, "--without_pooling", run.ckpt_path)
    assert "that of" in said
    assert "pools" in said
    other = fit(run.file, tmp_path, "other", *ALONE, "--data.windows.horizon=3")
    said = refused(capsys, "--ckpt_path", run.ckpt_path, "--without_pooling", other)
    assert "horizon = 3" in said


def test_a_slip_is_one_sentence_and_leaves_the_earlier_page(run, tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("earlier")
    own = ["--ckpt_path", run.ckpt_path, "-o", page]
    assert "'--target' as one of ['speed'] (got 'flow')" in refused(
        capsys, *own, "--target", "flow"
    )
    assert "--details and --every of 1 or more" in refused(capsys, *own, "--every", "0")
    assert "No checkpoint" in refused(capsys, "--ckpt_path", tmp_path / "none.ckpt", "-o", page)
    said = refused(capsys, *own, "--data.series", tmp_path / "none.h5")
    assert "none.h5" in said
    assert page.read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_without_plotly_the_extra_is_named(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    said = refused(capsys, "--ckpt_path", run.ckpt_path, "-o", tmp_path / "page.html")
    assert "pip install 'socialgraph[report]'" in said


def test_a_sample_says_so(run, tmp_path):
    page = tmp_path / "page.html"
    write_report(page, run.ckpt_path, every=3, most_details=2)
    text, told = visible(page), content_of(page)
    assert "tested on one in 3 of 164 windows" in text
    assert "one in 3 of 164 (" in text  # in the protocol
    assert "2 of 6 detectors can be opened" in text
    assert len(told["details"]) == 2


@pytest.mark.slow
def test_a_series_without_positions_has_no_map(run, tmp_path):
    write(tmp_path / "bare.h5", replace(read(run.file), lat=None, lon=None))
    alone = fit(tmp_path / "bare.h5", tmp_path, "bare", *ALONE)
    main(["report", "--ckpt_path", str(alone), "-o", str(tmp_path / "page.html")])
    assert content_of(tmp_path / "page.html")["map"] is None
    assert "there is no map" in visible(tmp_path / "page.html")


def test_intervals_are_told_where_the_forecasts_have_them(run, tmp_path):
    own = run.scores.forecasts["network"]
    scores = replace(run.scores, low=own - 5, high=own + 5, nominal=0.9)
    content = collect(run.forecaster, run.data, scores, "speed", run.ckpt_path)
    (tmp_path / "page.html").write_text(render(content, ""))
    text, told = visible(tmp_path / "page.html"), content_of(tmp_path / "page.html")
    known = ~np.isnan(scores.truth)
    inside = (np.abs(scores.truth - own) <= 5)[known].mean()
    assert f"|{100 * inside:.1f}|" in text
    assert "of the truth inside the 90\u00a0% interval" in text
    line, wanted = told["figures"]["coverage"]["data"]
    assert line["y"][0] == pytest.approx(
        100 * (np.abs(scores.truth - own) <= 5)[:, 0][known[:, 0]].mean(), abs=0.01
    )
    assert wanted["y"] == [90.0] * 4
    detail = told["details"]["1"]
    pairs = [p for p in zip(detail["low"], detail["high"], strict=True) if None not in p]
    assert len(pairs) > 50
    assert all(high - low == pytest.approx(10, abs=0.1) for low, high in pairs)
    share = (np.abs(scores.truth - own) <= 5)[..., 1][known[..., 1]].mean()
    assert told["colours"]["coverage"]["values"][1] == pytest.approx(share, abs=1e-4)
    assert 'data-colour="coverage"' in (tmp_path / "page.html").read_text()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_one_detector_without_a_target_makes_a_page(tmp_path):
    series = make_series(nodes=1)
    series.values[230:, 0, 0] = np.nan
    data = TrafficDataModule(series, targets=["speed"], windows=Windows(6, 1))
    data.setup("test")
    forecaster = Forecaster(SocialGraphNet())
    forecaster.adopt(data)
    scores = score(forecaster.eval(), data, "speed")
    (tmp_path / "some.ckpt").write_bytes(b"")
    content = collect(forecaster, data, scores, "speed", tmp_path / "some.ckpt")
    assert content.accuracy.errors["network"]["mae_all"] is None
    assert content.detectors.worst[0]["why"] == ["silent: 100\u00a0% of its readings are missing"]
    (tmp_path / "page.html").write_text(render(content, ""))
    steps = len(content.details.day["time"])
    assert content_of(tmp_path / "page.html")["details"]["0"]["truth"] == [None] * steps
    assert "|–|" in visible(tmp_path / "page.html")
