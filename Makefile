# Every target sets up what it needs in .venv: `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data
LABEL_MAPS ?= $(DATA)/label_maps
RUNS ?= runs
JOBS ?= 2
MAPS = label_maps=$(LABEL_MAPS)
WEIGHTS := SAM3DSegment/Resources/Weights/embedded.safetensors
# Off-screen rendering by VTK needs one of X, EGL or OSMesa.
RENDERING := libegl1 libegl-mesa0 libgl1-mesa-dri

.PHONY: help demo test check bench pictures train-embedded clean rendering
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 24

demo: $(VENV)/.with-demo  ## segment a structure of a real volume from three clicks
	$(BIN)/sam3dseg demo

test: $(VENV)/.with-test rendering  ## all tests, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.with-check  ## style, import directions, types, and the quick tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=SAM3DSegment:Training $(BIN)/lint-imports
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow and not gpu"

bench: $(VENV)/.with-bench rendering  ## tables of accuracy per click, of speed and of training throughput (DATA=folder, JOBS=processes)
	@mkdir -p bench-output
	$(BIN)/python Testing/Benchmarks/clicks.py --data $(DATA) --jobs $(JOBS) --json bench-output/clicks.json
	$(BIN)/python Testing/Benchmarks/latency.py --json bench-output/latency.json
	$(BIN)/python Testing/Benchmarks/effect.py --json bench-output/effect.json
	$(BIN)/python Testing/Benchmarks/throughput.py --data $(DATA) --json bench-output/throughput.json
	$(BIN)/python Testing/Benchmarks/decoders.py --json bench-output/decoders.json --plot bench-output/decoders.png

pictures: $(VENV)/.with-test rendering  ## the tutorial's pictures, by Slicer's own views; look at them afterwards
	$(BIN)/python Testing/Pictures/make_pictures.py

train-embedded: $(VENV)/.with-training  ## train the embedded model again, from nothing (LABEL_MAPS=folder, RUNS=folder)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/1 window=64 batch=4 optim.rate=1.5e-3 minutes=34 seed=1 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/2 init=$(RUNS)/1 window=80 batch=3 optim.rate=8e-4 minutes=15 seed=2 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/3 init=$(RUNS)/2 window=64 batch=4 optim.rate=1.5e-3 minutes=42 seed=101 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/4 init=$(RUNS)/3 window=96 batch=2 optim.rate=1e-3 minutes=50 seed=102 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/5 init=$(RUNS)/4 window=128 batch=1 optim.rate=4e-4 minutes=22 seed=103 $(MAPS)
	$(BIN)/sam3dseg-train export $(RUNS)/1 $(RUNS)/2 $(RUNS)/3 $(RUNS)/4 $(RUNS)/5 out=$(WEIGHTS)

clean:  ## remove caches and outputs; trained runs stay
	rm -rf build demo-output bench-output .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find SAM3DSegment Training Testing Resources -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Torch comes first and by exactly this name: any looser request may bring gigabytes of another build.
$(VENV)/.with-torch: constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet "$$(grep ^torch== constraints.txt)"
	@touch $@

$(VENV)/.with-%: pyproject.toml constraints.txt $(VENV)/.with-torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$*]'
	@touch $@

rendering:
	@command -v dpkg-query > /dev/null || exit 0; \
	missing=""; for package in $(RENDERING); do \
	  dpkg-query -W -f '$${Status}' $$package 2> /dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; then exit 0; fi; \
	echo "Tests that render off-screen are skipped. For them: sudo apt-get install$$missing"
