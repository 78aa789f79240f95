PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.SILENT:
.PHONY: demo test check slow gpu stress bench clean

demo: $(INSTALLED)
	$(BIN)/robocache demo

test: $(INSTALLED)
	$(BIN)/python -m pytest

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

slow gpu stress: $(INSTALLED)
	$(BIN)/python -m pytest -m $@

bench: $(INSTALLED)
	set -e; for script in $$(grep -l __main__ benchmarks/*.py); do \
		$(BIN)/python $$script --out benchmarks/out/$$(basename $$script .py).json; \
	done

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[sim,dev]'
	touch $@

clean:
	rm -rf .venv build dist src/*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
