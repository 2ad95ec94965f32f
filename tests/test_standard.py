"""Readings in deviations of each detector."""

from dataclasses import replace

import numpy as np
import pytest

from socialgraph.standard import standardise
from tests.conftest import make_series


def speeds(**options):
    return make_series(**options).select(["speed"])


def test_every_detector_has_mean_0_and_deviation_1_and_comes_back():
    series = speeds(steps=600)
    series.values[:, 2] = series.values[:, 2] * 7 + 100
    scaled, standard = standardise(series)
    assert scaled.feature_names == ["speed"]
    assert scaled.units == [""]
    np.testing.assert_allclose(np.nanmean(scaled.values[..., 0], axis=0), 0, atol=0.2)
    np.testing.assert_allclose(np.nanstd(scaled.values[..., 0], axis=0), 1, atol=0.2)
    back = standard.inverse(scaled.values[..., 0], np.arange(6))
    np.testing.assert_allclose(back, series.values[..., 0], rtol=1e-4)
    assert (np.isnan(scaled.values) == np.isnan(series.values)).all()


def test_only_the_leading_steps_are_looked_at():
    series = speeds()
    changed = replace(series, values=series.values.copy())
    changed.values[200:] += 50
    _, before = standardise(series, 200)
    scaled, after = standardise(changed, 200)
    np.testing.assert_allclose(before.loc, after.loc, rtol=1e-12)
    np.testing.assert_allclose(before.scale, after.scale, rtol=1e-12)
    assert np.nanmean(scaled.values[200:]) > 2


def test_a_detector_without_readings_has_what_all_have():
    series = speeds(missing=0.0)
    series.values[:, 3] = np.nan
    _, standard = standardise(series)
    others = np.delete(series.values[..., 0], 3, axis=1)
    assert standard.loc[3] == pytest.approx(others.mean(), rel=1e-3)
    assert standard.scale[3] == pytest.approx(standard.scale[[0, 1, 2, 4, 5]].mean(), rel=0.1)


def test_a_spike_is_bounded_and_a_constant_detector_is_finite():
    series = speeds(steps=2000)
    series.values[1500, 1] = 1e9
    series.values[:, 4] = 33.0
    scaled, standard = standardise(series, 1000)
    assert np.nanmax(np.abs(scaled.values)) == 10
    assert (standard.scale > 0.01 * np.median(standard.scale)).all()
    assert np.abs(scaled.values[:, 4]).max() < 10


@pytest.mark.parametrize("values", [np.full((5, 2, 1), np.nan), np.full((5, 2, 1), 3.0)])
def test_nothing_to_scale_is_told_or_harmless(values):
    series = replace(speeds(steps=5, nodes=2), values=values.astype(np.float32))
    if np.isnan(values).all():
        with pytest.raises(ValueError, match="a reading of 'speed' in the history"):
            standardise(series)
    else:
        scaled, _ = standardise(series)
        np.testing.assert_array_equal(scaled.values, 0)


def test_several_features_are_refused():
    with pytest.raises(ValueError, match=r"one feature .*'speed', 'flow'"):
        standardise(make_series())
