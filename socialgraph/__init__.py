"""Traffic forecasting with one shared xLSTM encoder and social pooling on sensor graphs."""

__all__ = ["__version__"]
__version__ = "0.1.0"
