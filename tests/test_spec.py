"""The record of what a forecaster is made for: kept whole, and compared."""

import dataclasses

import numpy as np
import pytest
import torch

from socialgraph.data import ShareSplit, TrafficDataModule, Windows
from socialgraph.graph import RadiusGraph, RoadGraph
from socialgraph.series import RoadDistances
from socialgraph.spec import DataSpec, SpecError
from tests.conftest import make_series


def make_spec(series=None, **options):
    data = TrafficDataModule(series or make_series(), windows=Windows(6, 3), **options)
    data.setup()
    return data.fitted_spec()


def with_edges():
    index = np.array([[0, 1, 4], [1, 0, 2]])
    return dataclasses.replace(
        make_series(), edges=RoadDistances(index, np.array([350.5, 900.0, 10.0]))
    )


@pytest.mark.parametrize("case", ["radius", "road", "alone"])
def test_a_record_is_kept_whole_as_plain_values(tmp_path, case):
    spec = {
        "radius": lambda: make_spec(graph=RadiusGraph(700.0, 2), scaling="robust"),
        "road": lambda: make_spec(with_edges(), graph=RoadGraph()),
        "alone": lambda: make_spec(graph=None, split=ShareSplit(1.0, 0.0, 0.0)),
    }[case]()
    torch.save(spec.to_dict(), tmp_path / "spec.pt")
    back = DataSpec.from_dict(torch.load(tmp_path / "spec.pt", weights_only=True))
    for field in dataclasses.fields(DataSpec):
        ours, theirs = (getattr(s, field.name) for s in (spec, back))
        if field.name == "edges" and ours is not None:
            np.testing.assert_array_equal(ours.edge_index, theirs.edge_index)
            np.testing.assert_array_equal(ours.distance, theirs.distance)
        elif field.name in ("lat", "lon"):
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs, field.name
    assert back.max_radius == {"radius": 700, "road": 2000, "alone": None}[case]


def test_an_entry_too_few_or_too_many_is_named():
    kept = make_spec().to_dict()
    del kept["units"]
    with pytest.raises(SpecError, match=r"\['units'\] are absent or unknown"):
        DataSpec.from_dict(kept)
    with pytest.raises(SpecError, match=r"\['colour'\]"):
        DataSpec.from_dict(make_spec().to_dict() | {"colour": 3})


def test_the_time_of_the_training_is_that_of_the_first_steps_of_its_windows():
    series = make_series()
    spec = make_spec()
    assert spec.train_start == series.timestamps[6]
    assert spec.train_end == series.timestamps[210 - 3]
    # Cut first and then split, the next window is of the next part though it shares steps.
    border = make_spec(split=ShareSplit(0.7, 0.1, 0.2, "window_first"))
    windows = 300 - 9 + 1
    assert border.train_end == series.timestamps[round(0.7 * windows) - 1 + 6]
    border.check_unseen(border, np.array([border.train_end + np.timedelta64(300, "s")]))
    with pytest.raises(SpecError, match="1 of 1 test windows"):
        border.check_unseen(border, np.array([border.train_end]))
    with pytest.raises(SpecError, match="1 of 2 test windows"):
        border.check_unseen(border, series.timestamps[[5, 6]])


def test_rows_are_found_by_id():
    assert make_spec().rows(["VD-3", "VD-9", "VD-0"]).tolist() == [3, -1, 0]


def test_forecast_times_follow_the_last_reading():
    issued = np.array(["2024-01-01T00:10", "2024-01-02T00:00"], dtype="datetime64[s]")
    times = make_spec().times(issued)
    assert times[0].tolist() == [issued[0].item().replace(minute=m) for m in (15, 20, 25)]
    assert (times[1] - issued[1]).astype(int).tolist() == [300, 600, 900]
