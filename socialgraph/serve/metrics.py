"""Numbers of the service in the text format of Prometheus."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    SummaryMetricFamily,
)

from socialgraph.serve.service import Service

__all__ = ["metrics_text"]


def metrics_text(service: Service, requests: Mapping[int, int]) -> bytes:
    """All numbers, with ``requests`` by status."""
    registry = CollectorRegistry()
    registry.register(_Collector(service, requests))
    return generate_latest(registry)


class _Collector:
    """Gives the numbers of this moment."""

    def __init__(self, service: Service, requests: Mapping[int, int]) -> None:
        self._service, self._requests = service, requests

    def describe(self) -> list:
        return []

    def collect(self) -> Iterator[Any]:
        service, health = self._service, self._service.health()
        readings = CounterMetricFamily(
            "socialgraph_readings", "Times of readings by what became of them.", labels=["result"]
        )
        for result in ("read", "old", "repeated", "refused"):
            readings.add_metric([result], health["readings"].get(result, 0))
        requests = CounterMetricFamily(
            "socialgraph_requests", "Requests by status.", labels=["status"]
        )
        for status, count in sorted(self._requests.items()):
            requests.add_metric([str(status)], count)
        count, seconds = service.num_timed, service.seconds
        yield from (readings, requests)
        yield SummaryMetricFamily(
            "socialgraph_reading_seconds",
            "Forecasting after a reading and keeping both.",
            count_value=count,
            sum_value=seconds,
        )
        gauges = {
            "detectors": ("Detectors that are followed.", health["detectors"]),
            "silent_share": ("Share without a last reading.", health["share_silent"]),
            "reading_age_seconds": ("Age of the last reading.", health["age_seconds"]),
            "state_bytes": ("Size of the file of the stream.", service.path.stat().st_size),
        }
        for name, (text, value) in gauges.items():
            if value is not None:
                yield GaugeMetricFamily(f"socialgraph_{name}", text, value=value)
