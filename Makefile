# recfactory: `make help` lists what there is.
PYTHON ?= python3.11
BIN := .venv/bin
LOCK := requirements-dev.lock
export OPENBLAS_NUM_THREADS = 1
export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help setup run test check format bench bench-day bench-night fuzz faults lock clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: .venv/.ready ## install everything into .venv (seconds when nothing changed)

# uv is fetched through pip; where it cannot reach the index (it does not read pip's
# configuration), pip installs the same locked, hashed set.
.venv/.ready: $(LOCK) requirements-boot.lock pyproject.toml
	@rm -f $@
	@$(PYTHON) -m pip install -q --disable-pip-version-check --root-user-action=ignore --upgrade \
	  --target .boot --require-hashes -r requirements-boot.lock || true
	@$(MAKE) --no-print-directory setup-uv || { echo "uv could not install; using pip"; $(MAKE) --no-print-directory setup-pip; }
	@touch $@

.PHONY: setup-uv setup-pip
setup-uv:
	@UV_PYTHON_DOWNLOADS=never .boot/bin/uv venv -q --clear .venv -p $(PYTHON)
	@VIRTUAL_ENV=.venv .boot/bin/uv pip sync -q --compile-bytecode --require-hashes $(LOCK)
	@VIRTUAL_ENV=.venv .boot/bin/uv pip install -q --offline --no-deps --no-build-isolation -e .

setup-pip:
	@$(PYTHON) -m venv --clear --without-pip .venv
	@$(PYTHON) -m pip --python .venv/bin/python install -q --disable-pip-version-check --root-user-action=ignore \
	  --require-hashes --only-binary :all: -r $(LOCK)
	@$(PYTHON) -m pip --python .venv/bin/python install -q --disable-pip-version-check --root-user-action=ignore \
	  --no-deps --no-build-isolation --no-index -e .

run: setup ## real tenants in, two nights, then serve on 127.0.0.1:8000 (RECFACTORY_HOME, RECFACTORY_SERVING__PORT)
	@exec $(BIN)/recfactory demo

test: setup check ## format, lint, types, import contracts and all tests
	$(BIN)/pytest -q -n 2

check: setup ## format, lint, types and import contracts only
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## put the code into the one format
	$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

bench: setup ## what is measured, as ratios against a floor taken in the same run
	$(BIN)/python -m benchmarks.night

bench-day: setup ## the lookup against its floors, latency, swaps, 4,000 tenants (needs wrk)
	$(BIN)/python -m benchmarks.day

bench-night: setup ## the whole fleet of The Complete Journey in one night, against its floor (minutes)
	$(BIN)/python -m benchmarks.fleet

fuzz: setup ## a minute of mutated deliveries: no crash, no hang, no memory above the cap
	RECFACTORY_FUZZ_SECONDS=$${RECFACTORY_FUZZ_SECONDS:-60} $(BIN)/pytest -q tests/faults/test_fuzz_import.py

# Everything that CI tries in small, at full size, by the tests of tests/faults and the swaps of a day.
# FAULTS_SEED=2 kills and flips elsewhere. Hundreds of real nights.
faults: setup ## kills, crashes, full disks and lost ledgers at full size, with their figures (docs/faults.md)
	FAULTS=full $(BIN)/pytest -q --timeout 0 tests/faults tests/scenarios/test_day.py

lock: ## resolve the dependencies anew (maintainers)
	.boot/bin/uv pip compile -q --upgrade $(COMPILE) requirements-boot.in -o requirements-boot.lock
	.boot/bin/uv pip compile -q --upgrade $(COMPILE) requirements.in -o requirements.lock
	.boot/bin/uv pip compile -q --upgrade $(COMPILE) -c requirements.lock requirements-ray.in -o requirements-ray.lock
	.boot/bin/uv pip compile -q --upgrade $(COMPILE) -c requirements.lock -c requirements-ray.lock requirements-dev.in -o requirements-dev.lock

COMPILE := --python-version 3.11 --python-platform x86_64-manylinux_2_28 --only-binary :all: --generate-hashes --no-header --no-annotate

clean: ## remove what was installed and made (not var/)
	rm -rf .venv .boot build *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
