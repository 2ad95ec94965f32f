"""Markdown tables of result files, one function per question."""

from collections.abc import Callable

from benchmarks.tables.accuracy import (
    accuracy,
    curve,
    few_days,
    ingredients,
    outages,
    peers,
    unseen,
    zero_shot,
)
from benchmarks.tables.backtest import backtest, backtest_ways
from benchmarks.tables.cost import (
    batch_size,
    data_loading,
    graph_building,
    pages,
    plan,
    runtime,
    shared_vs_distributed,
)
from benchmarks.tables.faults import hostile, mutation
from benchmarks.tables.feeds import clock_shifts, feed_samples, feeds
from benchmarks.tables.intervals import alarms, calibration
from benchmarks.tables.layers import encoder, pooling, streaming
from benchmarks.tables.service import service
from benchmarks.tables.streams import kept_stream, profile_drift, stream_accuracy

__all__ = ["TABLES"]

TABLES: dict[str, Callable[[dict], str]] = {
    function.__name__: function
    for function in (
        *(
            accuracy,
            curve,
            peers,
            unseen,
            outages,
            zero_shot,
            few_days,
            ingredients,
            shared_vs_distributed,
            data_loading,
            graph_building,
            pages,
            plan,
            runtime,
        ),
        *(batch_size, pooling, encoder, streaming, hostile, mutation),
        *(clock_shifts, feed_samples, feeds, service, backtest, backtest_ways),
        *(stream_accuracy, profile_drift, kept_stream),
        *(alarms, calibration),
    )
}
