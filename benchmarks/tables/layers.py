"""Tables of the layers beside others that compute the same."""

import statistics

from benchmarks.tables.cells import last_line, markdown_table, measured_on, milliseconds, ratio

__all__ = ["encoder", "pooling", "streaming"]


def pooling(report: dict) -> str:
    """Time and memory of social pooling over the layers of PyG, by shape."""
    groups = {}
    for entry in report["results"]:
        key = tuple(entry[name] for name in ("nodes", "degree", "windows"))
        groups.setdefault(key, {})[entry["way"]] = entry
    kinds = {
        "Attention": ("social", "social_fixed", ("GATConv", "GATv2Conv", "TransformerConv")),
        "Mean": ("social_mean", "social_mean_fixed", ("SAGEConv",)),
    }
    others = {"Attention": ("dense", "loop"), "Mean": ("loop_mean",)}
    parts = []
    for kind, (social, fixed, peers) in kinds.items():
        rows = [
            _pooling_row(key, own, (social, fixed), peers, others[kind])
            for key, own in groups.items()
        ]
        heads = [
            *("detectors", "neighbours", "windows", "forward, ms", "of PyG", "fixed"),
            *("training, ms", "of PyG", "fixed", "peak MiB", "of PyG", "fixed"),
            *(f"{name} forward / training" for name in others[kind]),
            "forward over floor",
        ]
        aim = "0.7 in time and memory" if kind == "Attention" else "1 in time"
        parts += [f"{kind} (aim: at most {aim} of the fastest of {', '.join(peers)}):"]
        parts += [markdown_table(heads, rows)]
    rates = report["configuration"]["rates"]
    note = (
        "Medians in turn. *of PyG*: the ratio to its fastest; *fixed*: the same for a hard radius; "
        "the others are ratios of theirs to social. Copying runs at "
        f"{rates['bytes_per_second'] / 1e9:.1f} GB/s, matrix products at "
        f"{rates['operations_per_second'] / 1e9:.0f} Gflop/s. {measured_on(report)}"
    )
    return "\n\n".join([*parts, note])


def encoder(report: dict) -> str:
    """Time and memory of the encoder over the package's, by shape."""
    groups = {}
    for entry in report["results"]:
        key = tuple(entry[name] for name in ("width", "blocks", "slstm", "steps", "rows"))
        groups.setdefault(key, {})[entry["way"]] = entry
    rows = []
    for (width, blocks, slstm, steps, count), own in groups.items():
        package, fused, compiled = own["package"], own["fused"], own.get("compiled", {})
        row = [width, f"{blocks}{' with sLSTM' if slstm else ''}", steps, f"{count:,}"]
        for kind in ("forward", "training"):
            row.append(milliseconds(fused[kind]))
            row += [
                f"{package[kind]['median'] / way[kind]['median']:.1f}"
                if kind in way and kind in package
                else ""
                for way in (fused, compiled)
            ]
        memory = [way.get("peak_memory_mib") for way in (fused, package)]
        row.append(f"{memory[0] / memory[1]:.2f}" if all(memory) else "")
        row.append(f"{fused['forward']['median'] / fused['floor_seconds']:.1f}")
        rows.append([*row, package.get("left_out", "")])
    heads = [
        *("width", "blocks", "steps", "rows"),
        *("forward, ms", "times as fast", "compiled"),
        *("training, ms", "times as fast", "compiled"),
        *("peak memory, of the package's", "forward over floor", "package"),
    ]
    warm = [e["training_warm_up"] for e in report["results"] if e["way"] == "compiled"]
    rounds = sorted({len(e["training"]["repeats"]) for e in report["results"] if "training" in e})
    count = " to ".join(str(number) for number in dict.fromkeys((rounds[0], rounds[-1])))
    note = (
        f"Medians [quartiles] of {count} round(s) in turn; steps × rows × width × blocks up to "
        f"{report['configuration']['largest']:g}. "
    )
    if warm:
        note += f"The first compiled step took {min(warm):.0f} to {max(warm):.0f} s. "
    note += _gains(list(groups.values()))
    return markdown_table(heads, rows) + "\n\n" + note + measured_on(report)


def _gains(shapes: list[dict[str, dict]]) -> str:
    """Range and median of what is won over the package."""
    parts = []
    for way in ("fused", "compiled"):
        own = [s for s in shapes if way in s and "training" in s["package"]]
        for kind in ("training", "forward") if own else ():
            gains = [s["package"][kind]["median"] / s[way][kind]["median"] for s in own]
            parts.append(
                f"{kind}{' compiled' if way == 'compiled' else ''} {min(gains):.2f} to "
                f"{max(gains):.1f} (median {statistics.median(gains):.1f})"
            )
    return f"Times as fast: {', '.join(parts)}. " if parts else ""


def streaming(report: dict) -> str:
    """Milliseconds per reading, from a state and over windows."""
    rows = []
    for nodes in dict.fromkeys(entry["nodes"] for entry in report["results"]):
        own = {e["way"]: e for e in report["results"] if e["nodes"] == nodes}
        step = own.pop("step")
        row = [f"{nodes:,}", milliseconds(step["seconds"], 1), f"{step['state_mib']:,.1f}"]
        for entry in own.values():
            row += [milliseconds(entry["seconds"], 1), ratio(entry["seconds"], step["seconds"])]
        rows.append(row)
    windows = [
        head
        for length in report["configuration"]["windows"]
        for head in (f"window of {length}, ms", "over a step")
    ]
    note = (
        f"Median [quartiles] of {report['configuration']['repeats']} rounds in turn; width "
        f"{report['configuration']['hidden_channels']}, 2 blocks, attention. "
        f"{measured_on(report)}"
    )
    heads = ["detectors", "step, ms", "state, MiB", *windows]
    return markdown_table(heads, rows) + "\n\n" + note


def _pooling_row(
    key: tuple, own: dict[str, dict], socials: tuple[str, str], peers: tuple, others: tuple
) -> list[str]:
    """Ratios of one shape; those to PyG are to the best of its layers in each quantity."""
    values = {
        "forward": lambda e: e["forward"]["median"],
        "training": lambda e: e["training"]["median"],
        "memory": lambda e: e["peak_memory_mib"],
    }
    social = own[socials[0]]
    row = [f"{key[0]:,}", f"{social['edges'] / key[0]:.0f}", str(key[2])]
    for name, value in values.items():
        best = min(value(own[peer]) for peer in peers if "error" not in own[peer])
        scale, digits = (1, 1) if name == "memory" else (1e3, 2)
        row.append(f"{scale * value(social):,.{digits}f}")
        for way in socials:
            row.append(f"{value(own[way]) / best:.2f}" if best > 0 else "")
    for way in others:
        ratios = [
            f"{values[name](own[way]) / values[name](social):,.1f}"
            for name in ("forward", "training")
            if "error" not in own[way]
        ]
        row.append(" / ".join(ratios) or last_line(own[way]["error"]))
    return [*row, f"{values['forward'](social) / social['floor_seconds']:.1f}"]
