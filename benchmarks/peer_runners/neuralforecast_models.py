"""LSTM and xLSTM of neuralforecast, in their default sizes; each feature of a detector is a series.

They are called batch by batch like all others, without neuralforecast's own trainer and the scaling
of each window by itself that it adds. Its training step takes 128 windows of single series, so a
step here takes one window of all detectors. Asked for no more steps than it reads, the LSTM gives
its p-th forecast from the first p readings alone; it is asked for one step more, which is dropped.
"""

from functools import partial

import protocol
import torch
from neuralforecast.models import LSTM, xLSTM
from torch import Tensor, nn


def make_model(kind: type[nn.Module], windows: protocol.Windows) -> protocol.Model:
    """A model that knows the clock of input and predicted steps, and the mask if it must."""
    nodes, channels = windows.values.shape[1:]
    steps = max(windows.horizon, windows.window + 1) if kind is LSTM else windows.horizon
    ahead = torch.arange(windows.window + steps)
    network = kind(
        h=steps,
        input_size=windows.window,
        futr_exog_list=["sine", "cosine"],
        hist_exog_list=["available_mask"] if windows.missing else None,
    )

    def series(x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).reshape(-1, x.size(1), 1)  # [B * N * F, T, 1]

    def forecast(batch: dict[str, Tensor]) -> Tensor:
        clock = windows.clock(batch["slot"][:, :1] + ahead)  # [B, T + steps, 2]
        inputs = {
            "insample_y": series(batch["x"]),
            "futr_exog": clock.repeat_interleave(nodes * channels, dim=0),
            "hist_exog": series(batch["covariates"][..., 2:]) if windows.missing else None,
            "stat_exog": None,
        }
        forecast = network(inputs)[:, : windows.horizon]  # [B * N * F, P, 1]
        return forecast.reshape(-1, nodes, channels, windows.horizon).permute(0, 3, 1, 2)

    return protocol.Model(network, forecast, batch_size=1)


if __name__ == "__main__":
    makers = {kind.__name__: partial(make_model, kind) for kind in (LSTM, xLSTM)}
    protocol.main("neuralforecast", makers)
