"""Rolling-origin backtests: folds in time, rivals, paired tests, and their tables."""
