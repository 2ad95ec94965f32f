"""The results of a backtest on the page."""

import json

import numpy as np
import pytest

from socialgraph.cli import main
from socialgraph.report.backtest import read_backtest
from tests.conftest import ROOT
from tests.report.test_command import content_of, refused, visible


@pytest.fixture(scope="module")
def backtest(run, tmp_path_factory):
    pytest.importorskip("arch", reason="needs the package arch (extra backtest)")
    folder = tmp_path_factory.mktemp("backtest") / "run"
    main([
        "backtest",
        f"--config={ROOT / 'configs' / 'simulated.yaml'}",
        f"--data.series={run.file}",
        "--data.features=[speed,flow]",
        "--data.targets=[speed]",
        "--data.windows.window=6",
        "--data.windows.horizon=4",
        "--trainer.max_epochs=1",
        "--trainer.limit_train_batches=2",
        "--trainer.enable_progress_bar=false",
        "--folds=2",
        "--step=6h",
        "--refit=never",
        "--rivals",
        "last_value",
        "ridge",
        f"--folder={folder}",
    ])  # fmt: skip
    return folder


@pytest.mark.slow
def test_folds_and_differences_are_told(run, backtest, tmp_path):
    page = tmp_path / "page.html"
    main([
        "report", "--ckpt_path", str(run.ckpt_path), "--backtest", str(backtest), "-o", str(page)
    ])  # fmt: skip
    found = json.loads((backtest / "backtest.json").read_text())
    text, told = visible(page), content_of(page)["figures"]["backtest"]["data"]
    assert [line["name"] for line in told] == ["network", "last value", "ridge"]
    for line, model in zip(told, ("network", "last_value", "ridge"), strict=True):
        errors = found["models"][model]["targets"]["speed"]
        by_fold = [errors["by"]["fold"][str(k)]["mae"] for k in (1, 2)]
        np.testing.assert_allclose(line["y"], by_fold, atol=1e-3)
        assert line["x"] == ["2024-01-03T20:00", "2024-01-04T02:00"]
        assert f"|{errors['mae_all']:.2f}|" in text
    assert "A backtest of 2 folds of 6h" in text
    assert "(refit: never)" in text
    assert "no test: fewer than" in text  # too few days
    assert "intervals of 95" not in text


@pytest.mark.slow
def test_a_backtest_of_something_else_is_refused(run, backtest, tmp_path, capsys):
    own = ["--ckpt_path", run.ckpt_path, "-o", tmp_path / "page.html", "--backtest"]
    assert "backtest.json" in refused(capsys, *own, tmp_path / "none" / "backtest.json")
    (tmp_path / "backtest.json").write_text("[]")
    assert "is no result of a backtest" in refused(capsys, *own, tmp_path)
    report = json.loads((backtest / "backtest.json").read_text())
    report["horizon_minutes"] = [5, 10]
    (tmp_path / "backtest.json").write_text(json.dumps(report))
    said = refused(capsys, *own, tmp_path)
    assert "up to 10 minutes ahead, and the report of" in said
    assert "up to 20" in said
    assert not (tmp_path / "page.html").exists()
    with pytest.raises(ValueError, match="'speed'"):
        read_backtest(backtest, "flow", run.data.spec.__class__(**{
            **vars(run.data.spec), "targets": ["speed", "flow"]
        }))  # fmt: skip


def test_without_a_backtest_there_is_no_such_section(page):
    assert "backtest" not in visible(page)
    assert "backtest" not in content_of(page)["figures"]
