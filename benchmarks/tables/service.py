"""The table of the service under load."""

from benchmarks.tables.cells import markdown_table, measured_on

__all__ = ["service"]


def service(report: dict) -> str:
    """Latencies of both kinds of requests, and how they ended."""
    rows = []
    for entry in report["results"]:
        for kind, text in (("forecasts", "GET /forecasts"), ("readings", "POST /readings")):
            own = entry[kind]
            ended = {k.split()[1]: n for k, n in entry["statuses"].items() if k.startswith(kind)}
            rows.append(
                [
                    text,
                    f"{own['count']:,}",
                    *(f"{1e3 * own[name]:,.1f}" for name in ("p50", "p95", "p99", "max")),
                    f"{sum(n for status, n in ended.items() if status != '200'):,}",
                ]
            )
    heads = ["request", "number", "median, ms", "95 %", "99 %", "longest", "errors"]
    (entry, options) = report["results"][0], report["configuration"]
    note = (
        f"{options['rate']:g} forecasts of one detector a second for {options['seconds']:g} "
        f"seconds, and readings of {entry['nodes']:,} detectors with {entry['features']} features "
        f"each second; latency from when a request was due; {entry['peak_mib']:,.0f} MiB at most. "
        f"Load of the machine before: {entry['load_before']:.1f} on "
        f"{report['environment']['cores']} cores, which client and service share. "
        f"{measured_on(report)}"
    )
    return f"{markdown_table(heads, rows)}\n\n{note}"
