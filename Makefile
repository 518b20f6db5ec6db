# Every target sets up what it needs in .venv or .venv-viewer: `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The browser viewer needs other versions of Slicer's libraries than the tests do.
VIEWER := .venv-viewer
VIEWER_BIN := $(VIEWER)/bin
DATA ?= ../shared/data
LABEL_MAPS ?= $(DATA)/label_maps
RUNS ?= runs
JOBS ?= 2
MAPS = label_maps=$(LABEL_MAPS)
CLOSER = clicks.closer_share=0.5
WEIGHTS := SAM3DSegment/Resources/Weights/embedded.safetensors
# Off-screen rendering by VTK needs one of X, EGL or OSMesa.
RENDERING := libegl1 libegl-mesa0 libgl1-mesa-dri
SAMPLE := demo-output/template.nii.gz
BROWSERS := chromium chromium-browser google-chrome
# Slicer's libraries come for Linux only.
CAN_SHOW = [ "$(HEADLESS)" != 1 ] && [ "$$(uname)" = Linux ] && [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] && \
  $(PYTHON) -c 'import webbrowser; webbrowser.get()' 2> /dev/null

.PHONY: help demo demo-files view test test-browser check bench readme-tables pictures train-embedded clean rendering browser
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 24

demo:  ## segment a structure of a real volume from three clicks, then click in it in the browser (HEADLESS=1: no browser)
	@if $(CAN_SHOW); then $(MAKE) --no-print-directory view; else $(MAKE) --no-print-directory demo-files; fi

demo-files: $(VENV)/.with-demo
	$(BIN)/sam3dseg demo

view: $(VIEWER)/.with-viewer rendering  ## click in IMAGE=file in the browser, or in the demonstration's volume
	$(if $(IMAGE),$(VIEWER_BIN)/sam3dseg view $(IMAGE),$(VIEWER_BIN)/sam3dseg demo)
	$(if $(IMAGE),,$(VIEWER_BIN)/python -m sam3dseg_viewer.sample $(SAMPLE))
	$(if $(IMAGE),,$(VIEWER_BIN)/sam3dseg view $(SAMPLE))

test: $(VENV)/.with-test rendering  ## all tests, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

test-browser: $(VIEWER)/.with-test-browser rendering browser  ## the browser viewer's tests, in headless Chromium
	OMP_NUM_THREADS=1 $(VIEWER_BIN)/python -m pytest -n auto --dist loadfile $(wildcard Testing/Python/test_view*.py)
	OMP_NUM_THREADS=1 $(VIEWER_BIN)/python -m pytest Testing/Browser -n auto --dist worksteal

check: $(VENV)/.with-check  ## style, import directions, types, and the quick tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=SAM3DSegment:Training:Viewer $(BIN)/lint-imports
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow and not gpu"

bench: $(VENV)/.with-bench rendering  ## all benchmarks, and a summary in bench-output (DATA=folder, JOBS=processes, ONLY="growth start", BENCH=quick)
	$(BIN)/python Testing/Benchmarks/bench.py --data $(DATA) --jobs $(JOBS) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(filter quick,$(BENCH)),--quick)

readme-tables: $(VENV)/.with-bench  ## the README's tables from what `make bench` measured
	$(BIN)/python Testing/Benchmarks/readme_tables.py

pictures: $(VENV)/.with-test $(VIEWER)/.with-test-browser rendering browser  ## pictures of the effect and the page; look at them
	$(BIN)/python Testing/Pictures/make_pictures.py
	$(VIEWER_BIN)/python Testing/Pictures/make_page_pictures.py

train-embedded: $(VENV)/.with-training  ## train the embedded model again, from nothing (LABEL_MAPS=folder, RUNS=folder)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/1 window=64 batch=4 optim.rate=1.5e-3 minutes=34 seed=1 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/2 init=$(RUNS)/1 window=80 batch=3 optim.rate=8e-4 minutes=15 seed=2 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/3 init=$(RUNS)/2 window=64 batch=4 optim.rate=1.5e-3 minutes=42 seed=101 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/4 init=$(RUNS)/3 window=96 batch=2 optim.rate=1e-3 minutes=50 seed=102 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/5 init=$(RUNS)/4 window=128 batch=1 optim.rate=4e-4 minutes=22 seed=103 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/6 init=$(RUNS)/5 window=96 batch=2 optim.rate=1e-3 minutes=145 seed=201 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/7 init=$(RUNS)/6 window=128 batch=1 optim.rate=4e-4 minutes=25 seed=202 $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/8 init=$(RUNS)/7 window=96 batch=2 optim.rate=1e-3 minutes=82 seed=301 $(CLOSER) $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/9 init=$(RUNS)/8 window=128 batch=1 optim.rate=4e-4 minutes=27 seed=302 $(CLOSER) $(MAPS)
	$(BIN)/sam3dseg-train synthetic out=$(RUNS)/10 init=$(RUNS)/9 part=judge window=128 batch=1 optim.rate=1.5e-3 minutes=20 seed=303 $(MAPS)
	$(BIN)/sam3dseg-train export $(foreach n,1 2 3 4 5 6 7 8 9 10,$(RUNS)/$(n)) out=$(WEIGHTS)

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

# The same in the viewer's own environment; its slicer-core is the one that trame-slicer asks for.
$(VIEWER_BIN)/python:
	$(PYTHON) -m venv $(VIEWER)

$(VIEWER)/.with-torch: constraints.txt | $(VIEWER_BIN)/python
	$(VIEWER_BIN)/python -m pip install --quiet "$$(grep ^torch== constraints.txt)"
	@touch $@

$(VIEWER)/constraints.txt: constraints.txt | $(VIEWER_BIN)/python
	grep -v ^slicer-core== constraints.txt > $@

$(VIEWER)/.with-%: pyproject.toml $(VIEWER)/constraints.txt $(VIEWER)/.with-torch
	$(VIEWER_BIN)/python -m pip install --quiet -c $(VIEWER)/constraints.txt -e '.[$*]'
	@touch $@

rendering:
	@command -v dpkg-query > /dev/null || exit 0; \
	missing=""; for package in $(RENDERING); do \
	  dpkg-query -W -f '$${Status}' $$package 2> /dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; then exit 0; fi; \
	echo "Slicer's views need more to draw off-screen, and tests that draw are skipped: sudo apt-get install$$missing"

browser:
	@for name in $(BROWSERS); do command -v $$name > /dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; then exit 0; fi; \
	echo "The browser tests need Chromium: sudo apt-get install chromium" >&2; exit 1
