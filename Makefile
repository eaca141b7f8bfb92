PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TYPES := build/types/bark_onnx

.PHONY: help demo test lint types unit test-transformers-4 test-torch-free bench clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24

$(VENV)/.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt 'torch==2.13.0'
	$(PIP) --constraint constraints.txt --editable '.[cpu,export,dev]'
	touch $@

demo: $(VENV)/.stamp ## export the demo checkpoint and speak one sentence of noise to demo.wav
	$(BIN)/bark-export demo demo-onnx --force
	$(BIN)/bark-onnx speak "Hello, my dog is cute" -m demo-onnx -o demo.wav --seed 0

test: lint types unit ## lint, type checks and the whole test suite

lint: $(VENV)/.stamp ## ruff: format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

# mypy cannot follow an editable install, so it sees the three folders under their import names.
types: $(VENV)/.stamp ## mypy, strict on graphs and runtime
	mkdir -p $(TYPES)
	ln -sfn ../../../graphs ../../../runtime $(TYPES)/
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p bark_onnx.graphs -p bark_onnx.runtime

unit: $(VENV)/.stamp ## the test suite alone
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

test-transformers-4: ## the parity tests against transformers 4.57, in .venv-transformers-4
	$(PYTHON) -m venv .venv-transformers-4
	.venv-transformers-4/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-transformers-4.txt 'torch==2.13.0'
	.venv-transformers-4/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-transformers-4.txt --editable '.[cpu,export,dev]'
	HF_HUB_OFFLINE=1 .venv-transformers-4/bin/python -m pytest tests/export tests/runtime

test-torch-free: $(VENV)/.stamp ## speak in .venv-cpu, which has the extra [cpu] and nothing else
	test -f demo-onnx/bark.json || $(BIN)/bark-export demo demo-onnx
	$(PYTHON) -m venv .venv-cpu
	.venv-cpu/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cpu]'
	.venv-cpu/bin/python tests/speak_without_torch.py demo-onnx

bench: $(VENV)/.stamp ## all benchmarks, full-size shapes with random weights
	$(PIP) --constraint constraints.txt --editable '.[cpu,export,dev,bench]'
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/batch.py
	$(BIN)/python benchmarks/compare.py

clean: ## remove environments, builds and the demo
	rm -rf .venv .venv-* build demo-onnx demo.wav .pytest_cache .mypy_cache .ruff_cache .hypothesis
