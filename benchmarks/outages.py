"""How well does a model forecast while detectors are silent?

``python -m benchmarks.outages --config configs/metr_la_week.yaml --checkpoints a.ckpt --names a``
tests trained models, the last value and the mean of the time of day on the test windows, from which
a share of the input is taken away: single readings, whole detectors for the window, or all of them
for the window (an hour, at twelve steps of five minutes). The truth stays.
"""

import argparse
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from benchmarks.accuracy import load_datamodule
from benchmarks.environment import result_path, write_result
from socialgraph.backtest.rivals import LastValue, TimeOfDayMean
from socialgraph.data import TrafficDataModule
from socialgraph.forecaster import Forecaster, load

__all__ = ["Outage", "main", "measure"]

KINDS = ("readings", "detectors", "windows")


class Outage(pl.Callback):
    """Takes a share of the input of test windows away, the same at each test.

    Args:
        kind: what falls silent: single ``"readings"``, ``"detectors"`` for a window, or all of some
            ``"windows"``.
        share: how much of it.
    """

    def __init__(self, kind: str, share: float) -> None:
        self.kind = kind
        self.share = share
        self.random = torch.Generator().manual_seed(0)

    def on_test_batch_start(
        self, trainer: pl.Trainer, forecaster: Forecaster, batch: dict, *_: object
    ) -> None:
        """Silence a batch."""
        batch["mask"] = batch["mask"] & ~self.silent(batch["mask"])
        batch["features"] = torch.where(batch["mask"], batch["features"], 0.0)

    def silent(self, mask: Tensor) -> Tensor:
        """What is taken away from a mask ``[B, T, N, F]``, of axes that can be spread to it."""
        windows, steps, nodes, _ = mask.shape
        shape = {
            "readings": (windows, steps, nodes, 1),
            "detectors": (windows, 1, nodes, 1),
            "windows": (windows, 1, 1, 1),
        }[self.kind]
        return torch.rand(shape, generator=self.random) < self.share


def measure(forecaster: Forecaster, datamodule: TrafficDataModule, outage: Outage) -> float:
    """MAE of the first target over all steps, in its unit."""
    trainer = pl.Trainer(
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[outage],
    )
    trainer.test(forecaster, datamodule=datamodule, verbose=False)
    return float(forecaster.test_errors["mae_all"][0])


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    output = args.output or result_path(f"outages_{args.config.stem}", args.quick)
    datamodule = load_datamodule(args.config, args.data)
    models = {
        "last value": Forecaster(LastValue(datamodule.windows.horizon, datamodule.num_targets)),
        "time-of-day mean": Forecaster(TimeOfDayMean(datamodule)),
        **{name: load(path) for name, path in zip(args.names, args.checkpoints, strict=True)},
    }
    results = []
    for name, forecaster in models.items():
        for kind, share in [("readings", 0.0), *((k, s) for k in KINDS for s in args.shares)]:
            mae = measure(forecaster, datamodule, Outage(kind, share))
            results.append({"model": name, "kind": kind, "share": share, "mae": mae})
            print(f"{name}, {share:.0%} of {kind}: {mae:.3f}", flush=True)
        write_result(output, "outages", {**vars(args), "profile": args.config.stem}, results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.outages", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="profile with trainer and data")
    parser.add_argument("--data", help="another HDF5 file than the profile's")
    parser.add_argument("--checkpoints", type=Path, nargs="*", default=[], help="trained models")
    parser.add_argument("--names", nargs="*", default=[], help="what they are called, as many")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.1, 0.3, 0.5])
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="one share: does it run?")
    args = parser.parse_args(argv)
    if len(args.names) != len(args.checkpoints):
        parser.error("expected as many --names as --checkpoints.")
    args.shares = args.shares[:1] if args.quick else args.shares
    return args


if __name__ == "__main__":
    main()
