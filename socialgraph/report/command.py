"""The command ``socialgraph report``: what a checkpoint can do, as one page."""

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from socialgraph.atomic import beside, refuse_replacing
from socialgraph.shell import split_names

if TYPE_CHECKING:  # what computes is imported when the options are read, so that --help is quick
    from socialgraph.data import TrafficDataModule
    from socialgraph.forecaster import Forecaster

__all__ = ["main", "write_report"]


def write_report(
    page: str | Path,
    ckpt_path: str | Path,
    series: str | Path | None = None,
    target: str | None = None,
    without_pooling: str | Path | None = None,
    backtest: str | Path | None = None,
    every: int | None = None,
    most_details: int = 250,
    trust: Sequence[str] = (),
    words: Sequence[str] = (),
) -> None:
    """Test a checkpoint and write the page of what it can do, whole or not at all.

    Args:
        page: HTML file to write. It needs nothing from anywhere else.
        ckpt_path: checkpoint of ``socialgraph fit``.
        series: HDF5 file to test on; None for the one of the training.
        target: the target that is told of; None for the first.
        without_pooling: checkpoint of a training without pooling, to compare with.
        backtest: folder of ``socialgraph backtest``, whose results are told too.
        every: score each so many-th test window; None for all, up to 300,000 forecasts of a
            detector.
        most_details: detectors whose day and neighbours are shown.
        trust: packages besides this one whose classes may be made from a checkpoint.
        words: the words of the command line, to be told on the page.

    Raises:
        ImportError: without plotly.
        ValueError: if the checkpoint, the data, the target or the other checkpoint do not fit
            each other, or a test part has no window.
        RuntimeError: if the pooling cannot work with the data.
        OSError: if a file cannot be read or written.
    """
    from socialgraph.atomic import replacing
    from socialgraph.report.backtest import read_backtest
    from socialgraph.report.collect import collect
    from socialgraph.report.page import plotly_script, render
    from socialgraph.report.scoring import score

    script = plotly_script()  # before minutes are spent
    forecaster, data = _prepare(ckpt_path, series, trust)
    target = target or data.spec.targets[0]
    if target not in data.spec.targets:
        raise ValueError(f"Expected '--target' as one of {data.spec.targets} (got {target!r}).")
    others = {}
    if without_pooling is not None:
        others["trained without pooling"] = _other(without_pooling, forecaster, data, trust)
    told = None if backtest is None else read_backtest(backtest, target, forecaster.given)
    scores = score(forecaster, data, target, others, every)
    content = collect(forecaster, data, scores, target, ckpt_path, most_details, list(words), told)
    with replacing(page) as temporary:
        temporary.write_text(render(content, script), encoding="utf-8")


def _prepare(
    ckpt_path: str | Path, series: str | Path | None, trust: Sequence[str]
) -> "tuple[Forecaster, TrafficDataModule]":
    """The forecaster of a checkpoint, and its data, as ``socialgraph test`` takes them.

    No state is carried between windows, as not all of them are scored.
    """
    from socialgraph.checkpoint import data_options, read_checkpoint
    from socialgraph.data import TrafficDataModule, Windows
    from socialgraph.forecaster import load
    from socialgraph.recipe import make

    options = data_options(read_checkpoint(ckpt_path), trust)
    forecaster = load(ckpt_path, trust=trust)
    source = series or options.get("series")
    if "networks" in options or source is None:
        raise ValueError(
            f"'{ckpt_path}' was not trained on the readings of one file. The report tells of one "
            "series: give a checkpoint of a training on it."
        )
    kept = ("features", "targets", "scaling", "known", "attributes", "holidays")
    windows = Windows(**options["windows"])
    if windows.carry_state:
        text = "The report forecasts from each window alone, without the state that was carried."
        warnings.warn(text, stacklevel=2)
    data = TrafficDataModule(
        str(source),
        windows=replace(windows, carry_state=False),
        split=make(options["split"], trust),
        graph=None if options["graph"] is None else make(options["graph"], trust),
        **{name: options[name] for name in kept if name in options},
    )
    data.setup("test")
    if not data.train_steps:
        raise ValueError(
            f"'{source}' has no reading before its test part, by the split of the training. The "
            "report compares with what was usual before: give the file of the training with the "
            "later readings added (python -m data_prep append)."
        )
    _follow(forecaster, data)
    return forecaster, data


def _follow(forecaster: "Forecaster", data: "TrafficDataModule") -> None:
    """Compare the data with those of the training, and take them as the data at hand."""
    forecaster.spec.check_form(data.spec)
    forecaster.spec.check_unseen(data.spec, data.first_times("test"))
    forecaster.follow(data.spec, data.history)


def _other(
    ckpt_path: str | Path, own: "Forecaster", data: "TrafficDataModule", trust: Sequence[str]
) -> "Forecaster":
    """A forecaster without pooling, of the same data."""
    from dataclasses import replace

    from socialgraph.forecaster import load

    other = load(ckpt_path, trust=trust)
    if getattr(other.network, "poolings", []):
        raise ValueError(
            f"Expected a checkpoint of a training without pooling (that of '{ckpt_path}' pools). "
            "Train one, such as with --model configs/model/stacked_alone.yaml."
        )
    form = {"graph": own.spec.graph, "max_radius": own.spec.max_radius}
    replace(other.spec, **form).check_form(data.spec)
    other.spec.check_unseen(data.spec, data.first_times("test"))
    other.follow(data.spec, data.history)
    return other


def main(args: Sequence[str] | None = None) -> None:
    """Write a report from the command line."""
    options = _parse(args)
    path = options.output or beside(options.ckpt_path, "report.html")
    refuse_replacing(path, options.ckpt_path, options.series, options.without_pooling)
    write_report(
        path,
        options.ckpt_path,
        options.series,
        options.target,
        options.without_pooling,
        options.backtest,
        options.every,
        options.details,
        split_names(options.trust),
        list(args or []),
    )
    print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "socialgraph report",
        description="Test a checkpoint and write what it can do as one HTML page, which needs "
        "nothing from anywhere else.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--ckpt_path", type=Path, required=True, help="checkpoint of 'socialgraph fit'")
    add("-o", "--output", type=Path, help="HTML file; by default beside the checkpoint")
    add("--data.series", dest="series", type=Path, help="other readings than those of the training")
    add("--target", help="the target that is told of (default: the first)")
    add("--without_pooling", type=Path, help="checkpoint of a training without pooling")
    add("--backtest", type=Path, help="folder of 'socialgraph backtest', to be told too")
    add("--every", type=int, help="score only every N-th test window (default: all, up to 300,000 "
        "forecasts of a detector)")  # fmt: skip
    add("--details", type=int, default=250, help="detectors that can be opened (default: 250)")
    add("--trust", default="", help="packages whose classes the checkpoint may name, with commas")
    options = parser.parse_args(args)
    if options.details < 1 or (options.every is not None and options.every < 1):
        parser.error("expected --details and --every of 1 or more.")
    return options
