# Every target makes the virtual environment that it needs. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable

.PHONY: help demo test test-whole test-thorough check vectors tutorials docs wheel bench bench-cache bench-speed bench-gpu mutants clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("amad needs Python 3.10 or newer" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing amad[demo] into $(VENV) ..."
	$(INSTALL) '.[demo]'
	@touch $@

# timm needs torchvision, which breaks other imports where it does not match PyTorch's build: out of
# their way, for the one tutorial that needs them.
$(VENV)/beside: constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --upgrade \
	  --target $@ timm torchvision
	@touch $@

# Triton does not load where TensorFlow is loaded, and PyTorch loads it where it is installed.
$(VENV)/triton: constraints.txt | $(BIN)/python
	@mkdir -p $@
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --upgrade \
	  --target $@ 'triton; platform_system == "Linux"'
	@touch $@

$(VENV)/dev-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing amad[dev] into $(VENV); PyTorch, TensorFlow and JAX take some minutes ..."
	$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/demo-installed

demo: $(VENV)/demo-installed  ## Distil a student of a small vision-language model, three ways
	$(BIN)/amad demo

test: $(VENV)/dev-installed $(VENV)/beside $(VENV)/triton  ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-whole: $(VENV)/dev-installed $(VENV)/beside $(VENV)/triton  ## The same with every case of the matrices that `make test` thins
	$(BIN)/python -m pytest -n 2 --dist loadgroup --whole

test-thorough: $(VENV)/dev-installed $(VENV)/beside $(VENV)/triton  ## The same with 24 times as many drawn inputs (hours)
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -n 2 --dist loadgroup --whole --timeout 3600

check: $(VENV)/dev-installed  ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

vectors: $(VENV)/dev-installed  ## Make the golden vectors that ship, anew
	$(BIN)/python -m amad_core.conformance.vectors.make

tutorials: $(VENV)/dev-installed $(VENV)/beside  ## Run the tutorials whole; remake what they show
	$(BIN)/python -m tests.documentation.tutorials

docs: $(VENV)/dev-installed  ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel:  ## Build the wheel and test it from outside the tree, in a fresh environment
	PYTHON=$(PYTHON) .ci/wheel

bench: $(VENV)/dev-installed  ## Measure how well the kit names planted mistakes
	$(BIN)/python -m benchmarks.diagnosis_power

bench-cache: $(VENV)/dev-installed  ## Measure what a teacher cache saves and costs
	$(BIN)/python -m benchmarks.teacher_cache

bench-speed: $(VENV)/dev-installed  ## Measure speed and memory of the losses beside their peers (15 minutes)
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.speed.page

bench-gpu: $(VENV)/dev-installed  ## Measure the kernels on a GPU (refuses without one)
	$(BIN)/python -m benchmarks.gpu

mutants: $(VENV)/dev-installed  ## Mutation testing of the loss modules (long)
	$(BIN)/python tests/mutation/run.py

clean:  ## Remove everything that was made
	rm -rf $(VENV) site build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
