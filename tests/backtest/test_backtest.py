"""A backtest as it is typed: two folds of one tiny network, shared by the tests."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet
import pytest
import torch
import yaml

from benchmarks.backtest import shorten
from benchmarks.environment import describe_environment
from benchmarks.plots import PLOTS
from benchmarks.tables.backtest import backtest as table_of
from benchmarks.tables.backtest import backtest_ways as ways_of
from socialgraph import schema
from socialgraph.backtest import ets
from socialgraph.backtest.fold import TABLES
from socialgraph.backtest.summary import compare_runs
from socialgraph.cli import main
from tests.conftest import ROOT, make_series

pytest.importorskip("arch", reason="needs the package arch (extra backtest)")
pytestmark = pytest.mark.slow

STEPS = 288 * 5 + 10
RIVALS = ["last_value", "last_week", "daily_profile", "ridge"]
DAY = np.timedelta64(1, "D")


def words(file, folder, *more, rivals=RIVALS):
    encoder = "--model.network.init_args.encoder.init_args.hidden_channels=8"
    return [
        *("backtest", f"--config={ROOT / 'configs' / 'simulated.yaml'}", "--folds", "2"),
        *("--step", "1d", "--val", "6h", "--rivals", *rivals, f"--folder={folder}"),
        *(f"--model={ROOT / 'configs' / 'model' / 'mean.yaml'}", f"--data.series={file}", encoder),
        *("--data.features=[speed,flow]", "--data.windows={window: 6, horizon: 4}"),
        *("--trainer.max_epochs=1", "--trainer.limit_train_batches=10", *more),
    ]


def series(wild=slice(0, 0)):
    made = make_series(steps=STEPS)
    made.values[wild] = 5000.0
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a whole backtest, with its data."""
    folder = tmp_path_factory.mktemp("backtest")
    schema.write(folder / "a.h5", series())
    main(words(folder / "a.h5", folder / "run"))
    return folder / "run"


@pytest.fixture(scope="module")
def report(run):
    return json.loads((run / "backtest.json").read_text())


def weights(fold):
    checkpoint = torch.load(fold / "checkpoints" / "best.ckpt", weights_only=True)
    held = {**checkpoint["state_dict"], "loc": torch.tensor(checkpoint["spec"]["loc"])}
    return {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}


def equal(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def tables(run):
    return [pyarrow.parquet.read_table(f / n) for f in sorted(run.glob("fold_*")) for n in TABLES]


def test_the_errors_of_a_fold_are_those_of_socialgraph_test(run, report, tmp_path):
    path = tmp_path / "test.json"
    checkpoint = run / "fold_01" / "checkpoints" / "best.ckpt"
    main(["test", f"--ckpt_path={checkpoint}", f"--errors.path={path}"])
    tested = json.loads(path.read_text())
    speed = tested["targets"]["speed"]
    assert tested["windows"] == report["folds"][1]["test_windows"] == 288 - 4 + 1
    own = report["models"]["network"]["targets"]["speed"]["by"]["fold"]["2"]
    assert own["mae"] == pytest.approx(speed["mae_all"], rel=1e-6)
    assert own["rmse"] == pytest.approx(speed["rmse_all"], rel=1e-6)
    assert own["count"] == sum(speed["count"])
    for name in ("coverage", "width", "interval_score", "crps"):
        assert own[name] == pytest.approx(speed["intervals"][f"{name}_all"], rel=1e-5)
    assert report["folds"][1]["levels"] == speed["intervals"]["levels"]
    table = pyarrow.parquet.read_table(run / "fold_01" / TABLES[0])
    table = table.filter(pc.equal(table["model"].cast("string"), "network"))
    sums = table.group_by("step").aggregate([(n, "sum") for n in ("absolute", "count")])
    sums = sums.sort_by("step")
    mae = sums["absolute_sum"].to_numpy() / sums["count_sum"].to_numpy()
    np.testing.assert_allclose(mae, speed["mae"], rtol=1e-6)
    assert tested["protocol"]["data"][0]["sha256"] == report["protocol"]["data"][0]["sha256"]


def test_the_errors_of_the_last_value_are_those_by_hand(report):
    values = series().values[..., 0].astype(float)
    last = values.copy()
    for row in range(1, STEPS):
        last[row] = np.where(np.isnan(last[row]), last[row - 1], last[row])
    # The last reading of the window of 6; the series begins at 8:00 in Taipei.
    origin = STEPS - (STEPS + 96) % 288 - 2 * 288
    issued = [row - 1 for day in (0, 1) for row in origin + 288 * day + np.arange(285)]
    wrong = np.stack([np.abs(values[i + 1 : i + 5] - last[i]) for i in issued])  # [W, P, N]
    found = report["models"]["last_value"]["targets"]["speed"]
    np.testing.assert_allclose(found["mae"], np.nanmean(wrong, axis=(0, 2)), rtol=1e-4)
    by_detector = list(found["by"]["detector"].values())
    np.testing.assert_allclose(
        [d["mae"] for d in by_detector], np.nanmean(wrong, axis=(0, 1)), rtol=1e-4
    )
    hour = ((np.array(issued)[:, None] + 1 + np.arange(4) + 96) % 288) // 12
    for name, part in found["by"]["hour"].items():
        assert part["mae"] == pytest.approx(np.nanmean(wrong[hour == int(name)]), rel=1e-4)
    assert set(found["by"]["weekday"]) == {"Thursday", "Friday"}  # 4 and 5 January 2024


def test_rivals_are_fitted_to_what_came_before_each_fold(report):
    values = series().values[..., 0].astype(float)
    origin = STEPS - (STEPS + 96) % 288 - 2 * 288
    found = report["models"]["daily_profile"]["targets"]["speed"]["by"]["fold"]
    for fold in (0, 1):
        first = origin + 288 * fold
        known = values[: first - 6 - 72]  # a window and six hours of validation before it
        slots = np.arange(len(known)) % 288
        usual = np.stack([np.nanmean(known[slots == slot], axis=0) for slot in range(288)])
        targets = first + np.arange(285)[:, None] + np.arange(4)
        wrong = np.abs(values[targets] - usual[targets % 288])
        assert found[str(fold + 1)]["mae"] == pytest.approx(np.nanmean(wrong), rel=1e-4)
        rmse = np.sqrt(np.nanmean(wrong**2))
        assert found[str(fold + 1)]["rmse"] == pytest.approx(rmse, rel=1e-4)


def test_every_group_sums_to_all_of_it(report):
    for model in report["models"].values():
        for target in model["targets"].values():
            total = sum(target["count"])
            for group, parts in target["by"].items():
                assert sum(part["count"] for part in parts.values()) == total, group
                mae = sum(p["mae"] * p["count"] for p in parts.values()) / total
                assert mae == pytest.approx(target["mae_all"], rel=1e-9)
                if "intervals" in target:
                    held = sum(p["coverage"] * p["count"] for p in parts.values()) / total
                    assert held == pytest.approx(target["intervals"]["coverage"], rel=1e-9)
    assert "intervals" in report["models"]["network"]["targets"]["speed"]
    assert "intervals" not in report["models"]["ridge"]["targets"]["speed"]
    tests = report["tests"]["rivals"]["ridge"]["speed"]
    own, rival = (report["models"][m]["targets"]["speed"] for m in ("network", "ridge"))
    assert tests["all"]["difference"] == pytest.approx(own["mae_all"] - rival["mae_all"])
    assert tests["all"]["interval"] is None  # of two days
    for hour, test in tests["by"]["hour"].items():
        own_hour, rival_hour = (m["by"]["hour"][hour]["mae"] for m in (own, rival))
        assert test["difference"] == pytest.approx(own_hour - rival_hour)


def test_no_training_knows_what_comes_after_its_fold(run, tmp_path):
    """What is planted behind the training part of the first fold reaches the second alone."""
    origin = STEPS - (STEPS + 96) % 288 - 2 * 288
    for name, first in (("a", origin - 6), ("b", origin + 288 - 6)):
        schema.write(tmp_path / f"{name}.h5", series(slice(first, first + 200)))
        main(words(tmp_path / f"{name}.h5", tmp_path / name, rivals=[]))
    plain, early, late = run, tmp_path / "a", tmp_path / "b"
    assert equal(weights(plain / "fold_00"), weights(early / "fold_00"))
    assert not equal(weights(plain / "fold_01"), weights(early / "fold_01"))
    assert equal(weights(plain / "fold_01"), weights(late / "fold_01"))
    wrong = [json.loads((r / "backtest.json").read_text()) for r in (plain, late)]
    maes = [r["models"]["network"]["targets"]["speed"]["by"]["fold"]["2"]["mae"] for r in wrong]
    assert maes[1] > 10 * maes[0]


def test_a_run_that_is_killed_goes_on_and_ends_the_same(run, tmp_path, capsys):
    shutil.copy(run.parent / "a.h5", tmp_path / "a.h5")
    command = [sys.executable, "-m", "socialgraph", *words(run.parent / "a.h5", tmp_path / "run")]
    # Started with the first fold whole, so that it is killed in the second one.
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("fold_01", "back*"))
    record = tmp_path / "run" / "fold_00" / "fold.json"
    written = record.stat().st_mtime_ns
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    second = tmp_path / "run" / "fold_01"
    end = time.monotonic() + 120
    while not any(second.glob("checkpoints/*.ckpt")) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (second / "fold.json").exists()
    assert not (tmp_path / "run" / "backtest.json").exists()
    (second / "left.txt").write_text("by half a fold")
    capsys.readouterr()
    main(words(run.parent / "a.h5", tmp_path / "run"))
    said = capsys.readouterr()
    assert "(kept)" in said.out.splitlines()[1]
    assert "(kept)" not in said.out.splitlines()[2]
    assert "\r" not in said.out + said.err
    assert record.stat().st_mtime_ns == written
    assert not (second / "left.txt").exists()
    assert equal(weights(second), weights(run / "fold_01"))
    for ours, whole in zip(tables(tmp_path / "run"), tables(run), strict=True):
        assert ours.equals(whole)


def test_other_options_and_readings_do_not_go_on_with_a_run(run, tmp_path, capsys):
    for more, told in (
        (["--refit", "never"], "options.refit: every | never"),
        (["--trainer.max_epochs=2"], "config.trainer.max_epochs: 1 | 2"),
    ):
        with pytest.raises(SystemExit) as end:
            main([*words(run.parent / "a.h5", run), *more])
        assert end.value.code == 2
        assert told in capsys.readouterr().err
    other = tmp_path / "a.h5"
    changed = series()
    changed.values[3, 2, 1] += 1  # of a feature that is no target
    schema.write(other, changed)
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    with pytest.raises(SystemExit):
        main(words(other, moved))
    assert "data.sha256" in capsys.readouterr().err
    assert len(tables(run)) == 4
    with pytest.raises(SystemExit):
        main(words(run.parent / "a.h5", run.parent))
    assert "holds something else" in capsys.readouterr().err


def test_a_warm_refit_starts_from_the_fold_before(run, tmp_path):
    more = ("--refit", "warm", "--refit_epochs", "2", "--trainer.limit_train_batches=2")
    main(words(run.parent / "a.h5", tmp_path, *more, rivals=[]))
    first, second = (
        yaml.safe_load((tmp_path / f / "config.yaml").read_text()) for f in ("fold_00", "fold_01")
    )
    assert (first["model"]["init_from"], first["trainer"]["max_epochs"]) == (None, 1)
    assert Path(second["model"]["init_from"]) == tmp_path / "fold_00" / "checkpoints" / "best.ckpt"
    assert second["trainer"]["max_epochs"] == 2


def test_without_a_refit_the_first_forecaster_stays(run, tmp_path, monkeypatch, capsys):
    """And a rival that forecasts some detectors is compared on these."""
    rivals = ["last_value", *(["ets"] if ets.is_installed() else [])]
    monkeypatch.setattr(ets, "_MOST_DETECTORS", 3)
    main(words(run.parent / "a.h5", tmp_path, "--refit", "never", rivals=rivals))
    said = capsys.readouterr().out
    assert "no test: fewer than 8 days" in said
    assert "in blocks of" not in said
    report = json.loads((tmp_path / "backtest.json").read_text())
    assert [f["checkpoint"] for f in report["folds"]] == ["fold_00/checkpoints/best.ckpt"] * 2
    assert equal(weights(tmp_path / "fold_00"), weights(run / "fold_00"))
    assert not (tmp_path / "fold_01" / "checkpoints").exists()
    other, first = (
        json.loads((f / "backtest.json").read_text())["models"]["network"]["targets"]["speed"]
        for f in (tmp_path, run)
    )
    test = compare_runs(tmp_path, run)["speed"]
    assert test["difference"] == pytest.approx(other["mae_all"] - first["mae_all"])
    assert compare_runs(run, run)["speed"]["difference"] == 0
    if "ets" not in rivals:
        pytest.skip("the rest needs statsforecast (extra backtest)")
    found = report["models"]["ets"]
    assert (
        found["sample"]
        == ["VD-0", "VD-2", "VD-5"]
        == list(found["targets"]["speed"]["by"]["detector"])
    )
    assert "on 3 detectors" in said
    own = report["models"]["network"]["targets"]["speed"]["by"]["detector"]
    parts = [own[vdid] for vdid in found["sample"]]
    mae = sum(p["mae"] * p["count"] for p in parts) / sum(p["count"] for p in parts)
    tests = report["tests"]["rivals"]["ets"]["speed"]
    assert tests["all"]["mae"] == pytest.approx(mae)
    assert tests["all"]["rival_mae"] == pytest.approx(found["targets"]["speed"]["mae_all"])
    hours = tests["by"]["hour"]
    for hour, part in found["targets"]["speed"]["by"]["hour"].items():
        assert hours[hour]["rival_mae"] == pytest.approx(part["mae"])
    assert tests["by"]["state"]["free"]["mae"] != pytest.approx(
        report["models"]["network"]["targets"]["speed"]["by"]["state"]["free"]["mae"]
    )


def test_the_table_and_the_picture_of_a_benchmark(run, report, tmp_path):
    result = {"way": "every", **shorten(report)}
    again = {"way": "never", **shorten(report), "than_first": compare_runs(run, run)}
    whole = {
        "configuration": {"step": "1d"},
        "command": "python -m benchmarks.backtest",
        "environment": describe_environment(),
        "results": [result, again],
    }
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in table_of(whole).splitlines()]
    rows = {line[0]: line for line in lines if len(line) > 1}
    ridge = report["models"]["ridge"]["targets"]["speed"]
    assert rows["ridge"][1] == f"{ridge['mae_all']:.2f}"
    difference = report["tests"]["rivals"]["ridge"]["speed"]["all"]["difference"]
    share = 100 * difference / ridge["mae_all"]
    assert rows["ridge"][5] == f"{share:+.1f} % (too few days)"
    assert rows["network, trained once"][5] == "+0.0 % (too few days)"
    assert rows["ridge"][6] == "0 / 0 of 2"
    PLOTS["backtest"](whole, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in ways_of(whole).splitlines()]
    rows = {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines if len(line) > 1}
    own = report["models"]["network"]["targets"]["speed"]
    row = rows["network, trained once"]
    assert row["coverage, %"] == f"{100 * own['intervals']['coverage']:.1f}"
    assert row["coverage, free"] == f"{100 * own['by']['state']['free']['coverage']:.1f}"
    assert row["first network against it, MAE"] == "+0.0 % (too few days)"
    assert rows["ridge"]["coverage, %"] == ""


def test_two_backtests_of_one_protocol_compare(run, tmp_path, capsys):
    shutil.copy(run / "backtest.json", tmp_path / "a.json")
    changed = json.loads((run / "backtest.json").read_text())
    changed["models"]["last_week"]["sample"] = ["VD-0"]  # of other readings than the rest
    (tmp_path / "b.json").write_text(json.dumps(changed))
    capsys.readouterr()
    main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    said = capsys.readouterr().out
    assert said.count("a.json: ridge") == 3  # mae, rmse, mape
    assert said.count("b.json: ridge") == said.count("a.json: last_week") == 3
    assert "b.json: last_week" not in said
    changed["protocol"]["folds"][0]["tested_from"] = "2024-01-01T00:00:00+08:00"
    (tmp_path / "b.json").write_text(json.dumps(changed))
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert "folds[0].tested_from" in capsys.readouterr().err


def test_backtests_of_other_windows_are_paired_if_that_is_free(run, tmp_path):
    shutil.copytree(run, tmp_path / "b", ignore=shutil.ignore_patterns("checkpoints"))
    other = tmp_path / "b" / "backtest.json"
    changed = json.loads(other.read_text())
    changed["protocol"]["window"] = 12
    changed["protocol"]["folds"][0]["known_to"] = "2024-01-01T00:00:00+08:00"
    other.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=r"protocols: window: 6 \| 12; folds\[0\].known_to"):
        compare_runs(run, tmp_path / "b")
    found = compare_runs(run, tmp_path / "b", free=["window", "known_to"])
    assert found["speed"]["difference"] == 0
    path = tmp_path / "b" / "fold_01" / TABLES[0]
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.slice(1), path)
    with pytest.raises(ValueError, match="scored other readings of 'speed'"):
        compare_runs(run, tmp_path / "b", free=["window", "known_to"])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--step", "1 fortnight"], "such as 6h, 1d"),
        (["--folds", "9"], "to train on before the first of 9 folds"),
        (["--data.windows={windw: 6}"], "windw"),
        (["--ckpt_path=a.ckpt"], "ckpt_path"),
        (["--trainer.devices=2"], "one process"),
        (["--refit_epochs", "2"], "with --refit warm"),
        (["--refit", "warm", "--refit_epochs", "0"], "--refit_epochs of 1 or more"),
        (["--val", "1h", "--data.windows={window: 9, horizon: 9}"], "no window without a gap"),
    ],
)
def test_a_slip_of_the_pen_ends_before_anything_is_trained(run, tmp_path, capsys, more, told):
    with pytest.raises(SystemExit) as end:
        main([*words(run.parent / "a.h5", tmp_path / "run"), *more])
    assert end.value.code == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_folds_in_a_gap_are_refused_before_anything_is_trained(tmp_path, capsys):
    made = series()
    away = slice(288 * 3 + 5, 288 * 4 + 20)  # more than a local day
    values, times = (np.delete(part, away, axis=0) for part in (made.values, made.timestamps))
    schema.write(tmp_path / "a.h5", replace(made, values=values, timestamps=times))
    with pytest.raises(SystemExit):
        main(words(tmp_path / "a.h5", tmp_path / "run"))
    assert "none lies in a gap" in capsys.readouterr().err
    assert not (tmp_path / "run" / "fold_00").exists()


def test_other_weights_to_start_from_do_not_go_on_with_a_run(run, tmp_path, capsys):
    start = tmp_path / "start.ckpt"
    shutil.copy(run / "fold_00" / "checkpoints" / "best.ckpt", start)
    more = ("--model.init_from", str(start))
    main(words(run.parent / "a.h5", tmp_path / "run", *more, rivals=[]))
    shutil.copy(run / "fold_01" / "checkpoints" / "best.ckpt", start)
    with pytest.raises(SystemExit):
        main(words(run.parent / "a.h5", tmp_path / "run", *more, rivals=[]))
    assert "init_from" in capsys.readouterr().err


def test_a_missing_package_is_named(run, tmp_path, capsys, monkeypatch):
    for package, rivals in (("arch", []), ("statsforecast", ["ets"])):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(SystemExit):
                main(words(run.parent / "a.h5", tmp_path / "run", rivals=rivals))
        said = capsys.readouterr().err
        assert package in said
        assert "socialgraph[backtest]" in said
