"""Pictures of result files, one function per question."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["PLOTS"]


def shared_vs_distributed(report: dict, path: Path) -> None:
    """Training step, peak memory, parameters and start-up against the number of detectors."""
    panels = {
        "training step, s": lambda e: e["training_step"]["median"],
        "peak memory, MiB": lambda e: e["peak_memory_mib"],
        "parameters": lambda e: e["parameters"],
        "start-up, s": lambda e: e["startup_seconds"],
    }
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
    for axis, (title, value) in zip(axes, panels.items(), strict=True):
        for form in ("shared", "vectorised", "looped"):
            own = [e for e in report["results"] if e["form"] == form and "error" not in e]
            axis.loglog([e["nodes"] for e in own], [value(e) for e in own], "o-", label=form)
        axis.set(title=title, xlabel="detectors")
        axis.grid(alpha=0.3)
    axes[0].legend()
    _save(figure, path)


def graph_building(report: dict, path: Path) -> None:
    """Time of each way against the number of detectors, for the first density."""
    figure, axis = plt.subplots(figsize=(5, 3.5), layout="constrained")
    degree = report["configuration"]["degrees"][0]
    for way in dict.fromkeys(entry["way"] for entry in report["results"]):
        own = [
            e
            for e in report["results"]
            if e["way"] == way and e.get("degree") == degree and "seconds" in e
        ]
        if own:
            seconds = [e["seconds"]["median"] for e in own]
            axis.loglog([e["nodes"] for e in own], seconds, "o-", label=way)
    axis.set(xlabel="detectors", ylabel="seconds", title=f"{degree:g} neighbours")
    axis.grid(alpha=0.3)
    axis.legend()
    _save(figure, path)


def curve(report: dict, path: Path) -> None:
    """Test error of each model against the seconds of training."""
    figure, axis = plt.subplots(figsize=(6, 3.8), layout="constrained")
    runs = [run for run in report["results"] if "test" in run]
    for name in dict.fromkeys(run["model"] for run in runs):
        errors: dict[float, list[float]] = {}
        for run in runs:
            if run["model"] == name:
                target = next(iter(run["test"]["targets"].values()))
                errors.setdefault(run["budget"], []).append(target["mae_all"])
        means = [sum(values) / len(values) for values in errors.values()]
        axis.semilogx(list(errors), means, "o-", label=name)
    (name, target), *_ = runs[0]["test"]["targets"].items()
    axis.set(xlabel="seconds of training", ylabel=f"MAE of {name} [{target['unit']}]")
    axis.set_xticks(list(errors), [f"{budget:g}" for budget in errors])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend()
    _save(figure, path)


def backtest(report: dict, path: Path) -> None:
    """Error of each forecaster fold by fold, and that of the network in percent of the others."""
    first, *others = report["results"]
    target = next(iter(first["models"]["network"]))
    lines = {"network, trained for every fold": first["models"]["network"]}
    never = next((run for run in others if run["way"] == "never"), None)
    if never is not None:
        lines["network, trained once"] = never["models"]["network"]
    lines |= {
        name.replace("_", " "): first["models"][name]
        for name in ("last_week", "daily_profile", "ridge")
        if name in first["models"]
    }
    starts = [np.datetime64(fold["tested_from"][:10]) for fold in first["folds"]]
    figure, axes = plt.subplots(2, 1, figsize=(9, 6), layout="constrained", sharex=True)
    reference = next(iter(lines.values()))
    for style, (name, found) in zip(("-", "--", "-", "-", "-"), lines.items(), strict=False):
        by = found[target]["by"]["fold"]
        own = [by[str(fold["number"] + 1)]["mae"] for fold in first["folds"]]
        line, *_ = axes[0].plot(starts, own, f"o{style}", markersize=3, label=name)
        if found is reference:
            best = np.array(own)
        else:
            gain = 100 * (best / np.array(own) - 1)
            axes[1].plot(starts, gain, f"o{style}", markersize=3, color=line.get_color())
    axes[1].axhline(0, color="black", linewidth=0.8)
    unit = reference[target]["unit"]
    axes[0].set(ylabel=f"MAE of {target} [{unit}]", ylim=(0, None))
    axes[1].set(ylabel="first network against it [%]", xlabel="first day of the fold")
    for axis in axes:
        axis.grid(alpha=0.3)
    axes[0].legend(ncols=3, fontsize=8)
    _save(figure, path)


PLOTS: dict[str, Callable[[dict, Path], None]] = {
    function.__name__: function
    for function in (backtest, curve, shared_vs_distributed, graph_building)
}


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
