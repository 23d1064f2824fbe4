# `make demo` and `make test` install everything they need into .venv; nothing else is installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := runs/demo
# Annotation tools want other versions than the tests, and weigh more than a gigabyte.
TOOLS := .venv-tools
# So do the libraries that log a training.
LOGGERS := .venv-loggers
# pip-audit brings packages that the product does not need.
AUDIT := .venv-audit

OLDEST ?= python3.11
NEWEST ?= $(PYTHON)

.PHONY: audit demo test docs bench fuzz validate pictures tools libraries loggers kernels dist-test check sample-data checkpoints demo-sample clean

demo: $(VENV)/installed
	rm -rf $(RUNS)
	$(BIN)/mahtdiag demo --out $(RUNS)

test: $(VENV)/installed-test $(VENV)/browser check
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2

check: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Strict: a link that leads nowhere fails.
docs: $(VENV)/installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/installed-test
	$(BIN)/python -m benchmarks

validate: $(VENV)/installed-test
	$(BIN)/python -m validation

pictures: $(VENV)/installed-test
	$(BIN)/python -m handbook.pictures

# Every reader; half an hour on two cores.
fuzz: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m fuzz --total 100000 --processes 2

libraries: $(VENV)/installed-test
	$(BIN)/pip install -q -c constraints.txt transformers
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -rs tests/network_libraries.py

loggers: $(LOGGERS)/installed
	OMP_NUM_THREADS=1 $(LOGGERS)/bin/python -m pytest -q -W default tests/training_loggers.py

# Triton's kernels, compiled where there is a CUDA device, else in its interpreter: a package of 0.3 GB.
kernels: $(VENV)/installed-test
	$(BIN)/pip install -q -c constraints.txt triton
	OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/triton_kernels.py

tools: $(TOOLS)/installed
	QT_QPA_PLATFORM=offscreen $(TOOLS)/bin/python -m pytest -q -W default tests/annotation_tools.py

# Licences of all dependencies, which needs no network, and known vulnerabilities of the versions that are constrained.
audit: $(VENV)/installed-test $(AUDIT)/installed
	$(BIN)/python -m tests.packaging.audit --pip-audit $(AUDIT)/bin/pip-audit

# Wheel and sdist in fresh environments: the oldest versions that are stated, and the newest. Without an index of
# CPU builds of torch (PIP_EXTRA_INDEX_URL) it fetches several gigabytes of CUDA.
dist-test: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.packaging.matrix --oldest $(OLDEST) --newest $(NEWEST)

sample-data: $(VENV)/installed-test
	$(BIN)/python -m training.make_sample_data sample_data

checkpoints: $(VENV)/installed-test
	$(BIN)/python -m training.train AP sample_data/mahtnet-ap.pt
	$(BIN)/python -m training.train LA sample_data/mahtnet-la.pt
	$(BIN)/python -m training.train AP sample_data/mahtnet-whole.pt --levels T1-L5 --threads 1

demo-sample: $(VENV)/installed-test
	$(BIN)/python -m training.make_demo mahtdiag/workflows/demo/sample

# torch comes first and exactly as constrained: a CPU build is enough here, and a looser requirement would
# fetch several gigabytes of CUDA packages.
$(VENV)/torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-test: $(VENV)/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,docs]"
	touch $@

$(TOOLS)/installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)" \
		-e . pytest hypothesis jsonschema labelme label-studio-sdk ultralytics
	touch $@

$(LOGGERS)/installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(LOGGERS)
	$(LOGGERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(LOGGERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e ".[lightning,tensorboard,mlflow,wandb]" pytorch-lightning pytest hypothesis
	touch $@

# Where it cannot be installed the licences are still looked at.
$(AUDIT)/installed:
	$(PYTHON) -m venv $(AUDIT)
	-$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit && touch $@

# The tests of the HTML report need a Chromium: any that is there will do.
$(VENV)/browser: $(VENV)/installed-test
	tests/browser/get_browser.sh $(BIN)
	touch $@

clean:
	rm -rf $(VENV) $(TOOLS) $(LOGGERS) $(AUDIT) $(RUNS) site
