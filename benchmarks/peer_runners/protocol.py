"""What every runner shares: windows of the exported series, training by the clock, forecasts.

A runner is started in the environment of its package as
``python RUNNER DATA.npz OUT.npz --model NAME --budget SECONDS --seed S``. It writes ``forecasts``
``[W, P, N, F]`` in real units, for the test windows in order, and what they cost as ``OUT.json``.
"""

import argparse
import copy
import json
import re
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Model", "Windows", "forecast", "main", "train"]

CHECKS = 8
CLIP = 5.0


class Model(NamedTuple):
    """A released network and how it is trained.

    Args:
        network: the network.
        forecast: from a batch of :meth:`Windows.batch` to scaled forecasts ``[B, P, N, F]``.
        rate: learning rate of Adam, constant.
        batch_size: windows per training step.
    """

    network: nn.Module
    forecast: Callable[[dict[str, Tensor]], Tensor]
    rate: float = 1e-3
    batch_size: int = 16


class Windows:
    """Windows of an exported series, gathered by index and scaled by observed training readings.

    Args:
        path: npz that :func:`benchmarks.peers.export` wrote.

    Attributes:
        missing: whether any training reading is missing.
        covers_week: whether the training part holds every day of the week.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            entries = {name: torch.from_numpy(file[name]) for name in file.files}
        self.values = entries["values"]
        self.starts = {part: entries[part] for part in ("train", "val", "test")}
        self.time_of_day, self.day_of_week = entries["time_of_day"], entries["day_of_week"]
        self.edge_index, self.distance = entries["edge_index"], entries["distance"]
        self.window, self.horizon = int(entries["window"]), int(entries["horizon"])
        self.slots = int(entries["slots_per_day"])
        known = self.values[: int(entries["statistics_steps"])].double()
        self.loc = known.nanmean((0, 1)).float()
        scale = (known - self.loc).square().nanmean((0, 1)).sqrt().float()
        self.scale = torch.where(scale > 0, scale, 1.0)
        self.missing = bool(known.isnan().any())
        self.covers_week = len(self.day_of_week[: len(known)].unique()) == 7

    def batch(self, starts: Tensor) -> dict[str, Tensor]:
        """Inputs and targets of the windows that begin at ``starts``.

        Shapes:
            - **x:** scaled readings :math:`(B, T, N, F)`, 0 where missing
            - **covariates:** :math:`(B, T, N, C)`: sine and cosine of the time of day, and the mask
              of ``x`` if readings are missing
            - **targets:** scaled :math:`(B, P, N, F)`, NaN where missing
            - **slot, day_of_week:** of all steps :math:`(B, T + P)`, integers
        """
        steps = starts[:, None] + torch.arange(self.window + self.horizon)
        scaled = (self.values[steps] - self.loc) / self.scale
        x, targets = scaled.split([self.window, self.horizon], dim=1)
        slot = (self.time_of_day[steps] * self.slots).round().long() % self.slots
        clock = self.clock(slot[:, : self.window])[:, :, None].expand(-1, -1, x.size(2), -1)
        return {
            "x": x.nan_to_num(0.0),
            "covariates": torch.cat([clock, (~x.isnan()).float()], -1) if self.missing else clock,
            "targets": targets,
            "slot": slot,
            "day_of_week": self.day_of_week[steps],
        }

    def clock(self, slot: Tensor) -> Tensor:
        """Sine and cosine of the time of day ``[..., 2]``."""
        angle = 2 * torch.pi * slot / self.slots
        return torch.stack([angle.sin(), angle.cos()], dim=-1)

    def masked_mae(self, forecast: Tensor, targets: Tensor) -> Tensor:
        """MAE of scaled forecasts over the observed targets, in real units; 0 if none is."""
        observed = ~targets.isnan()
        error = torch.where(observed, forecast - targets.nan_to_num(0.0), 0.0).abs()
        return self.scale.mean() * error.sum() / observed.sum().clamp(min=1)


def train(model: Model, windows: Windows, budget: float, seed: int) -> dict[str, float]:
    """Train on the masked MAE; keep the weights of the best of at most 8 validation checks.

    Args:
        model: its weights are trained in place.
        windows: the data.
        budget: seconds of training steps; validation does not count.
        seed: seed of the order of the windows.

    Returns:
        What was spent, and the best validation MAE.

    Raises:
        RuntimeError: if the validation MAE was never finite.
    """
    optimizer = torch.optim.Adam(model.network.parameters(), lr=model.rate)
    order = _endless(windows.starts["train"], model.batch_size, seed)
    best, weights, seconds, count = torch.inf, None, 0.0, 0
    while seconds < budget:
        due = min(budget, seconds + budget / CHECKS)
        model.network.train()
        while seconds < due:
            start = time.perf_counter()
            count += _step(model, windows, optimizer, next(order))
            seconds += time.perf_counter() - start
        error = float(windows.masked_mae(*forecast(model, windows, "val")))
        if error < best:
            best, weights = error, copy.deepcopy(model.network.state_dict())
    if weights is None:
        raise RuntimeError(f"The validation MAE was never finite (last: {error}).")
    model.network.load_state_dict(weights)
    rates = {"training_seconds": seconds, "windows_per_second": count / seconds}
    options = {"learning_rate": model.rate, "batch_size": model.batch_size}
    return options | rates | {"validation_mae": best}


@torch.no_grad()
def forecast(model: Model, windows: Windows, part: str) -> tuple[Tensor, Tensor]:
    """Scaled forecasts and targets ``[W, P, N, F]`` of all windows of a part, in order."""
    model.network.eval()
    batches = map(windows.batch, windows.starts[part].split(16))
    pairs = [(model.forecast(batch), batch["targets"]) for batch in batches]
    return tuple(torch.cat(column) for column in zip(*pairs, strict=True))


def main(package: str, makers: dict[str, Callable[[Windows], Model]]) -> None:
    """Train and test one model, as the command line says.

    Args:
        package: distribution whose version is reported.
        makers: by name of a model, function that builds it.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", choices=list(makers), required=True)
    parser.add_argument("--budget", type=float, required=True, help="seconds of training")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    windows = Windows(args.data)
    model = makers[args.model](windows)
    cost = train(model, windows, args.budget, args.seed)
    scaled, _ = forecast(model, windows, "test")
    np.savez(args.output, forecasts=(scaled * windows.scale + windows.loc).numpy())
    report = {
        "parameters": sum(p.numel() for p in model.network.parameters()),
        **cost,
        "peak_memory_mib": _peak_memory(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in (package, "torch")},
    }
    args.output.with_suffix(".json").write_text(json.dumps(report))


def _endless(starts: Tensor, batch_size: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from starts[torch.randperm(len(starts), generator=generator)].split(batch_size)


def _step(model: Model, windows: Windows, optimizer: torch.optim.Optimizer, starts: Tensor) -> int:
    batch = windows.batch(starts)
    loss = windows.masked_mae(model.forecast(batch), batch["targets"])
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.network.parameters(), CLIP)
    optimizer.step()
    return len(starts)


def _peak_memory() -> float:
    """Highest resident memory of this process, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
