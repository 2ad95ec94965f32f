"""Tables of what was broken on purpose."""

from benchmarks.tables.cells import markdown_table, measured_on

__all__ = ["hostile", "mutation"]

_GOOD = ("right", "accepted", "refused")
_BAD = ("wrong", "traceback", "crash", "hang", "memory")


def hostile(report: dict) -> str:
    """How many trials of each kind ended how."""
    rows = [
        [run["kind"], *(str(run["counts"].get(end, 0)) for end in (*_GOOD, *_BAD))]
        for run in report["results"]
    ]
    total = ["**all**"]
    total += [str(sum(r["counts"].get(e, 0) for r in report["results"])) for e in (*_GOOD, *_BAD)]
    heads = ["input", *_GOOD, *_BAD]
    return markdown_table(heads, [*rows, total]) + "\n\n" + measured_on(report)


def mutation(report: dict) -> str:
    """How many changes of each module its tests saw."""
    rows = [
        [run["subject"], f"{run['killed']} of {run['tried']}", _changed(run["survivors"])]
        for run in report["results"]
    ]
    tried, killed = (sum(run[name] for run in report["results"]) for name in ("tried", "killed"))
    note = f"{killed} of {tried} changes were seen. {measured_on(report)}"
    return markdown_table(["module", "seen", "not seen"], rows) + "\n\n" + note


def _changed(survivors: list[str]) -> str:
    lines = (
        line[1:].strip().replace("|", "\\|")
        for diff in survivors
        for line in diff.splitlines()
        if line.startswith("+") and not line.startswith("+++")
    )
    return "; ".join(f"`{line}`" for line in lines)
