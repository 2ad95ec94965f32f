"""Statistics of observed readings alone."""

import numpy as np
import pytest
import torch

from socialgraph.scaler import Scaler


def test_statistics_are_those_of_the_observed_readings():
    values = np.random.default_rng(0).normal([5, -200], [2, 30], (500, 4, 2)).astype(np.float32)
    values[::3, 1] = np.nan
    scaler = Scaler.fit(values, ["a", "b"])
    np.testing.assert_allclose(scaler.loc, np.nanmean(values.astype(float), (0, 1)), rtol=1e-5)
    np.testing.assert_allclose(scaler.scale, np.nanstd(values.astype(float), (0, 1)), rtol=1e-5)


def test_there_and_back_for_the_leading_features():
    scaler = Scaler(torch.tensor([5.0, 7.0]), torch.tensor([2.0, 3.0]))
    x = torch.randn(2, 3, 4, 2)
    torch.testing.assert_close(scaler.inverse(scaler.transform(x)), x)
    torch.testing.assert_close(scaler.inverse(scaler.transform(x)[..., :1]), x[..., :1])


def test_a_constant_feature_is_not_blown_up():
    scaler = Scaler.fit(np.full((10, 2, 1), 3.0, dtype=np.float32), ["a"])
    assert scaler.scale.item() == 1.0
    assert (scaler.transform(torch.full((1, 1), 3.0)) == 0).all()


def test_a_feature_without_any_reading_is_named():
    values = np.full((10, 2, 2), np.nan, dtype=np.float32)
    values[..., 0] = 1
    with pytest.raises(ValueError, match=r"Features \['b'\] have no observed reading"):
        Scaler.fit(values, ["a", "b"])
