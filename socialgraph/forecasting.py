"""Forecasts of the steps after the end of a series, in Python."""

from typing import TYPE_CHECKING

import torch

from socialgraph.data import TrafficDataModule, Windows
from socialgraph.series import TrafficSeries
from socialgraph.table import forecast_table

if TYPE_CHECKING:
    import pandas as pd

    from socialgraph.forecaster import Forecaster

__all__ = ["forecast_series"]


@torch.inference_mode()
def forecast_series(forecaster: "Forecaster", series: TrafficSeries) -> "pd.DataFrame":
    """What ``forecaster.forecast(series)`` gives; leaves the forecaster as it was.

    Raises:
        ValueError: for a forecaster without training, or a series that it was not made for or that
            ends in a gap.
        KeyError: for a series without a feature that it reads.
    """
    spec = forecaster.spec
    if spec is None:
        raise ValueError(
            "Expected a trained forecaster. Fit it, or load its checkpoint, which is also the way "
            "after a training in other processes."
        )
    data = TrafficDataModule(
        series,
        spec.features,
        spec.targets,
        windows=Windows(spec.window, spec.horizon),
        split=(1.0, 0.0, 0.0),
        graph=forecaster.build_graph(),
        known=spec.known,
        attributes=spec.attributes,
        holidays=spec.holidays,
    )
    data.setup()
    spec.check_form(data.spec)
    (batch,) = data.predict_dataloader()
    # In the precision of the training, which may have been a double one.
    dtype = next((w.dtype for w in forecaster.parameters()), torch.get_default_dtype())
    batch = {
        name: part.to(forecaster.device, dtype if part.is_floating_point() else part.dtype)
        for name, part in batch.items()
    }
    followed = ("given", "node", "usual", "bounds", "attributes")
    before = {name: getattr(forecaster, name) for name in followed}
    modes = [(module, module.training) for module in forecaster.modules()]
    try:
        forecaster.follow(data.spec, data.history)
        forecaster.eval()
        forecaster.check_batch(batch)
        prediction = forecaster.outputs(forecaster.predict(batch))
    finally:  # a callback may forecast in the middle of a training
        for name, part in before.items():
            setattr(forecaster, name, part)
        for module, mode in modes:
            module.training = mode
    prediction["issued"] = batch["issued"]
    table = forecast_table(prediction, data.spec, observed=False, levels=forecaster.levels)
    return table.to_pandas()
