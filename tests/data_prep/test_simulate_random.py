"""Random networks: what they are drawn from, that a seed rules them, and what is wrong in them."""

from dataclasses import replace

import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.simulate import random_networks
from data_prep.simulate.faults import FAULTS, Faults, add_faults
from data_prep.simulate.join import join, split_run
from data_prep.simulate.layouts import LAYOUTS
from data_prep.simulate.ranges import Ranges, draw_plan
from data_prep.simulate.road_network import build_network, demand_share
from data_prep.simulate.traffic import Happenings, conditions, fill, rain_of, run
from socialgraph.schema import read

SMALL = Ranges(num_detectors=(6, 12), days=(1, 2))
CALM = Ranges(
    num_detectors=(12, 12),
    days=(2, 2),
    intervals=(5,),
    rain=(0.0, 0.0),
    events=(0.0, 0.0),
    noise=(0.0, 0.0),
    faulty=(0.0, 0.0),
    rounding=(0.0, 0.0),
    missing=(0.0, 0.0),
    zeros=0.0,
)


def test_a_network_is_the_same_whichever_comes_before_it():
    several = list(random_networks(4, seed=3, ranges=SMALL))
    alone = next(random_networks(1, seed=3, ranges=SMALL, first=2))
    np.testing.assert_array_equal(alone.values, several[2].values)
    np.testing.assert_array_equal(alone.lat, several[2].lat)
    assert alone.vdids == several[2].vdids
    other = next(random_networks(1, seed=4, ranges=SMALL, first=2))
    assert other.values.shape != alone.values.shape or (other.values != alone.values).any()


def test_plans_stay_in_their_ranges_and_use_all_of_them():
    plans = [draw_plan(0, number) for number in range(400)]
    ranges = Ranges()
    for name, choices in (
        ("layout", ranges.layouts),
        ("interval", ranges.intervals),
        ("profile", ranges.profiles),
        ("quantity", ranges.quantities),
    ):
        assert {getattr(plan, name) for plan in plans} == set(choices)
    for name in ("num_detectors", "spacing", "scale", "most_lanes", "days", "rain", "noise"):
        low, high = getattr(ranges, name)
        drawn = np.array([getattr(plan, name) for plan in plans])
        assert low <= drawn.min() < low + 0.2 * (high - low)
        assert high >= drawn.max() > high - 0.2 * (high - low)
    assert {plan.num_roads for plan in plans} == {1, 2, 3, 4, 5, 6}
    assert 0.08 < np.mean([plan.faults.zeros for plan in plans]) < 0.25


def test_roads_of_a_layout_are_whole_and_cross():
    for layout in LAYOUTS:
        num_roads = 1 if layout == "freeway" else 4
        network = build_network(80, num_roads, np.random.default_rng(0), layout, spacing=2.0)
        assert network.road[-1] == 2 * num_roads - 1
        same = np.diff(network.road) == 0
        apart = np.linalg.norm(np.diff(network.pos, axis=0), axis=1)[same]
        np.testing.assert_allclose(apart, 500, rtol=0.06)
        assert bool(len(network.junctions)) == (layout != "freeway")


def test_a_ring_closes_and_a_grid_has_two_directions():
    ring = LAYOUTS["ring"](3, 40, np.random.default_rng(1))[0]
    assert np.linalg.norm(ring[0] - ring[-1]) < 1.5
    radius = np.linalg.norm(ring, axis=1)
    assert np.ptp(radius) < 1e-9
    grid = LAYOUTS["grid"](4, 40, np.random.default_rng(1))
    ways = np.arctan2(*(grid[:, -1] - grid[:, 0]).T[::-1]) % np.pi
    assert abs(abs(ways[0] - ways[1]) - np.pi / 2) < 0.2
    assert abs(ways[0] - ways[2]) < 0.2


def test_demand_has_the_course_that_its_name_says():
    hour, peaks = np.arange(24.0)[:, None], np.ones((2, 1))
    course = {
        (name, weekend): demand_share(hour, np.array(weekend), peaks, name)[:, 0]
        for name in ("commuter", "leisure", "freight", "flat")
        for weekend in (False, True)
    }
    assert course["commuter", False].argmax() in (8, 18)
    assert course["leisure", True].max() > 1.5 * course["leisure", False].max()
    assert course["leisure", True].argmax() in (14, 15, 16)
    assert course["freight", False][5] > 2 * course["commuter", False][5]
    assert course["freight", True].max() < 0.5 * course["freight", False].max()
    assert np.ptp(course["flat", False]) < 0.3
    np.testing.assert_array_equal(course["flat", False], course["flat", True])
    assert all(share.min() > 0 and share.max() <= 1.2 for share in course.values())


def test_networks_that_run_together_do_not_touch_each_other():
    networks = [build_network(n, 2, np.random.default_rng(n)) for n in (8, 14)]
    cells = [np.arange(2, 9), np.arange(5)]
    begin = np.datetime64("2024-01-01T06:00").item()

    def days(seed, network):
        return conditions(network, 1, begin, np.random.default_rng(seed))

    starts = [fill(network, begin) for network in networks]
    together = [days(seed, network) for seed, network in enumerate(networks)]
    joined = split_run(join(networks), networks, cells, starts, together, 5)
    for seed, network in enumerate(networks):
        alone = run(network, cells[seed], starts[seed], days(seed, network), 5)
        np.testing.assert_array_equal(joined[seed], alone)


def test_rain_slows_and_crowds_come_to_their_place():
    network = build_network(40, 2, np.random.default_rng(0))
    begin = np.datetime64("2024-01-01T00:00").item()
    events = np.array([[600, 720, 30, 2.0]])

    def day(**options):
        made = conditions(network, 1, begin, np.random.default_rng(1), Happenings(**options))
        return next(made)

    dry, wet = day(), day(rain=np.ones(288))
    np.testing.assert_allclose(wet[0], 0.85 * dry[0])
    np.testing.assert_array_equal(wet[1], dry[1])
    crowd = day(events=events)[1].sum(axis=0) / dry[1].sum(axis=0).clip(1e-9)
    sources = np.flatnonzero(network.demand)
    near = np.linalg.norm(network.pos[sources] - network.pos[30], axis=1) < 4000
    assert near.any()
    assert not near.all()
    assert crowd[sources][near].min() > 1.02
    np.testing.assert_allclose(crowd[sources][~near], 1, atol=0.05)


def test_it_rains_on_the_share_of_the_days_that_is_asked_for():
    wet = rain_of(300, 0.3, np.random.default_rng(0)).reshape(300, 288)
    assert 0.2 < (wet.max(axis=1) > 0).mean() < 0.5  # some showers pass midnight
    assert 0.5 < wet.max() <= 1
    assert rain_of(9, 0.0, np.random.default_rng(0)).max() == 0


READINGS = 50 + np.random.default_rng(0).normal(0, 5, (600, 40))


def test_a_fault_strikes_the_share_of_detectors_that_is_asked_for():
    for kind in FAULTS:
        spoilt = add_faults(READINGS, Faults((kind,), share=0.5), np.random.default_rng(1))
        hit = ((spoilt != READINGS) & ~(np.isnan(spoilt) & np.isnan(READINGS))).any(axis=0)
        assert 12 < hit.sum() < 28
        changed = spoilt[:, hit] - READINGS[:, hit]
        if kind == "stuck":
            assert (np.diff(spoilt[:, hit], axis=0) == 0).sum(axis=0).min() > 25
        elif kind == "dead":
            assert (np.isnan(spoilt) | (spoilt == 0))[:, hit].mean() > 0.05
        elif kind == "offset":
            np.testing.assert_allclose(np.ptp(changed, axis=0), 0, atol=1e-9)
        elif kind == "drift":
            assert (
                np.abs(changed[-50:]).mean(axis=0) > 3 * np.abs(changed[:50]).mean(axis=0)
            ).all()
        else:
            assert (spoilt[:, hit].max(axis=0) > 2 * READINGS.max()).all()
        np.testing.assert_array_equal(spoilt[:, ~hit], READINGS[:, ~hit])


def test_readings_are_rounded_lost_and_written_as_0():
    rng = np.random.default_rng(2)
    coarse = add_faults(READINGS, Faults(rounding=5.0, missing=0.2), rng)
    assert set(np.unique(coarse[np.isfinite(coarse)] % 5)) == {0}
    assert np.isnan(coarse).mean() == pytest.approx(0.2, abs=0.02)
    zeros = add_faults(READINGS, Faults(missing=0.2, zeros=True), rng)
    assert np.isfinite(zeros).all()
    assert (zeros == 0).mean() == pytest.approx(0.2, abs=0.02)


def test_a_town_has_shorter_ways_and_slower_traffic():
    calm = replace(CALM, quantities=("speed",), profiles=("flat",), layouts=("grid",))
    town, freeway = (
        next(random_networks(1, 1, replace(calm, scale=(s, s), spacing=(2.0, 2.0))))
        for s in (0.3, 1.0)
    )
    assert np.nanmedian(town.values) == pytest.approx(0.3 * np.nanmedian(freeway.values), rel=0.05)
    assert np.ptp(town.lat) == pytest.approx(0.3 * np.ptp(freeway.lat), rel=0.01)


@pytest.mark.slow
def test_quantities_come_in_their_units():
    found = {}
    for name in Ranges().quantities:
        ranges = replace(CALM, quantities=(name,), intervals=(15,), scale=(1.0, 1.0))
        found[name] = next(random_networks(1, 5, ranges))
    assert [found[n].units[0] for n in found] == ["km/h", "mph", "veh/h", "veh", "%"]
    assert found["speed_mph"].feature_names == ["speed"]
    own, other = (found[n].values[..., 0] for n in ("speed", "speed_mph"))
    np.testing.assert_allclose(other, own * 0.621371, rtol=1e-4)
    own, other = (found[n].values[..., 0] for n in ("flow", "count"))
    np.testing.assert_allclose(other, own / 4, atol=0.51)
    assert set(np.unique(other[np.isfinite(other)] % 1)) == {0}


@pytest.mark.slow
def test_files_of_random_networks_are_written_as_typed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["simulate", "cities", "--random-networks", "2", "--seed", "7"]
    assert main(words) == 0
    said = capsys.readouterr().out
    for number, expected in enumerate(random_networks(2, 7)):
        series = read(f"cities/{number:04d}.h5")
        np.testing.assert_array_equal(series.values, expected.values)
        assert f"cities/{number:04d}.h5" in said
    assert main(words) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--days", "3"]) == 2
    assert "no --days beside '--random-networks'" in capsys.readouterr().err
    assert main(["simulate", "more", "--random-networks", "0"]) == 2
    assert "'count' of 1 or more" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()
