"""Forecasts of any network by one that was trained on others."""

from socialgraph.pretrained.forecaster import PretrainedForecaster, load_pretrained

__all__ = ["PretrainedForecaster", "load_pretrained"]
