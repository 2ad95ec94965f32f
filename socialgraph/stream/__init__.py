"""Readings as they come: forecasts after each, kept with the state in one SQLite file."""

from socialgraph.stream.forecaster import StreamingForecaster
from socialgraph.stream.reader import StoreReader
from socialgraph.stream.store import StreamStore
from socialgraph.stream.stored import StoredStream

__all__ = ["StoreReader", "StoredStream", "StreamStore", "StreamingForecaster"]
