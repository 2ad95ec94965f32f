"""Train the network that comes with the package, on many networks.

``python -m benchmarks.pretrain --epochs 24`` makes random road networks, new ones in each epoch,
takes the real ones that are there, trains one network on all of them and writes
``socialgraph/pretrained/weights.ckpt``. ``--without metr_la`` leaves a real one out, to be forecast
afterwards by ``benchmarks.zero_shot``; ``--lacking faults`` leaves an ingredient of the random ones
out. A training that is stopped goes on with ``--resume``.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from benchmarks.auckland import auckland
from benchmarks.environment import ROOT, describe_environment
from benchmarks.zero_shot import averaged
from data_prep.simulate import random_networks
from data_prep.simulate.ranges import Ranges
from socialgraph import schema
from socialgraph.averaging import PowerAverage
from socialgraph.data import Loading, Network, NetworksDataModule, Windows
from socialgraph.forecaster import Forecaster
from socialgraph.graph import RadiusGraph
from socialgraph.nn import (
    Clock,
    LinearEncoder,
    Mask,
    Profile,
    Readings,
    Setting,
    SocialBlock,
    SocialGraphNet,
    SocialPooling,
    SumEncoder,
    XLSTMEncoder,
)
from socialgraph.pretrained import load_pretrained
from socialgraph.series import TrafficSeries

__all__ = ["INGREDIENTS", "main", "make_network", "train"]

# What a random network has, and the ranges without it.
INGREDIENTS: dict[str, dict] = {
    "layouts": {"layouts": ("polygon",), "num_roads": (3, 3), "spacing": (1.5, 1.5)},
    "scales": {"scale": (1.0, 1.0)},
    "demand profiles": {"profiles": ("commuter",)},
    "rain and events": {"rain": (0.0, 0.0), "events": (0.0, 0.0)},
    "quantities": {"quantities": ("speed", "flow")},
    "intervals": {"intervals": (5,)},
    "noise": {"noise": (0.0, 0.0), "rounding": (0.0, 0.0)},
    "faults": {"faulty": (0.0, 0.0), "missing": (0.0, 0.0), "zeros": 0.0},
}
GRAPH = {"max_radius": 5000.0, "max_num_neighbors": 12}
WINDOWS = Windows(12, 12)
_LONGER = (15.0, 60.0)  # minutes to average over, as real networks at such intervals are few
_CHECKED = 4  # random networks that stay, for validation


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
        longer = whole.select(vdids=whole.vdids[2::4])
        for name in ("speed", "count"):
            series.append(month.select([name]))
            series += [averaged(longer.select([name]), minutes) for minutes in _LONGER]
    return series


def make_network(setting: bool = False, width: int = 64, blocks: int = 2) -> SocialGraphNet:
    """The default network, for one feature of any network.

    Args:
        setting: tell it interval, spacing and quantity too.
        width: channels of what it knows of a detector; 64 in the default network.
        blocks: how many exchange with neighbours; 2 in the default network.
    """
    encoder = partial(
        SumEncoder,
        encoders=[
            partial(
                XLSTMEncoder,
                hidden_channels=width // 4,
                num_blocks=1,
                slstm_at=[],
                out_channels=width,
                patch=3,
            ),
            partial(LinearEncoder, out_channels=width),
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
    block = partial(SocialBlock, pooling=pooling, hidden_channels=4 * width)
    inputs = [Readings(), Mask(), Profile(), Clock(), *([Setting()] if setting else [])]
    return SocialGraphNet(inputs=inputs, encoder=encoder, block=block, num_blocks=blocks)


def train(
    series: list[TrafficSeries],
    passing: Callable[[int], list[Network]] | None,
    args: argparse.Namespace,
) -> Path:
    """Train one network on all series; the checkpoint of its last epoch.

    Args:
        series: those that stay, one feature each.
        passing: gives random networks for an epoch.
        args: see :func:`main`.
    """
    pl.seed_everything(args.seed)
    count = len(series) + (args.random if passing else 0)
    data = NetworksDataModule(
        series,
        windows=WINDOWS,
        split=(0.9, 0.1, 0.0),
        graph=RadiusGraph(**GRAPH, spacing=args.spacing),
        loading=Loading(args.batch_size, seed=args.seed),
        scale_by=args.scale_by,
        batches_per_epoch=args.batches * count,
        passing=passing,
    )
    folder = args.output.with_suffix(".training")
    network = make_network(args.setting, args.width, args.blocks)
    forecaster = Forecaster(network, silence=0.5, learning_rate=args.learning_rate)
    keep = ModelCheckpoint(
        folder, "last", enable_version_counter=False, save_on_train_epoch_end=True
    )
    trainer = pl.Trainer(
        max_epochs=args.epochs,
        accelerator=args.accelerator,
        logger=False,
        callbacks=[PowerAverage(), keep],
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=max(1, args.epochs // 4),
        reload_dataloaders_every_n_epochs=1,
    )
    last = folder / "last.ckpt"
    trainer.fit(forecaster, data, ckpt_path=last if args.resume else None)
    print(f"validation: {float(trainer.callback_metrics['val/mae']):.4f} deviations")
    return last


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    start = time.monotonic()
    ranges = replace(Ranges(), **INGREDIENTS.get(args.lacking, {}))
    if args.quick:
        ranges = replace(ranges, num_detectors=(4, 6), days=(4, 4), intervals=(15,))

    def passing(epoch: int) -> list[Network]:
        made = random_networks(args.random, args.seed, ranges, first=epoch * args.random)
        return [Network(one, split=(1.0, 0.0, 0.0)) for one in made]

    series = [] if args.simulated_only or args.quick else real(args.without)
    series += random_networks(2 if args.quick else _CHECKED, args.seed + 1000, ranges)
    names = [f"{s.dataset_name} {s.feature_names[0]}" for s in series]
    print(f"{', '.join(names)}; {args.random} random ones in each epoch", flush=True)
    forecaster = load_pretrained(train(series, passing if args.random else None, args))
    options = {n: v for n, v in vars(args).items() if n not in ("output", "resume", "quick")}
    minutes = round((time.monotonic() - start) / 60, 1)
    commit = describe_environment()["commit"]
    forecaster.card = {"series": names, **options, "minutes": minutes, "commit": commit}
    forecaster.save(args.output)
    print(f"written: {args.output} after {minutes} minutes")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.pretrain", description=__doc__)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batches", type=int, default=40, help="of each series in an epoch")
    parser.add_argument("--random", type=int, default=8, help="random networks in an epoch")
    parser.add_argument("--seed", type=int, default=0)
    real_ones = ["auckland", "metr_la", "aarhus"]
    parser.add_argument("--without", nargs="*", default=[], choices=real_ones)
    parser.add_argument("--simulated-only", action="store_true")
    parser.add_argument("--lacking", choices=[*INGREDIENTS], help="of the random networks")
    parser.add_argument("--scale-by", default="detector", choices=["detector", "network"])
    parser.add_argument("--spacing", type=float, help="as of RadiusGraph")
    parser.add_argument("--setting", action="store_true", help="tell interval, spacing, quantity")
    parser.add_argument("--width", type=int, default=64, help="channels; 64 is the default network")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--accelerator", default="cpu", choices=["cpu", "gpu"])
    parser.add_argument("--resume", action="store_true", help="go on with a stopped training")
    parser.add_argument("--quick", action="store_true", help="small networks: does it run?")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "socialgraph" / "pretrained" / "weights.ckpt"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
