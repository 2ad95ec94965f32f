"""Statistics of observed readings alone, and scaling there and back."""

import numpy as np
import pytest
import torch

from socialgraph.scaler import Scaler, scale_of


def made_readings():
    return np.random.default_rng(0).normal([5, -200], [2, 30], (500, 4, 2)).astype(np.float32)


def test_statistics_are_those_of_the_observed_readings():
    values = made_readings()
    values[::3, 1] = np.nan
    loc, scale, limit = scale_of(values, ["a", "b"])
    np.testing.assert_allclose(loc, np.nanmean(values.astype(float), (0, 1)), rtol=1e-5)
    np.testing.assert_allclose(scale, np.nanstd(values.astype(float), (0, 1)), rtol=1e-5)
    assert limit == 100


def test_a_code_among_many_readings_changes_nothing_if_scaled_robustly():
    clean = made_readings()
    values = clean.copy()
    values[7, 2, 0] = 65535.0
    loc, scale, limit = scale_of(values, ["a", "b"], "robust")
    expected = scale_of(clean, ["a", "b"], "robust")
    np.testing.assert_allclose(loc, expected[0], rtol=1e-3)
    np.testing.assert_allclose(scale, expected[1], rtol=0.01)
    np.testing.assert_allclose(scale, clean.std(axis=(0, 1)), rtol=0.05)
    assert scale_of(values, ["a", "b"])[1][0] > 100
    scaled = Scaler(loc, scale, limit).transform(
        torch.tensor([65535.0, -9e9]), torch.tensor([True, True])
    )
    assert scaled.tolist() == [10.0, -10.0]


def test_a_robust_scale_sees_all_detectors_of_long_series():
    detectors = np.where(np.arange(1000) % 2, 100.0, 10.0)
    noise = np.random.default_rng(0).normal(0, 1, (8400, 1, 1))
    values = (detectors[:, None] + noise).astype(np.float32)  # [8400, 1000, 1]
    loc, scale, _ = scale_of(values, ["a"], "robust")
    assert loc[0] == pytest.approx(55, rel=0.01)
    assert scale[0] == pytest.approx(45, rel=0.01)


def test_a_feature_that_is_nearly_always_zero_keeps_its_spread():
    values = np.zeros((1000, 2, 1), dtype=np.float32)
    values[:4] = 50.0
    assert scale_of(values, ["a"], "robust")[1] == pytest.approx(values.std(), rel=1e-5)


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_units_may_be_tiny(scaling):
    values = 1e-9 * made_readings()
    loc, scale, _ = scale_of(values, ["a", "b"], scaling)
    np.testing.assert_allclose(scale, values.astype(float).std(axis=(0, 1)), rtol=0.05)
    x = torch.from_numpy(values)
    scaler = Scaler(loc, scale)
    back = scaler.inverse(scaler.transform(x, torch.ones_like(x, dtype=bool)))
    np.testing.assert_allclose(back, values, rtol=1e-4, atol=1e-14)


def test_there_and_back_for_the_leading_features():
    scaler = Scaler(torch.tensor([5.0, 7.0]), torch.tensor([2.0, 3.0]))
    x = torch.randn(2, 3, 4, 2)
    z = scaler.transform(x, torch.ones_like(x, dtype=bool))
    torch.testing.assert_close(scaler.inverse(z), x)
    torch.testing.assert_close(scaler.inverse(z[..., :1]), x[..., :1])


def test_a_missing_reading_becomes_zero_whatever_stands_there():
    scaler = Scaler(torch.tensor([5.0]), torch.tensor([2.0]))
    x = torch.tensor([[7.0], [torch.nan], [1e30]])
    mask = torch.tensor([[True], [False], [False]])
    assert scaler.transform(x, mask).tolist() == [[1.0], [0.0], [0.0]]


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_a_constant_feature_is_not_blown_up(scaling):
    _, scale, _ = scale_of(np.full((10, 2, 1), 3.0, dtype=np.float32), ["a"], scaling)
    assert scale.item() == 1.0


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_a_feature_without_any_reading_is_named(scaling):
    values = np.full((10, 2, 2), np.nan, dtype=np.float32)
    values[..., 0] = 1
    with pytest.raises(ValueError, match=r"Features \['b'\] have no observed reading"):
        scale_of(values, ["a", "b"], scaling)
