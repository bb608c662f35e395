PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DB ?= postgres
TEST_ARGS ?=
WORKERS ?= 3
BENCH ?=
LIVETAIL_SOAK ?= 30

.PHONY: demo test soak lint bench clean

demo: $(VENV)/.demo-$(DB)
	$(BIN)/livetail demo --db $(DB)

test: $(VENV)/.dev
	tests/system-packages.sh
	$(BIN)/python -m tests.servers
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TEST_ARGS)

soak: $(VENV)/.dev
	tests/system-packages.sh
	$(BIN)/python -m tests.servers
	LIVETAIL_SOAK=$(LIVETAIL_SOAK) $(BIN)/python -m pytest -m soak -s $(TEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks $(BENCH)

clean:
	rm -rf $(VENV) .livetail

# A stamp per extra: made anew when the dependencies or the kernel change, so that a second run needs no network.
$(VENV)/.demo-postgres $(VENV)/.demo-mongo $(VENV)/.demo-mysql $(VENV)/.demo-mariadb $(VENV)/.dev: $(VENV)/.%: pyproject.toml $(wildcard cdc/kernel/*.p[xy][dx])
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Livetail needs Python 3.11 or later: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
