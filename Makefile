# make demo: from nothing to a forecast and a picture; make demo-auckland: on real counts.
# make test: the whole test suite.
# make test-fast: what takes no processes and no seconds, for use while working.

PYTHON ?= python3
# Installed first and alone: any torch>=2.4 serves, this is the one the tests ran with.
TORCH ?= torch==2.13.0
BIN := .venv/bin
RUN := runs/demo
# Two test files at once; a file's tests share what they train.
SPREAD := -n 2 --dist loadscope

.PHONY: install demo demo-auckland test test-fast fuzz test-scatter lint clean

install: .venv/.installed

.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install "$(TORCH)"
	$(BIN)/pip install --editable ".[test]"
	touch $@

demo: install
	$(BIN)/python -m data_prep simulate data/demo.h5 --detectors 40 --days 14 --overwrite
	$(BIN)/python -m data_prep inspect data/demo.h5
	$(BIN)/socialgraph fit --config configs/simulated.yaml --data.series data/demo.h5 \
		--trainer.max_epochs 5 --trainer.logger.init_args.name demo \
		--trainer.logger.init_args.version "" --overwrite
	$(BIN)/socialgraph test --ckpt_path $(RUN)/checkpoints/best.ckpt
	$(BIN)/socialgraph predict --ckpt_path $(RUN)/checkpoints/best.ckpt \
		--data.windows.predict_on test --forecast.path $(RUN)/forecast
	$(BIN)/socialgraph plot $(RUN)/forecast.parquet data/demo.h5 $(RUN)/forecast.png
	$(BIN)/socialgraph report --ckpt_path $(RUN)/checkpoints/best.ckpt -o $(RUN)/report.html
	@echo
	@echo "data        data/demo.h5"
	@echo "checkpoint  $(RUN)/checkpoints/best.ckpt"
	@echo "errors      $(RUN)/checkpoints/best.test.json"
	@echo "forecasts   $(RUN)/forecast.csv and $(RUN)/forecast.parquet"
	@echo "picture     $(RUN)/forecast.png"
	@echo "report      $(RUN)/report.html, to open in a browser"

# Real counts by pip, from the package to a backtest by quarter and a report (docs/auckland.md).
AUCKLAND := --trainer.max_epochs 4 --trainer.limit_train_batches 150
demo-auckland: install
	$(BIN)/python -m benchmarks.auckland data/auckland
	$(BIN)/python -m data_prep convert csv data/auckland.h5 --overwrite --name auckland \
		--wide count=data/auckland/counts.csv --unit count=people/h \
		--detectors data/auckland/detectors.csv --detector-id-column detector \
		--lat-column lat --lon-column lon --timezone Pacific/Auckland --repeated-hour first
	$(BIN)/python -m data_prep inspect data/auckland.h5
	$(BIN)/socialgraph fit --config configs/auckland.yaml $(AUCKLAND) \
		--trainer.logger.init_args.name auckland --trainer.logger.init_args.version "" --overwrite
	$(BIN)/socialgraph test --ckpt_path runs/auckland/checkpoints/best.ckpt
	$(BIN)/socialgraph backtest --config configs/auckland.yaml $(AUCKLAND) --folds 3 --step 1q \
		--val 1mo --refit warm --refit_epochs 1 --folder runs/backtest/auckland_demo --overwrite
	$(BIN)/socialgraph report --ckpt_path runs/auckland/checkpoints/best.ckpt \
		--backtest runs/backtest/auckland_demo -o runs/auckland/report.html

test: install
	$(BIN)/python -m pytest $(SPREAD)

test-fast: install
	$(BIN)/python -m pytest $(SPREAD) -m "not slow"

# Hostile inputs of every kind, thousands of them; writes benchmarks/results/hostile.json.
fuzz: install
	$(BIN)/python -m tests.hostile --count 500

# The pooling once more with torch-scatter, which torch-geometric uses if it is installed; and
# the package as it is installed from its wheel.
test-scatter: .venv-scatter/.installed
	.venv-scatter/bin/python -c "import torch_scatter"
	rm -rf build/starter && .venv-scatter/bin/socialgraph init build/starter  # held by the wheel
	.venv-scatter/bin/python -m pytest tests/nn/test_pooling.py tests/nn/test_pooling_in_pyg.py tests/nn/test_sparse.py

.venv-scatter/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-scatter
	.venv-scatter/bin/pip install "$(TORCH)"
	.venv-scatter/bin/pip install ".[test]"
	PATH="$(CURDIR)/.venv-scatter/bin:$$PATH" \
		.venv-scatter/bin/pip install --no-build-isolation ".[scatter]"
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv .venv-scatter build *.egg-info runs/demo runs/auckland runs/backtest/auckland_demo \
		data/demo.h5 data/auckland data/auckland.h5
