# Everything a person does here; `make` alone lists it. Needs Python 3.11-3.13 and a package index.

VENV := .venv
BIN := $(VENV)/bin
OPTRUN := $(BIN)/optrun
SETTINGS := pyproject.toml constraints.txt
TORTURE := $(addprefix tests/runner/test_,resume.py faults.py damaged_runs.py concurrent_runs.py)

.DEFAULT_GOAL := help
.PHONY: help setup train demo compare test test-all torture lint check format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: $(VENV)/.installed ## Train Lookahead on the built-in sample: the first thing to try
	@$(OPTRUN) train configs/lookahead_vgg19.yaml --sample
	@echo "To use the command yourself: . $(BIN)/activate"

demo: $(VENV)/.installed ## SGD against Lookahead, the same eight seeds each, on the sample: some minutes
	@$(OPTRUN) train configs/sgd_vgg19.yaml configs/lookahead_vgg19.yaml --sample --seeds 8 --set training.epochs=2 --results results/demo
	@$(OPTRUN) report results/demo -o results/demo/report.html
	@$(OPTRUN) compare results/demo

compare: $(VENV)/.installed ## Set all runs in results/ side by side
	@$(OPTRUN) compare results

test: $(VENV)/.installed-dev ## Run the tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: $(VENV)/.installed-dev ## Run the tests, also those that take long
	@$(BIN)/python -m pytest -n 2 --dist worksteal

torture: $(VENV)/.installed-dev ## Kill runs, fail writes, mutate configs by the thousand: hours
	@$(BIN)/python -m pytest -n 2 --timeout 7200 tests/torture $(TORTURE)
	@OPTRUN_MUTATIONS=10000 $(BIN)/python -m pytest --timeout 7200 tests/runner/test_configuration_properties.py

lint: $(VENV)/.installed-dev ## Check format, lint and types
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy

check: lint test ## Lint, then run the tests

format: $(VENV)/.installed-dev ## Format the code
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

setup: $(VENV)/.installed ## Make .venv and install what training needs

clean: ## Remove .venv and caches of tools; never results/ or photos
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './results/*' -prune -exec rm -rf {} +

$(VENV)/.installed: $(SETTINGS)
	@sh tools/install.sh $(VENV)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@sh tools/install.sh $(VENV) dev
	@touch $@
