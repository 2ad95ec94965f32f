"""STID of BasicTS, in the sizes of its own METR-LA configuration."""

import protocol
import torch
from basicts.models.STID import STID, STIDConfig
from torch import Tensor


def make_stid(windows: protocol.Windows) -> protocol.Model:
    """Three layers with embeddings of node and time; of the day if training holds all seven.

    BasicTS starts with 0.002 and halves it after the first epoch; here it is 0.001 throughout.
    """
    nodes, channels = windows.values.shape[1:]
    network = STID(
        STIDConfig(
            input_len=windows.window,
            output_len=windows.horizon,
            num_features=nodes * channels,
            num_layers=3,
            if_time_in_day=True,
            num_time_in_day=windows.slots,
            if_day_in_week=windows.covers_week,
        )
    )

    def forecast(batch: dict[str, Tensor]) -> Tensor:
        x = batch["x"].flatten(2)  # [B, T, N * F]
        # STID floors share * slots; the middle of a slot is safe from rounding.
        day = (batch["slot"][:, : windows.window] + 0.5) / windows.slots
        week = (batch["day_of_week"][:, : windows.window] + 0.5) / 7
        return network(x, torch.stack([day, week], dim=-1)).unflatten(2, (nodes, channels))

    return protocol.Model(network, forecast)


if __name__ == "__main__":
    protocol.main("basicts", {"STID": make_stid})
