import numpy as np
import pyproj

from data_prep.plausibility import (
    distance_to_median,
    is_impossible,
    is_swapped,
    looks_exchanged,
)

NAN = np.nan


def test_positions_that_are_no_place_are_impossible():
    lat = np.array([34.0, 91.0, 0.0, 0.0, NAN, 90.0, np.inf])
    lon = np.array([-118.0, 10.0, 0.0, 181.0, 500.0, 0.0, 0.0])
    expected = [False, True, True, True, False, True, True]
    assert is_impossible(lat, lon).tolist() == expected


def test_exchanged_impossible_positions_are_recognised():
    lat, lon = np.array([-118.2, 34.0, 200.0, 0.0]), np.array([34.0, -118.2, 300.0, 0.0])
    assert looks_exchanged(lat, lon).tolist() == [True, False, False, False]


def test_distance_to_the_median_is_close_to_the_geodesic():
    lat, lon = np.array([34.0, 34.1, 34.2, NAN]), np.array([-118.0, -118.1, -118.3, 0.0])
    _, _, expected = pyproj.Geod(ellps="WGS84").inv([-118.1] * 3, [34.1] * 3, lon[:3], lat[:3])
    np.testing.assert_allclose(distance_to_median(lat, lon)[:3], expected, rtol=4e-3)
    assert np.isnan(distance_to_median(lat, lon)[3])


def test_a_network_across_the_180th_meridian_is_one_network():
    lat, lon = np.full(4, -17.0), np.array([179.9, 179.95, -179.95, -179.9])
    assert distance_to_median(lat, lon).max() < 20_000


def test_one_exchanged_detector_is_found_and_a_remote_one_is_not():
    lat = np.array([24.0, 24.1, 24.2, 30.1, 56.0])
    lon = np.array([30.0, 30.1, 30.2, 24.1, 10.0])
    assert is_swapped(lat, lon).tolist() == [False, False, False, True, False]


def test_without_positions_nothing_is_swapped():
    assert not is_swapped(np.array([NAN]), np.array([1.0])).any()
