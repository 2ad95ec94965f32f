"""Loss and errors against plain arithmetic."""

import math

import pytest
import torch

from socialgraph.losses import masked_loss
from socialgraph.metrics import ForecastErrors, errors_from_sums


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


@pytest.mark.parametrize("loss", ["mae", "mse", "huber"])
def test_a_missing_target_gives_no_gradient_even_where_it_is_nan(loss):
    forecast = torch.randn(6, requires_grad=True)
    target = torch.full((6,), math.nan)
    target[0] = 3.0
    masked_loss(forecast, target, ~target.isnan(), loss)[0].backward()
    assert forecast.grad[0] != 0
    assert (forecast.grad[1:] == 0).all()


@pytest.mark.parametrize("loss", ["mae", "mse", "huber"])
def test_nothing_observed_is_a_loss_of_zero(loss):
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
