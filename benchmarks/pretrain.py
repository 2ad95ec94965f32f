"""Train the network that comes with the package, on many networks.

``python -m benchmarks.pretrain --epochs 20`` simulates road networks, takes the real ones that are
there, trains one network on all of them and writes ``socialgraph/pretrained/weights.ckpt``.
``--without metr_la`` leaves a real one out, to be forecast afterwards by ``benchmarks.zero_shot``.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl

from benchmarks.auckland import auckland
from benchmarks.environment import ROOT, describe_environment
from data_prep.simulate import simulate
from socialgraph import schema
from socialgraph.data import Loading, NetworksDataModule, TrafficDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.graph import RadiusGraph
from socialgraph.nn import (
    LinearEncoder,
    SocialBlock,
    SocialGraphNet,
    SocialPooling,
    SumEncoder,
    XLSTMEncoder,
)
from socialgraph.pretrained import PretrainedForecaster
from socialgraph.series import TrafficSeries
from socialgraph.standard import standardise

__all__ = ["main", "make_network", "train"]

# Detectors, days, minutes, freeways; the seed is the place in the list.
SIMULATED = [
    (40, 10, 5, 1),
    (60, 14, 5, 3),
    (100, 10, 5, 4),
    (80, 8, 5, 2),
    (30, 21, 15, 2),
    (50, 21, 10, 3),
    (120, 8, 5, 5),
    (24, 60, 60, 2),
]
GRAPH = {"max_radius": 5000.0, "max_num_neighbors": 12}
WINDOW, HORIZON = 12, 12


def simulated(quick: bool = False) -> list[TrafficSeries]:
    """Simulated networks, a series for each quantity."""
    series = []
    for seed, options in enumerate([(8, 4, 15, 1)] if quick else SIMULATED):
        detectors, days, minutes, freeways = options
        whole = simulate(detectors, days, minutes, seed=seed + 100, num_freeways=freeways)
        series += [whole.select([name]) for name in ("speed", "flow")]
    return series


def real(without: list[str]) -> list[TrafficSeries]:
    """Real networks whose data may be used in what is shipped, a series for each quantity."""
    series = []
    if "auckland" not in without:
        series.append(auckland("2022-01-01", "2023-12-31"))
    if "metr_la" not in without:
        series.append(schema.read(ROOT / "data" / "metr_la_week.h5", ["speed"]))
    if "aarhus" not in without:
        whole = schema.read(ROOT / "data" / "aarhus.h5", ["speed", "count"])
        month = whole.select(vdids=whole.vdids[::4])
        month.values, month.timestamps = month.values[:8640], month.timestamps[:8640]
        series += [month.select([name]) for name in ("speed", "count")]
    return series


def make_network() -> SocialGraphNet:
    """The default network, for one feature of any network."""
    encoder = partial(
        SumEncoder,
        encoders=[
            partial(
                XLSTMEncoder,
                hidden_channels=16,
                num_blocks=1,
                slstm_at=[],
                out_channels=64,
                patch=3,
            ),
            partial(LinearEncoder, out_channels=64),
        ],
    )
    pooling = partial(
        SocialPooling,
        aggr="attention",
        radius=3000.0,
        learn_radius=True,
        heads=4,
        concat=True,
        pos_dim=2,
    )
    block = partial(SocialBlock, pooling=pooling, hidden_channels=256)
    return SocialGraphNet(encoder=encoder, block=block, num_blocks=2)


def train(series: list[TrafficSeries], epochs: int, batches: int, seed: int) -> SocialGraphNet:
    """Train one network on all series.

    Args:
        series: one feature each.
        epochs: of ``batches`` batches of each series.
        batches: see there.
        seed: of weights and order.
    """
    pl.seed_everything(seed)
    networks = []
    for number, one in enumerate(series):
        scaled, _ = standardise(one)
        days = np.timedelta64(1, "D") / (scaled.interval_minutes * np.timedelta64(60, "s"))
        networks.append(
            TrafficDataModule(
                scaled,
                windows=Windows(WINDOW, HORIZON, stride=max(1, int(days) // 288)),
                split=(0.9, 0.1, 0.0),
                graph=RadiusGraph(**GRAPH),
                loading=Loading(16, seed=seed + number),
            )
        )
    data = NetworksDataModule(networks, batches_per_epoch=batches * len(networks), seed=seed)
    forecaster = Forecaster(make_network(), silence=0.5, learning_rate=2e-3)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=max(1, epochs // 4),
    )
    trainer.fit(forecaster, data)
    print(f"validation: {float(trainer.callback_metrics['val/mae']):.4f} deviations")
    return forecaster.network


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    start = time.monotonic()
    only = args.simulated_only or args.quick
    series = simulated(args.quick) + ([] if only else real(args.without))
    names = [f"{s.dataset_name} {s.feature_names[0]}" for s in series]
    print(f"{len(series)} series: {', '.join(names)}", flush=True)
    network = train(series, args.epochs, args.batches, args.seed)
    card = {
        "series": names,
        "epochs": args.epochs,
        "batches": args.batches,
        "seed": args.seed,
        "minutes": round((time.monotonic() - start) / 60, 1),
        "commit": describe_environment()["commit"],
    }
    PretrainedForecaster(network, WINDOW, HORIZON, RadiusGraph(**GRAPH), card).save(args.output)
    print(f"written: {args.output} after {card['minutes']} minutes")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.pretrain", description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batches", type=int, default=40, help="of each series in an epoch")
    parser.add_argument("--seed", type=int, default=0)
    real_ones = ["auckland", "metr_la", "aarhus"]
    parser.add_argument("--without", nargs="*", default=[], choices=real_ones)
    parser.add_argument("--simulated-only", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one small network: does it run?")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "socialgraph" / "pretrained" / "weights.ckpt"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
