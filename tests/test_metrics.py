"""Loss and errors against plain arithmetic."""

import math

import numpy as np
import pytest
import scoringrules
import torch

from socialgraph.losses import masked_loss
from socialgraph.metrics import INTERVAL_ERRORS, ForecastErrors, IntervalErrors, errors_from_sums


def test_losses_are_sums_over_observed_targets_with_their_number():
    forecast = torch.tensor([1.0, 2.0, 3.0, 10.0])
    target = torch.tensor([2.0, 0.0, math.nan, 10.5])
    mask = ~target.isnan()
    sums = {"mae": 1 + 2 + 0.5, "mse": 1 + 4 + 0.25, "huber": 0.5 + 1.5 + 0.125}
    for loss, expected in sums.items():
        total, count = masked_loss(forecast, target, mask, loss)
        assert total == pytest.approx(expected)
        assert count == 3
    wide, _ = masked_loss(forecast, target, mask, "huber", 2.0)
    assert wide == pytest.approx(0.5 + 2.0 + 0.125)


def test_a_missing_target_gives_no_gradient_even_where_it_is_nan():
    for loss in ["mae", "mse", "huber"]:
        forecast = torch.randn(6, requires_grad=True)
        target = torch.full((6,), math.nan)
        target[0] = 3.0
        masked_loss(forecast, target, ~target.isnan(), loss)[0].backward()
        assert forecast.grad[0] != 0
        assert (forecast.grad[1:] == 0).all()


def test_nothing_observed_is_a_loss_of_zero():
    for loss in ["mae", "mse", "huber"]:
        forecast = torch.randn(6, requires_grad=True)
        value, count = masked_loss(
            forecast, torch.full((6,), math.nan), torch.zeros(6, dtype=bool), loss
        )
        value.backward()
        assert value == count == 0
        assert (forecast.grad == 0).all()


def test_shapes_that_differ_are_refused_instead_of_broadcast():
    forecast, target = torch.ones(2, 1, 3, 1), torch.ones(2, 4, 3, 1)
    mask = torch.ones(2, 4, 3, 1, dtype=bool)
    with pytest.raises(ValueError, match=r"shape of the targets \(2, 4, 3, 1\).*\(2, 1, 3, 1\)"):
        masked_loss(forecast, target, mask)
    with pytest.raises(ValueError, match="Give the network the horizon"):
        ForecastErrors(4, 1).update(forecast, target, mask)
    for wrong in (mask[:, :1], mask[0]):
        with pytest.raises(ValueError, match="and a mask"):
            masked_loss(target, target, wrong)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="got 'l3'"):
        masked_loss(torch.ones(1), torch.ones(1), torch.ones(1, dtype=bool), "l3")


def test_errors_are_plain_arithmetic_however_they_are_batched():
    forecast, target = (
        10 * torch.randn(50, 3, 4, 2).double(),
        10 * torch.randn(50, 3, 4, 2).double(),
    )
    mask = torch.rand(50, 3, 4, 2) > 0.3
    target[0] = 0.0
    metric = ForecastErrors(3, 2)
    for part in torch.arange(50).split([1, 20, 29]):
        metric.update(forecast[part], target[part], mask[part])
    errors = errors_from_sums(metric.compute())
    for step in range(3):
        for feature in range(2):
            chosen = mask[:, step, :, feature]
            truth = target[:, step, :, feature][chosen]
            error = forecast[:, step, :, feature][chosen] - truth
            assert errors["mae"][step, feature] == pytest.approx(error.abs().mean().item())
            assert errors["rmse"][step, feature] == pytest.approx(
                error.square().mean().sqrt().item()
            )
            relative = (error / truth).abs()[truth != 0]
            assert errors["mape"][step, feature] == pytest.approx(100 * relative.mean().item())
            assert errors["count"][step, feature] == chosen.sum()
    error = (forecast - target)[..., 0][mask[..., 0]]
    assert errors["mae_all"][0] == pytest.approx(error.abs().mean().item())
    assert errors["rmse_all"][0] == pytest.approx(error.square().mean().sqrt().item())


def test_what_is_not_observed_does_not_count():
    metric = ForecastErrors(1, 1)
    target = torch.tensor([math.nan, 2.0]).view(2, 1, 1, 1)
    metric.update(torch.tensor([5.0, 1.0]).view(2, 1, 1, 1), target, ~target.isnan())
    errors = errors_from_sums(metric.compute())
    assert errors["mae"].item() == 1.0
    assert errors["count"].item() == 1
    assert math.isnan(errors_from_sums(ForecastErrors(1, 1).compute())["mae"].item())


def test_sums_do_not_lose_small_errors_beside_many():
    metric = ForecastErrors(1, 1)
    error = torch.full((1, 1, 1000, 1), 0.1)
    for _ in range(300):
        metric.update(error, torch.zeros_like(error), torch.ones_like(error, dtype=bool))
    assert errors_from_sums(metric.compute())["mae"].item() == pytest.approx(0.1, rel=1e-6)


def test_errors_of_intervals_are_those_of_scoringrules_by_place_and_hour():
    """Interval score and CRPS of quantiles against the package scoringrules."""
    batch, horizon, nodes, targets, levels = 30, 2, 3, 2, [0.1, 0.3, 0.9]
    shape = (batch, horizon, nodes, targets)
    target, mask = torch.randn(shape), torch.rand(shape) > 0.2
    forecast = torch.randn(shape)
    quantiles = torch.randn(*shape, 3).sort(dim=-1).values
    hours = torch.randint(0, 24, (batch, horizon))
    errors = IntervalErrors((horizon, nodes, targets), levels)
    for part in (slice(0, 11), slice(11, None)):
        told = (forecast, quantiles, torch.where(mask, target, torch.nan), mask)
        errors.update(*(entry[part] for entry in told), (hours[part] + 0.5) / 24)
    observed, lower, upper = target.numpy(), quantiles[..., 0].numpy(), quantiles[..., 2].numpy()
    told = np.concatenate([quantiles, forecast.unsqueeze(-1)], axis=-1)
    expected = {
        "coverage": (lower <= observed) & (observed <= upper),
        "width": upper - lower,
        "interval_score": scoringrules.interval_score(observed, lower, upper, 0.2),
        "crps": scoringrules.crps_quantile(observed, told, np.array([*levels, 0.5])),
    }
    found = errors.compute()
    for row, name in enumerate(INTERVAL_ERRORS):
        values = np.where(mask, expected[name], np.nan)
        for part, axes in (("all", (0, 1, 2)), ("step", (0, 2)), ("detector", (0, 1))):
            mean = np.nanmean(values, axis=axes)
            np.testing.assert_allclose(found[part][row], mean, rtol=1e-5)
        late = values[hours.numpy() == 23]
        np.testing.assert_allclose(found["hour"][row, 23], np.nanmean(late, axis=(0, 1)), rtol=1e-5)


def test_the_interval_score_of_uneven_tails_is_that_of_their_quantiles():
    """Of the levels 5 % and 80 %: 1 wide, 2 above the upper end, 2 / 0.2 = 10."""
    errors = IntervalErrors((1, 1, 1), [0.05, 0.8])
    one = torch.ones(1, 1, 1, 1)
    quantiles = torch.tensor([0.5, 1.5]).expand(1, 1, 1, 1, 2)
    known = torch.ones_like(one, dtype=bool)
    errors.update(one, quantiles, 3.5 * one, known, torch.zeros(1, 1))
    assert float(errors.compute()["all"][2]) == pytest.approx(1 + 2 / 0.2)
    errors.reset()
    errors.update(one, quantiles, -0.5 * one, known, torch.zeros(1, 1))
    assert float(errors.compute()["all"][2]) == pytest.approx(1 + 1 / 0.05)
    assert float(errors.compute()["all"][0]) == 0


def test_what_was_never_observed_has_no_errors_of_intervals():
    errors = IntervalErrors((1, 2, 1), [0.05, 0.95])
    shape = (1, 1, 2, 1)
    mask = torch.tensor([True, False]).view(shape)
    errors.update(
        torch.ones(shape), torch.ones(*shape, 2), torch.ones(shape), mask, torch.ones(1, 1)
    )
    found = errors.compute()
    assert found["detector"][0, :, 0].isnan().tolist() == [False, True]
    assert found["hour"][0, :, 0].isnan().sum() == 23  # the end of the day counts to its last hour
    assert float(found["all"][0]) == 1
