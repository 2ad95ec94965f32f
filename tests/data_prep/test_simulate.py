import sys
from itertools import pairwise

import numpy as np
import pytest

from data_prep.simulate import simulate
from data_prep.simulate.road_network import build_network
from data_prep.simulate.traffic import conditions, fill, step
from socialgraph.calendar import to_local
from socialgraph.graph import project
from socialgraph.schema import read, write

HOUR = np.arange(288 * 14) % 288 / 12
WORKDAY = np.arange(288 * 14) // 288 % 7 < 5  # the series starts on a Monday


@pytest.fixture(scope="module")
def series():
    return simulate(60, days=14)


@pytest.fixture(scope="module")
def history():
    """A network, and its vehicles and queues after every 15 s of a working day from 6 to 10."""
    network = build_network(60, 3, np.random.default_rng(3))
    begin = np.datetime64("2024-01-01T06:00").item()
    capacity, arrivals = next(conditions(network, 1, begin, np.random.default_rng(4)))
    states = [(fill(network, begin), np.zeros(len(network.road)), 0.0, 0.0)]
    for number in range(4 * 60 * 4):
        now = capacity[number // 4], arrivals[number // 4]
        vehicles, queue, _, gone = step(network, *states[-1][:2], *now)
        states.append((vehicles, queue, gone, now[1].sum()))
    return network, *(np.array(part) for part in zip(*states, strict=True))


def carriageways(series):
    """Indices of the detectors of each carriageway, by the id without its number."""
    roads = [vdid.rsplit("-", 1)[0] for vdid in series.vdids]
    return {road: [i for i, name in enumerate(roads) if name == road] for road in roads}


def pairs(series):
    """Indices of neighbours on a carriageway: the upstream one, the next downstream."""
    roads = carriageways(series).values()
    return [pair for road in roads for pair in pairwise(road)]


def test_vehicles_are_conserved(history):
    _, vehicles, queue, gone, arrived = history
    held = vehicles.sum(axis=1) + queue.sum(axis=1)
    expected = held[0] + np.cumsum(arrived) - np.cumsum(gone)
    np.testing.assert_allclose(held, expected, rtol=1e-9)
    assert gone.sum() > 10 * held[0]


def test_no_cell_holds_less_than_nothing_or_more_than_a_jam(history):
    network, vehicles, queue, *_ = history
    assert vehicles.min() >= 0
    assert queue.min() >= 0
    assert (vehicles <= network.jam).all()
    assert (vehicles > 2 * network.critical).any()


def test_a_connector_never_holds_more_than_its_storage(history):
    network, _, queue, *_ = history
    assert len(network.junctions) > 0
    assert queue[:, network.targets].max() <= 120 + 1e-9


def test_a_closed_cell_fills_the_road_behind_it_and_empties_the_road_ahead():
    network = build_network(20, 1, np.random.default_rng(0))
    vehicles = network.critical.copy()
    queue = np.zeros_like(vehicles)
    capacity = network.capacity.copy()
    capacity[10] = 0
    for _ in range(200):
        vehicles, queue, outflow, _ = step(network, vehicles, queue, capacity, 0 * queue)
        assert outflow[9:11].tolist() == [0, 0]
    assert vehicles[9] == pytest.approx(network.jam[9], rel=1e-3)
    assert vehicles[11] < 0.01 * network.critical[11]


def test_a_seed_tells_every_bit():
    first, second, other = (simulate(6, days=1, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.lat, second.lat)
    assert first.vd_info == second.vd_info
    assert not np.array_equal(first.values, other.values, equal_nan=True)


@pytest.mark.slow
def test_readings_have_shapes_units_and_unique_ids(series):
    assert series.values.shape == (288 * 14, 60, 3)
    assert series.values.dtype == np.float32
    assert series.feature_names == ["speed", "flow", "occupancy"]
    assert series.units == ["km/h", "veh/h", "%"]
    assert len(set(series.vdids)) == 60
    assert series.vdids[0] == "VD-F1-N-0001"
    assert series.vd_info["VD-F1-N-0001"]["road_name"] == "Freeway 1"
    assert {info["direction"] for info in series.vd_info.values()} <= set("NSEW")
    assert {info["lane_num"] for info in series.vd_info.values()} <= {2, 3, 4}
    assert (np.diff(series.timestamps) == np.timedelta64(5, "m")).all()


def test_any_size_and_interval_works():
    for detectors, interval, freeways in [(2, 1440, 1), (7, 60, 5), (3, 1, 2)]:
        series = simulate(detectors, 1, interval, start="2024-02-29T17:30", num_freeways=freeways)
        assert series.values.shape == (1440 // interval, detectors, 3)
        assert np.isfinite(series.values).any()
        assert str(series.timestamps[0]) == "2024-02-29T09:30:00"
        assert str(to_local(series.timestamps, series.timezone)[0]) == "2024-02-29T17:30:00"


@pytest.mark.slow
def test_readings_stay_in_physical_ranges(series):
    assert np.nanmin(series.values) >= 0
    speed, flow, occupancy = np.nanmax(series.values, axis=(0, 1))
    assert speed < 130
    assert flow < 4 * 2400
    assert occupancy <= 100


@pytest.mark.slow
def test_detectors_of_a_carriageway_follow_each_other_at_500_or_1000_m(series):
    pos = project(series.lat, series.lon)
    milepost = np.array([series.vd_info[vdid]["milepost_m"] for vdid in series.vdids])
    assert set(map(len, carriageways(series).values())) == {10}
    for road, cells in carriageways(series).items():
        apart = np.diff(milepost[cells])
        assert set(np.abs(apart)) == {500, 1000}
        assert (apart > 0).all() if road[-1] in "NE" else (apart < 0).all()
        gap = np.linalg.norm(np.diff(pos[cells], axis=0), axis=1)
        np.testing.assert_allclose(gap, np.abs(apart), rtol=0.02)


@pytest.mark.slow
def test_the_opposite_carriageway_is_25_m_to_the_side(series):
    pos = project(series.lat, series.lon)
    north, south = (carriageways(series)[f"VD-F1-{direction}"] for direction in "NS")
    gap = np.linalg.norm(pos[north] - pos[south[::-1]], axis=1)
    np.testing.assert_allclose(gap, 25, rtol=0.01)


@pytest.mark.slow
def test_freeways_cross(series):
    pos = project(series.lat, series.lon)
    roads = np.array([vdid[:5] for vdid in series.vdids])
    one, other = pos[roads == "VD-F1"], pos[roads == "VD-F2"]
    assert np.linalg.norm(one[:, None] - other, axis=-1).min() < 1000


@pytest.mark.slow
def test_working_days_have_peaks_and_nights_are_free(series):
    speed, _, occupancy = np.moveaxis(series.values, -1, 0)
    night = HOUR < 5
    peak = WORKDAY & (((HOUR >= 7) & (HOUR < 9)) | ((HOUR >= 17) & (HOUR < 19)))
    weekend = ~WORKDAY & (HOUR >= 7) & (HOUR < 19)
    assert np.nanmean(occupancy[peak]) > 5 * np.nanmean(occupancy[night])
    assert np.nanmean(speed[night] < 60) < 0.01
    assert 0.1 < np.nanmean(speed[peak] < 60) < 0.4
    assert np.nanmean(speed[weekend] < 60) < 0.5 * np.nanmean(speed[peak] < 60)


@pytest.mark.slow
def test_time_of_day_alone_does_not_tell_the_speed(series):
    speed = series.values[..., 0][WORKDAY].reshape(10, 288, 60)
    usual = np.nanmean(speed, axis=0)
    assert np.nanmean((speed - usual) ** 2) > 0.3 * np.nanvar(speed)


@pytest.mark.slow
def test_congestion_travels_upstream():
    series = simulate(40, days=5, interval_minutes=1, num_freeways=1)
    speed = np.nan_to_num(series.values[..., 0], nan=100)
    usual = np.apply_along_axis(np.convolve, 0, speed, np.ones(31) / 31, mode="same")
    change = speed - usual
    lags = np.arange(-6, 7)
    total = np.zeros(len(lags))
    for upstream, downstream in pairs(series):
        queue = (speed[:, [upstream, downstream]] < 60).all(axis=1)
        now = np.flatnonzero(queue[10:-10]) + 10
        total += [change[now, upstream] @ change[now - lag, downstream] for lag in lags]
    assert 1 <= lags[total.argmax()] <= 4  # at 18 km/h, 500 m take 100 s and 1000 m take 200 s
    assert total[lags > 0].sum() > 1.2 * total[lags < 0].sum()


def ridge_errors(inputs, target, held_out, penalty=10.0):
    """Squared errors on the held-out rows, NaN where the target is missing."""
    design = np.column_stack([inputs, np.ones(len(inputs))])
    rows = ~held_out & np.isfinite(target)
    gram = design[rows].T @ design[rows] + penalty * np.eye(design.shape[1])
    weight = np.linalg.solve(gram, design[rows].T @ target[rows])
    return (design[held_out] @ weight - target[held_out]) ** 2


@pytest.mark.slow
def test_neighbours_know_what_the_own_past_does_not(series):
    speed = series.values[..., 0]
    usual, spread = np.nanmean(speed, axis=0), np.nanstd(speed, axis=0)
    known = np.nan_to_num((speed - usual) / spread)
    past = np.lib.stride_tricks.sliding_window_view(known[:-3], 12, axis=0)  # [T - 14, N, 12]
    target = (speed[14:] - usual) / spread
    held_out = np.arange(len(target)) >= 0.7 * len(target)
    congested = speed[14:][held_out] < 60
    alone, together = [], []
    inner = [(i - 1, i, i + 1) for i, j in pairs(series) if (i - 1, i) in pairs(series)]
    for upstream, i, downstream in inner:
        own, beside = past[:, i], np.hstack([past[:, upstream], past[:, downstream]])
        rows = congested[:, i]
        alone.append(ridge_errors(own, target[:, i], held_out)[rows] * spread[i] ** 2)
        both = np.hstack([own, beside])
        together.append(ridge_errors(both, target[:, i], held_out)[rows] * spread[i] ** 2)
    gain = 1 - np.concatenate(together).mean() / np.concatenate(alone).mean()
    assert gain > 0.05


@pytest.mark.slow
def test_a_small_share_of_whole_readings_is_missing(series):
    missing = np.isnan(series.values)
    assert 0.02 < missing.mean() < 0.04
    assert (missing.any(axis=-1) == missing.all(axis=-1)).all()
    assert missing.all(axis=(1, 2)).sum() >= 2
    assert missing.any(axis=(0, 2)).all()


def test_weekends_follow_the_start():
    monday, saturday = (
        simulate(12, days=1, start=f"2024-01-0{day}T00:00:00").values[:, :, 1] for day in (1, 6)
    )
    assert np.nanmean(saturday[84:108]) < 0.7 * np.nanmean(monday[84:108])


def test_an_option_out_of_range_is_refused_by_name():
    for options, message in [
        ({"num_detectors": 1}, r"Expected 'num_detectors' of 2 or more \(got 1\)"),
        ({"days": 0}, r"Expected 'days' of 1 or more \(got 0\)"),
        ({"seed": -1}, r"Expected 'seed' of 0 or more \(got -1\)"),
        ({"num_freeways": 0}, r"Expected 'num_freeways' of 1 or more \(got 0\)"),
        ({"interval_minutes": 7}, r"Expected 'interval_minutes' as a divisor of 1440 \(got 7\)"),
        ({"interval_minutes": 0}, r"Expected 'interval_minutes' as a divisor of 1440 \(got 0\)"),
        ({"start": "yesterday"}, r"Expected 'start' as an ISO 8601 time \(got 'yesterday'\)"),
        ({"start": "2024-01-01T00:00+08:00"}, r"Expected 'start' without UTC offset"),
    ]:
        with pytest.raises(ValueError, match=message):
            simulate(**options)


def test_a_bar_is_shown_only_if_asked_for_and_not_in_logs(capsys, monkeypatch):
    simulate(2, days=1, show_progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    simulate(2, days=1)
    assert capsys.readouterr().err == ""
    simulate(2, days=1, show_progress=True)
    assert "1/1" in capsys.readouterr().err


def test_the_series_survives_the_file(tmp_path):
    series = simulate(6, days=1)
    write(tmp_path / "simulated.h5", series)
    again = read(tmp_path / "simulated.h5")
    np.testing.assert_array_equal(again.values, series.values)
    np.testing.assert_array_equal(again.timestamps, series.timestamps)
    np.testing.assert_array_equal(again.lat, series.lat)
    assert again.vdids == series.vdids
    assert again.units == series.units
    assert again.source == "cell transmission model, seed 0"
    info = again.vd_info[series.vdids[0]]
    assert info.items() >= series.vd_info[series.vdids[0]].items()
