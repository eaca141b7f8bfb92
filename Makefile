PYTHON ?= python3
VENV ?= .venv
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(SCRIPTS)
WORKERS ?= 2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TYPES := build/types/bark_onnx

.PHONY: help demo demo-export train-demo test lint types unit coverage docs build check-tag clean golden \
	test-snippets test-stress test-benchmarks test-optimum test-transformers-4 test-torch-free test-lowest test-cuda test-fake-cuda gpu-counts gpu-memory gpu-day test-webgpu test-browser soak torture bench test-c test-javascript test-ray

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24

$(VENV)/.stamp: pyproject.toml constraints.txt
	@echo 'Installing PyTorch and all other packages into $(VENV): 1.7 GB, a few minutes'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt 'torch==2.13.0'
	$(PIP) --constraint constraints.txt --editable '.[cpu,serve,batch,export,tokenizer-graph,plot,transformers,optimum,dev,docs,recognition]'
	touch $@

CPU_VENV := .venv-cpu
CPU_BIN := $(CPU_VENV)/$(SCRIPTS)

# The extra [cpu] and nothing else: no PyTorch.
$(CPU_VENV)/.stamp: pyproject.toml constraints.txt
	@echo 'Installing the runtime without PyTorch into $(CPU_VENV): 250 MB, half a minute'
	$(PYTHON) -m venv $(CPU_VENV)
	$(CPU_BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cpu]'
	touch $@

DEMO_TEXT := Hello! The weather is warm and sunny today.
demo: $(CPU_VENV)/.stamp ## the first minute: a sentence in hello.wav, with the runtime alone
	$(CPU_BIN)/bark-onnx speak "$(DEMO_TEXT)" -m demo -o hello.wav
	@echo 'Listen to hello.wav. Another voice says something else:'
	@echo '$(CPU_BIN)/bark-onnx speak "Good morning. How are you?" -m demo --voice v2/en_speaker_1 -o morning.wav'

demo-export: $(VENV)/.stamp ## export the demo's checkpoint in all precisions, and speak one sentence to demo.wav
	$(BIN)/bark-export demo demo-onnx --precision fp32,fp16,int8,int4 --force
	$(BIN)/bark-onnx speak "$(DEMO_TEXT)" -m demo-onnx -o demo.wav --seed 0

golden: $(VENV)/.stamp ## write the conformance kit of the demo again, in tests/golden/demo
	$(BIN)/bark-export demo build/demo-kit --precision fp32,int8 --force --golden tests/golden/demo

train-demo: $(VENV)/.stamp ## train a small Bark that talks, in build/demo; hours on two cores, resumed after an interrupt
	test -e /usr/lib/x86_64-linux-gnu/libflite.so.1 || { apt-get update -q && apt-get install -q -y --no-install-recommends flite; }
	$(BIN)/python -m bark_onnx.export.demo --work build/demo

test: lint types unit ## lint, type checks and the test suite of the package

lint: $(VENV)/.stamp ## ruff: format and rules; codespell; the layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-cache

# mypy cannot follow an editable install, so it sees the folders under their import names.
.PHONY: $(TYPES)
$(TYPES):
	mkdir -p $@
	ln -sfn ../../../export ../../../graphs ../../../runtime ../../../deploy/transformers $@/

types: $(VENV)/.stamp $(TYPES) ## mypy, strict on graphs and runtime, also on export and benchmarks
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p bark_onnx.graphs -p bark_onnx.runtime -p bark_onnx.export -p bark_onnx.transformers
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml ../../deploy/optimum
	cd build/types && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml ../../benchmarks

# The files of the tests marked as long start first.
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

SNIPPET_TESTS := tests/integration/test_docs.py tests/integration/test_readme.py
STRESS_TESTS := tests/runtime/server/test_soak.py tests/runtime/server/test_flood.py tests/runtime/cli/test_killed_batch.py
# These have targets of their own.
OTHERS := $(SNIPPET_TESTS) $(STRESS_TESTS) tests/benchmarks tests/deploy/optimum tests/embedding/test_browser.py
unit: $(VENV)/.stamp ## the test suite of the package alone
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest $(PARALLEL) $(addprefix --ignore ,$(OTHERS))

test-snippets: $(VENV)/.stamp ## what README.md and docs/ show runs as it stands
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest $(PARALLEL) $(SNIPPET_TESTS)

test-stress: $(VENV)/.stamp ## a server under a mix of clients and a flood of connections, a batch that is killed; minutes
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest $(PARALLEL) $(STRESS_TESTS)

test-benchmarks: $(VENV)/.stamp ## every benchmark, on tiny models
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest $(PARALLEL) tests/benchmarks

test-optimum: $(VENV)/.stamp ## the command of optimum
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests/deploy/optimum

coverage: $(VENV)/.stamp ## all tests with their coverage, which must not fall below the threshold
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest $(PARALLEL) --cov --cov-report term:skip-covered --cov-report xml

docs: $(VENV)/.stamp $(TYPES) ## the documentation in build/site; a broken link or reference fails
	$(BIN)/python -m zensical build --strict --clean
	$(BIN)/python docs/check_site.py build/site

build: $(VENV)/.stamp ## source archive and wheel in dist, checked by twine
	$(PIP) --constraint constraints.txt --editable '.[release]'
	rm -rf dist build/lib build/bdist.*
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

check-tag: $(VENV)/.stamp ## TAG=v1.2.3 is the version of the project
	test "$(TAG)" = "v$$($(BIN)/python -c 'from importlib.metadata import version; print(version("bark-onnx"))')"

test-transformers-4: ## the parity tests against transformers 4.57, in .venv-transformers-4
	$(PYTHON) -m venv .venv-transformers-4
	.venv-transformers-4/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-transformers-4.txt 'torch==2.13.0'
	.venv-transformers-4/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-transformers-4.txt --editable '.[cpu,serve,export,plot,dev]'
	HF_HUB_OFFLINE=1 .venv-transformers-4/$(SCRIPTS)/python -m pytest $(PARALLEL) tests/export tests/deploy/transformers tests/integration/test_parity.py tests/integration/test_demo.py tests/runtime/inference/test_stages.py tests/integration/test_batch.py

test-torch-free: $(CPU_VENV)/.stamp ## speak in .venv-cpu, which has the extra [cpu] and nothing else
	$(CPU_BIN)/python tests/support/speak_without_torch.py demo

# Tests that need neither the exporter nor the fixtures of tests/conftest.py, which import it.
TORCH_FREE_TESTS := $(addprefix tests/runtime/,audio/files engine provenance text/test_dialogue.py text/test_sentences.py)
test-lowest: ## speak and test in .venv-lowest, with the lowest versions that pyproject.toml allows
	mkdir -p build
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-lowest.txt --editable '.[cpu,serve]' pytest hypothesis
	.venv-lowest/$(SCRIPTS)/python tests/support/speak_without_torch.py demo
	.venv-lowest/$(SCRIPTS)/bark-onnx speak "Hello. Good night." -m demo -o build/lowest.opus --timestamps build/lowest.srt
	.venv-lowest/$(SCRIPTS)/bark-onnx info build/lowest.opus
	.venv-lowest/$(SCRIPTS)/python tests/support/serve_without_torch.py demo
	.venv-lowest/$(SCRIPTS)/python -m pytest --confcutdir tests/runtime $(TORCH_FREE_TESTS)

test-cuda: ## the parity tests and the benchmarks on a GPU, in .venv-cuda, with the extra [gpu]
	$(PYTHON) -m venv .venv-cuda
	.venv-cuda/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gpu,export,dev]'
	HF_HUB_OFFLINE=1 .venv-cuda/$(SCRIPTS)/python -m pytest --provider cuda tests/integration/test_cuda.py tests/integration/test_parity.py tests/deploy/transformers
	.venv-cuda/$(SCRIPTS)/python benchmarks/batch.py --provider cuda --precision fp16
	.venv-cuda/$(SCRIPTS)/python benchmarks/compare.py --provider cuda

FAKE_CUDA := build/fake_cuda
FAKE_CUDA_TESTS := tests/integration/test_fake_cuda.py tests/integration/test_fake_gpu_day.py
test-fake-cuda: ## the CUDA path without a GPU, in .venv-fake-cuda: ONNX Runtime's provider over a fake runtime
	$(PYTHON) -m venv .venv-fake-cuda
	.venv-fake-cuda/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt 'torch==2.13.0'
	.venv-fake-cuda/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[export,dev]' onnxruntime-gpu
	.venv-fake-cuda/bin/python -m tests.support.fake_cuda.build $(FAKE_CUDA)
	HF_HUB_OFFLINE=1 FAKE_CUDA_LOG=$(FAKE_CUDA)/log LD_LIBRARY_PATH=$(FAKE_CUDA) .venv-fake-cuda/bin/python -m pytest $(FAKE_CUDA_TESTS)

FAKE_RUN = HF_HUB_OFFLINE=1 FAKE_CUDA_LOG=$(FAKE_CUDA)/log LD_LIBRARY_PATH=$(FAKE_CUDA) .venv-fake-cuda/bin/python
gpu-counts: ## count again what speech asks of a GPU, in benchmarks/gpu/counts.json; after test-fake-cuda, with its environment
	$(FAKE_RUN) benchmarks/gpu_counts.py
	.venv-fake-cuda/bin/python benchmarks/gpu_expectation.py

gpu-memory: ## memory of a GPU by stage, with all stages loaded and with low memory, over the runtime of test-fake-cuda
	$(FAKE_RUN) benchmarks/gpu_day.py --part memory --size bark-small

gpu-day: ## everything that a GPU is needed for, in 25 minutes, in .venv-gpu, with the extra [gpu] and a PyTorch that knows the GPU
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gpu,export,dev]'
	.venv-gpu/$(SCRIPTS)/python benchmarks/gpu_day.py

WEBGPU_VENV := .venv-webgpu
SWIFTSHADER := /usr/lib/chromium/vk_swiftshader_icd.json
# The packages of $(VENV), and before them the plug-in with its own onnxruntime.
$(WEBGPU_VENV)/.stamp: $(VENV)/.stamp constraints-webgpu.txt
	$(PYTHON) -m venv $(WEBGPU_VENV)
	packages=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	$(WEBGPU_VENV)/$(SCRIPTS)/python -c 'import sys, sysconfig; open(sysconfig.get_path("purelib") + "/packages.pth", "w").write(f"import site; site.addsitedir({sys.argv[1]!r})\n")' "$$packages"
	$(WEBGPU_VENV)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check --no-deps --constraint constraints-webgpu.txt onnxruntime onnxruntime-ep-webgpu
	touch $@

test-webgpu: $(WEBGPU_VENV)/.stamp ## WebGPU on a Vulkan device in software, Chromium's, in .venv-webgpu; Debian's packages are installed if missing
	ldconfig -p | grep -q libvulkan.so.1 && test -e $(SWIFTSHADER) || { apt-get update -q && apt-get install -q -y --no-install-recommends chromium libvulkan1; }
	HF_HUB_OFFLINE=1 VK_ICD_FILENAMES=$(SWIFTSHADER) ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1 $(WEBGPU_VENV)/$(SCRIPTS)/python -m pytest tests/integration/test_webgpu.py

test-javascript: $(VENV)/.stamp ## the JavaScript package in Node, with values that Python computes; npm installs its packages; also part of test
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests/embedding/test_javascript.py

test-browser: $(VENV)/.stamp ## the server's page, pages of others and the page that speaks, in Chromium, which it installs on Debian if missing
	command -v chromium chromedriver >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends chromium chromium-driver; }
	$(BIN)/python -m pytest tests/runtime/server/test_page.py tests/runtime/server/test_browser_access.py tests/embedding/test_browser.py

ORT_HEADER := build/onnxruntime/usr/include/onnxruntime/onnxruntime_c_api.h
$(ORT_HEADER):
	tests/embedding/get_header.sh build/onnxruntime

test-c: $(VENV)/.stamp $(ORT_HEADER) ## a C program repeats the conformance kit; Debian has the header that it needs
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests/embedding/test_c.py

SOAK_REQUESTS ?= 10000
soak: $(VENV)/.stamp ## requests of all kinds to one server, its memory sampled, half an hour; SOAK_REQUESTS=10000
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -s tests/runtime/server/test_soak.py --soak-requests $(SOAK_REQUESTS)

RAY_VENV := .venv-ray
RAY_TESTS := tests/runtime/cluster
$(RAY_VENV)/.stamp: pyproject.toml constraints.txt
	@echo 'Installing the runtime with Ray, without PyTorch, into $(RAY_VENV): 800 MB, a minute'
	$(PYTHON) -m venv $(RAY_VENV)
	$(RAY_VENV)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cpu,serve,ray]' pytest hypothesis openai httpx2
	touch $@

test-ray: $(RAY_VENV)/.stamp ## a cluster of this machine, whose replicas are killed under load, in .venv-ray, with the extra [ray]
	HF_HUB_OFFLINE=1 RAY_USAGE_STATS_ENABLED=0 $(RAY_VENV)/$(SCRIPTS)/python -m pytest --confcutdir tests/runtime $(RAY_TESTS)

TORTURE ?= --seed 0
torture: $(VENV)/.stamp ## generated hostile files, options, signals and requests, minutes; TORTURE='--seed 1 --minutes 20'
	HF_HUB_OFFLINE=1 $(BIN)/python -m tests.support.torture $(TORTURE)

bench: $(VENV)/.stamp ## all benchmarks, full-size shapes with random weights
	$(PIP) --constraint constraints.txt --editable '.[cpu,export,dev,bench]'
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/batch.py
	$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/compare.py
	$(BIN)/python benchmarks/serve.py

clean: ## remove environments, builds and the demo
	rm -rf .venv .venv-* .cache .coverage coverage.xml build dist demo-onnx demo.wav hello.wav .pytest_cache .mypy_cache .ruff_cache .hypothesis
