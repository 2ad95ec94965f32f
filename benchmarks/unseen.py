"""How well are detectors forecast that the training never saw?

``python -m benchmarks.unseen --config configs/metr_la_week.yaml --model stacked`` trains a
model twice for each seed, on all detectors and without a share of them (not even as neighbours),
and compares the errors on just these detectors, over the same test windows, where all report.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet

from benchmarks.accuracy import load_datamodule, run_command, run_model
from benchmarks.environment import result_path, write_result

__all__ = ["absolute_error", "main", "measure"]


def absolute_error(table: Path, target: str, detectors: list[str]) -> float:
    """MAE of a table of forecasts, with the truth beside them, over some detectors."""
    columns = pyarrow.parquet.read_table(
        table, columns=["detector", target, f"{target}_observed"]
    ).to_pandas()
    own = columns[columns["detector"].astype(str).isin(detectors)]
    return float(np.nanmean((own[target] - own[f"{target}_observed"]).abs()))


def measure(args: argparse.Namespace, seed: int, share: float | None) -> tuple[dict, Path]:
    """Train and test once; what came out, and the table of the test forecasts."""
    folder = Path(args.runs) / args.config.stem / ("all" if share is None else "held_out")
    options = [f"--trainer.max_epochs={args.epochs}"]
    options += ["--trainer.limit_train_batches=2"] if args.quick else []
    options += [] if share is None else [f"--data.held_out_detectors={share}"]
    options += [f"--data.series={args.data}"] if args.data else []
    result = run_model(args.config, seed, args.model, folder, options)
    checkpoint = folder / args.model / f"seed_{seed}" / "checkpoints" / "best.ckpt"
    table = checkpoint.with_suffix(".forecast.parquet")
    run_command(
        [
            "predict",
            f"--ckpt_path={checkpoint}",
            "--data.windows.predict_on=test",
            f"--forecast.path={table}",
        ]
    )
    return result, table


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = _parse(argv)
    output = args.output or result_path(f"unseen_{args.config.stem}", args.quick)
    target = load_datamodule(args.config, args.data).spec.targets[0]
    results = []
    for seed in args.seeds:
        held_out, table = measure(args, seed, args.share)
        _, with_all = measure(args, seed, None)
        detectors = held_out["test"]["unseen"]["detectors"]
        own, reference = (absolute_error(t, target, detectors) for t in (table, with_all))
        results.append(
            {
                "model": args.model,
                "seed": seed,
                "detectors": len(detectors),
                "target": target,
                "unit": held_out["test"]["targets"][target]["unit"],
                "mae_unseen": own,
                "mae_trained_on": reference,
            }
        )
        print(f"seed {seed}: unseen {own:.3f}, trained on {reference:.3f}", flush=True)
        write_result(output, "unseen", {**vars(args), "profile": args.config.stem}, results)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.unseen", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="profile with trainer and data")
    parser.add_argument("--data", help="another HDF5 file than the profile's")
    parser.add_argument("--model", default="stacked", help="name of a file in configs/model")
    parser.add_argument("--share", type=float, default=0.2, help="of the detectors, held out")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--runs", default="runs/unseen", help="folder of the trainings")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="two batches: does it run?")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
