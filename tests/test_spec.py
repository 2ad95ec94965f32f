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
        elif field.name in ("lat", "lon", "attribute_values"):
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


def test_the_time_of_the_training_is_that_of_the_targets_of_training_and_validation():
    series = make_series()
    spec = make_spec()
    assert spec.train_start == series.timestamps[6]
    assert spec.train_end == series.timestamps[240 - 1]
    alone = make_spec(split=ShareSplit(0.7, 0.0, 0.3))
    assert alone.train_end == series.timestamps[210 - 1]


def test_a_window_that_was_trained_on_is_known_by_its_first_target():
    times = make_series().timestamps
    spec, other = make_spec(), make_spec(split=ShareSplit(0.2, 0.1, 0.7))
    spec.check_unseen(other, times[[5, 240]])
    for first in (6, 239):  # the last one shares only its first target with the validation
        with pytest.raises(SpecError, match="1 of 2 test windows"):
            spec.check_unseen(other, times[[first, 240]])


def test_the_test_part_of_the_same_division_was_not_trained_on():
    # Cut first and then split, its windows share steps with those before.
    border = make_spec(split=ShareSplit(0.8, 0.0, 0.2, "window_first"))
    first_times = np.array([border.train_end])
    border.check_unseen(border, first_times)
    other = make_spec(split=ShareSplit(0.7, 0.0, 0.3, "window_first"))
    with pytest.raises(SpecError, match="1 of 1 test windows"):
        border.check_unseen(other, first_times)


def test_trainings_before_this_one_are_not_forgotten():
    early = make_spec(split=ShareSplit(0.2, 0.1, 0.7))
    whole = make_spec(split=ShareSplit(0.9, 0.1, 0.0))
    spec = DataSpec.from_dict(early.after(whole).to_dict())
    first_times = make_series().timestamps[[200]]
    early.check_unseen(early, first_times)
    with pytest.raises(SpecError, match="1 of 1 test windows"):
        spec.check_unseen(early, first_times)


def test_an_entry_that_cannot_be_right_is_refused():
    for change in [
        {"lat": [25.0]},
        {"loc": [1.0]},
        {"scale": [0.0, float("nan")]},
        {"train_start": None},
        {"timezone": "../../x"},
        {"vdids": [1, 2, 3, 4, 5, 6]},
        {"targets": ["flow"]},
        {"window": -3},
        {"edges": 7},
        {"features": None},
        {"edges": [[[0, 9], [1, 2]], [1.0, 2.0]]},
        {"edges": [[[2**70], [1]], [1.0]]},
        {"vdids": ["VD-0"] * 6},
        {"window": 4.5},
        {"limit": "x"},
        {"earlier": [{"train_start": None}]},
        {"train_start": "2030-01-01T00:00:00"},
    ]:
        with pytest.raises(SpecError, match="cannot be right"):
            DataSpec.from_dict(make_spec().to_dict() | change)


def test_numbers_and_texts_of_numpy_become_plain(tmp_path):
    series = dataclasses.replace(
        make_series(), interval_minutes=np.float64(5), dataset_name=np.str_("made")
    )
    spec = dataclasses.replace(make_spec(series), limit=np.float32(3))
    torch.save(spec.to_dict(), tmp_path / "spec.pt")
    assert torch.load(tmp_path / "spec.pt", weights_only=True)["limit"] == 3


def test_the_same_detectors_on_another_clock_are_refused_and_other_names_of_it_not():
    spec = make_spec()
    spec.check_form(make_spec(dataclasses.replace(make_series(), timezone="ROC")))
    utc = dataclasses.replace(make_series(), timezone="UTC")
    with pytest.raises(SpecError, match=r"clock of Asia/Taipei.*that of UTC"):
        spec.check_form(make_spec(utc))
    elsewhere = dataclasses.replace(utc, lat=utc.lat + 5)
    spec.check_form(make_spec(elsewhere))


def test_the_place_of_a_table_may_differ(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("from,to,metres\nVD-0,VD-1,400\nVD-2,VD-3,400\n")
    specs = []
    for name, reach in (("a.csv", 900.0), ("b.csv", 900.0), ("a.csv", 800.0)):
        graph = RoadGraph(str(tmp_path / name), max_distance=reach)
        with pytest.warns(UserWarning, match="detectors"):
            specs.append(make_spec(graph=graph))
    specs[0].check_form(specs[1])
    with pytest.raises(SpecError, match="trained with graph"):
        specs[0].check_form(specs[2])


def test_rows_are_found_by_id():
    assert make_spec().rows(["VD-3", "VD-9", "VD-0"]).tolist() == [3, -1, 0]


def test_forecast_times_follow_the_last_reading():
    issued = np.array(["2024-01-01T00:10", "2024-01-02T00:00"], dtype="datetime64[s]")
    times = make_spec().times(issued)
    assert times[0].tolist() == [issued[0].item().replace(minute=m) for m in (15, 20, 25)]
    assert (times[1] - issued[1]).astype(int).tolist() == [300, 600, 900]


def test_an_option_that_came_later_makes_no_other_form():
    """A record of a graph that was described before it could have a spacing."""
    spec = make_spec(graph=RadiusGraph(700.0, 2))
    older = dataclasses.replace(spec, graph={**spec.graph})
    older.graph["init_args"] = {"max_radius": 700.0, "max_num_neighbors": 2}
    older.check_form(spec)
    given = make_spec(graph=RadiusGraph(700.0, 2, spacing=100.0))
    with pytest.raises(SpecError, match="spacing"):
        older.check_form(given)
