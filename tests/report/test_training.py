"""The curves of a training."""

import csv

from socialgraph.report.training import metrics_file, read_training


def test_curves_are_read_and_what_is_broken_is_left_out(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "epoch,radius/layer_1_head_1,step,train/loss,val/mae,<b>\n"
        "0,,4,5.0,,\n"
        "0,,9,4.0,,\n"
        "0,900.5,9,,3.5,\n"
        "1,,14,nan,,\n"
        "1,,19,3.0,,1\n"
        "1,800,19,,2.5,\n"
        "x,,24,1.0,,\n"
        "2,,2"
    )
    found = read_training(tmp_path / "metrics.csv")
    assert found == {
        "radius/layer_1_head_1": {"epoch": [1.0, 2.0], "value": [900.5, 800.0]},
        "train/loss": {"epoch": [0.5, 1.0, 2.0], "value": [5.0, 4.0, 3.0]},
        "val/mae": {"epoch": [1.0, 2.0], "value": [3.5, 2.5]},
    }


def test_radii_are_logged_after_each_epoch(run):
    path = metrics_file(run.ckpt_path)
    assert path == run.ckpt_path.parents[1] / "metrics.csv"
    found = read_training(path)
    assert len(found["val/mae"]["value"]) == 2
    names = [f"radius/layer_{layer}_head_{head}" for layer in (1, 2) for head in (1, 2, 3, 4)]
    assert [name for name in found if name.startswith("radius")] == names
    for name in names:
        assert found[name]["epoch"] == [1.0, 2.0]
        assert all(300 < radius < 500 for radius in found[name]["value"])
        assert found[name]["value"][0] != 400.0  # where it started
    with open(path, newline="") as file:
        assert set(names) <= set(csv.DictReader(file).fieldnames)


def test_a_checkpoint_may_be_alone(tmp_path):
    assert metrics_file(tmp_path / "a" / "best.ckpt") is None
