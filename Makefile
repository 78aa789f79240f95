PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.SILENT:
.PHONY: demo test test-full check slow gpu stress bench bench-datasets bench-ops bench-ops-gpu clean

BENCHMARKS := env_steps evaluation evidence groot_features groot_inference loader report runs_ls serving
DATASETS := rlds_tfds dataset_open lerobot_loader lerobot_open calvin_voxels robomimic_fusion dataset_memory

demo: $(INSTALLED)
	$(BIN)/robocache demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-full: $(INSTALLED)
	$(BIN)/python -m pytest -m full tests/ops

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

slow gpu stress: $(INSTALLED)
	$(BIN)/python -m pytest -m $@

bench: $(INSTALLED)
	set -e; for name in $(BENCHMARKS); do \
		$(BIN)/python benchmarks/$$name.py --out benchmarks/out/$$name.json; \
	done

bench-ops: $(INSTALLED)
	$(BIN)/python benchmarks/resample.py --out benchmarks/out/resample.json
	$(BIN)/python benchmarks/align.py --out benchmarks/out/align.json
	$(BIN)/python benchmarks/augment.py --out benchmarks/out/augment.json
	$(BIN)/python benchmarks/voxelize.py --out benchmarks/out/voxelize.json
	$(BIN)/python scripts/ops_table.py benchmarks/out

bench-ops-gpu: $(INSTALLED)
	$(BIN)/python benchmarks/ops_gpu.py --out benchmarks/out/ops_gpu.json

# Each peer gets an environment of its own below benchmarks/out/, several gigabytes in all.
bench-datasets: $(INSTALLED)
	set -e; for name in $(DATASETS); do \
		$(BIN)/python benchmarks/$$name.py --out benchmarks/out/$$name.json; \
	done
	$(BIN)/python benchmarks/lerobot_loader.py --size 224 --batches 24 --rounds 3 \
		--out benchmarks/out/lerobot_cache.json
	$(BIN)/python benchmarks/rlds_tfds.py --size 224 --rounds 3 --out benchmarks/out/rlds_cache.json

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[sim,groot,serve,dev]'
	touch $@

clean:
	rm -rf .venv build dist src/*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
