"""What does each part of the default network add?

``python -m benchmarks.ablation --config configs/metr_la_week.yaml --seeds 0 1 2`` trains the
stacked network and variants of it, each with one thing changed, as ``benchmarks.accuracy`` does.
"""

import argparse
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.accuracy import run_model
from benchmarks.environment import result_path, write_result

__all__ = ["VARIANTS", "changes", "folder_of", "main", "run_variant"]


def _part(name: str, **options: object) -> dict:
    return {"class_path": f"socialgraph.nn.{name}", "init_args": options}


def _network(**options: object) -> dict:
    return {f"model.network.init_args.{name}": value for name, value in options.items()}


def _inputs(*parts: dict) -> dict:
    return _network(inputs=[_part("Readings"), _part("Mask"), *parts])


def _encoder(*parts: dict) -> dict:
    return _network(encoder=_part("SumEncoder", encoders=list(parts)))


def _xlstm(patch: int = 3, slstm_at: tuple = ()) -> dict:
    sizes = {"hidden_channels": 16, "num_blocks": 1, "out_channels": 64}
    return _part("XLSTMEncoder", slstm_at=list(slstm_at), patch=patch, **sizes)


_LINEAR = _part("LinearEncoder", out_channels=64)
_CLOCK = _part("Clock", harmonics=2)


def _gru(patch: int = 3) -> dict:
    return _part("GRUEncoder", out_channels=64, patch=patch)


def _pooling(**options: object) -> dict:
    pooling = "block.init_args.pooling.init_args"
    return _network(**{f"{pooling}.{name}": value for name, value in options.items()})


def _roads(**options: object) -> dict:
    graph = {"class_path": "socialgraph.graph.RoadGraph", "init_args": options}
    return {"data.graph": graph}  # of the distances in the file


_KEEP_BEST = [
    {
        "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
        "init_args": {"monitor": "val/mae", "filename": "best"},
    }
]

# Model, and what is changed of it.
VARIANTS: dict[str, tuple[str, dict]] = {
    "stacked": ("stacked", {}),
    "without pooling": ("stacked_alone", {}),
    "with a vector for each detector": ("stacked_identity", {}),
    "without profile": ("stacked", _inputs(_CLOCK)),
    "without its deviation": ("stacked", _inputs(_part("Profile", deviation=False), _CLOCK)),
    "without clock": ("stacked", _inputs(_part("Profile"))),
    "without xLSTM": ("stacked", _encoder(_LINEAR)),
    "without linear map": ("stacked", _encoder(_xlstm())),
    "GRU for xLSTM": ("stacked", _encoder(_gru(), _LINEAR)),
    "sLSTM for mLSTM": ("stacked", _encoder(_xlstm(slstm_at=(0,)), _LINEAR)),
    "fixed radius": ("stacked", _pooling(learn_radius=False)),
    "without direction": ("stacked", _pooling(pos_dim=0)),
    "neighbours by road": ("stacked", _roads(max_distance=5000.0, max_num_neighbors=12)),
    "silent neighbours masked": ("stacked", _network(mask_silent=True)),
    "four blocks": ("stacked", _network(num_blocks=4)),
    "average of three": (
        "ensemble",
        {  # each as one by itself
            "trainer.max_epochs": 36,
            "trainer.check_val_every_n_epoch": 3,
            "data.loading.batch_size": 48,
        },
    ),
    "trained without silence": ("stacked", {"model.silence": 0.0}),
    "trained with much silence": ("stacked", {"model.silence": 0.5}),
    "without averaging": ("stacked", {"trainer.callbacks": _KEEP_BEST}),
    "plain, attention": ("attention", {}),
    "plain, without pooling": ("alone", {}),
}
for window, patch in ((48, 12), (96, 12), (288, 24)):
    data = {"data.windows.window": window}
    VARIANTS |= {
        f"window {window}": ("stacked", _encoder(_xlstm(patch), _LINEAR) | data),
        f"window {window}, without xLSTM": ("stacked", _encoder(_LINEAR) | data),
        f"window {window}, GRU for xLSTM": ("stacked", _encoder(_gru(patch), _LINEAR) | data),
    }


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    output = args.output or result_path(f"ablation_{args.config.stem}", args.quick)
    configuration = {**vars(args), "profile": args.config.stem}
    runs = itertools.product(args.variants, args.seeds)
    results = [entry for path in args.add for entry in json.loads(path.read_text())["results"]]
    write_result(output, "accuracy", configuration, results)
    with ThreadPoolExecutor(args.jobs) as executor:
        for result in executor.map(lambda run: run_variant(args, *run), runs):
            print(f"{result['model']}, seed {result['seed']}", flush=True)
            results.append(result)
            write_result(output, "accuracy", configuration, results)


def run_variant(args: argparse.Namespace, variant: str, seed: int) -> dict:
    """Train and test a variant, in :func:`folder_of`."""
    options = [f"--trainer.max_epochs={args.epochs}", *changes(variant)]
    options += ["--trainer.limit_train_batches=2"] if args.quick else []
    options += [f"--data.series={args.data}"] if args.data else []
    folder = folder_of(args, variant)
    folder.mkdir(parents=True, exist_ok=True)
    return run_model(args.config, seed, VARIANTS[variant][0], folder, options) | {"model": variant}


def folder_of(args: argparse.Namespace, variant: str) -> Path:
    """Where the trainings of a variant are kept."""
    return Path(args.runs) / args.config.stem / variant.replace(" ", "_").replace(",", "")


def changes(variant: str) -> list[str]:
    """What a variant changes of its model, as words of the command line."""
    return [f"--{name}={json.dumps(value)}" for name, value in VARIANTS[variant][1].items()]


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="profile with trainer and data")
    parser.add_argument("--data", help="another HDF5 file than the profile's")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), help="default: all")
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="results to put first")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    parser.add_argument("--runs", default="runs/ablation", help="folder of the trainings")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="two batches: does it run?")
    args = parser.parse_args(argv)
    if unknown := set(args.variants) - set(VARIANTS):
        parser.error(f"there are no variants {sorted(unknown)}, but {list(VARIANTS)}.")
    return args


if __name__ == "__main__":
    main()
