"""``socialgraph backtest``: how well a forecaster would have done, fold by fold."""

import argparse
from collections.abc import Sequence

__all__ = ["RIVALS", "main"]

RIVALS = ("last_value", "last_week", "daily_profile", "ridge", "ets")
_DESCRIPTION = """\
Rolling-origin backtest: for each of several folds, one after the other in time, train on what came
before it (or take the forecaster that is there), forecast it, and compare with rivals by a paired
test over days. All options of 'socialgraph fit' are options here too, besides --ckpt_path."""
_EPILOG = """\
A run that was stopped goes on if it is started again by the same words: folds that are whole are
kept. Results: backtest.json, and a folder for each fold with its training and its errors in sums
and counts (Parquet). 'socialgraph compare' puts two backtests of one protocol into one table."""


def main(args: Sequence[str] | None = None) -> None:
    """Run a backtest.

    Raises:
        ValueError, KeyError, OSError, RuntimeError: for what a user can mend.
    """
    parser = _parser()
    options, words = parser.parse_known_args(args)
    if options.refit_epochs is not None and (options.refit != "warm" or options.refit_epochs < 1):
        parser.error("expected --refit_epochs of 1 or more, with --refit warm.")
    from socialgraph.backtest.run import run

    run(options, words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "socialgraph backtest",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--config", required=True, help="profile of trainer, data and model, as for 'fit'")
    add("--folds", type=int, default=4, help="how many folds (default: %(default)s)")
    add(
        "--step",
        default="1w",
        help="what each fold tests: 6h, 1d, 1w, 1mo, 1q or 1y, in whole hours, local days or "
        "months; the last one ends with the series (default: %(default)s)",
    )
    add("--val", help="what is validated on before each fold (default: as long as --step)")
    add(
        "--refit",
        choices=("every", "warm", "never"),
        default="every",
        help="train for every fold from scratch, from the weights of the fold before (warm), or "
        "for the first fold only (default: %(default)s)",
    )
    add("--refit_epochs", type=int, help="epochs of a warm refit (default: as the first)")
    add(
        "--rivals",
        nargs="*",
        choices=RIVALS,
        help="who else forecasts; they are fitted anew for every fold (default: all; ets needs "
        "statsforecast)",
    )
    add("--folder", help="where the run is kept (default: runs/backtest/<name of the profile>)")
    add("--overwrite", action="store_true", help="replace an earlier run in that folder")
    return parser
