# Everything one does with a clone. Needs Python 3.11 or newer with its venv module, and nothing else.
#
#   make demo                      a server on this machine's own readings
#   make test ARGS="-n 0 -x"       arguments for pytest; these: one after the other, up to the first failure
#   make demo PYTHON=python3.12    another interpreter, when .venv is made

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
PROJECT := setup.cfg pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test faults promise soak check format lint types dashboard dashboard-check screenshots audit mutants bench bench-quick pyz clean distclean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## start a server on this machine's own readings; Ctrl-C ends it
	@$(BIN)/webmacs demo $(ARGS)

test: $(VENV)/.test ## run every test, with branch coverage
	$(BIN)/pytest -n 2 --dist loadfile --cov --cov-report=term --cov-fail-under=95 $(ARGS)

faults: $(VENV)/.test ## break everything on purpose, at length: what docs/reliability.md promises, and a table of what came of it
	WEBMACS_TEST_LONG=1 $(BIN)/pytest -q --figures=docs/reliability.json -o faulthandler_timeout=1800 -m promise $(ARGS)

promise: $(VENV)/.test ## the same for one row of docs/reliability.md: make promise N=F1
	WEBMACS_TEST_LONG=1 $(BIN)/pytest -q --figures=build/reliability.json -o faulthandler_timeout=1800 --promise=$(N) $(ARGS)

soak: $(VENV)/.test ## 20 minutes at half of what this machine takes: memory, descriptors, lag (ARGS=--minutes=60)
	$(BIN)/python -m benchmarks.soak $(ARGS)

check: test format lint types dashboard-check ## what CI runs: the tests, the format, the lint rules, the types, the dashboard

format: $(VENV)/.lint ## is everything formatted? (`.venv/bin/ruff format` mends it)
	$(BIN)/ruff format --check .

lint: $(VENV)/.lint ## ruff's rules
	$(BIN)/ruff check .

types: $(VENV)/.lint ## mypy --strict over the package, the tests, the benchmarks and the examples
	$(BIN)/mypy

dashboard: frontend/node_modules/.package-lock.json ## build webmacs/static/ from frontend/ (needs Node 20 or newer, with npm)
	cd frontend && npm run build

dashboard-check: $(VENV)/.test frontend/node_modules/.package-lock.json ## the dashboard's format, lint, types, tests; is webmacs/static/ what frontend/ makes?
	cd frontend && npm run check
	PYTHON=$(abspath $(BIN)/python) frontend/scripts/compare.sh

screenshots: $(VENV)/.test ## the README's pictures, from the demonstration: ten minutes (needs Debian's chromium)
	$(BIN)/python frontend/scripts/screenshots.py

frontend/node_modules/.package-lock.json: frontend/package.json frontend/package-lock.json
	@command -v npm >/dev/null || { echo "the dashboard is built with npm, which is not here: install Node.js 20 or newer" >&2; exit 1; }
	cd frontend && npm ci
	@touch $@

audit: $(VENV)/.audit ## known vulnerabilities in what a fresh installation gets today
	@$(BIN)/python .ci/audit.py

mutants: $(VENV)/.mutants ## change the core in some 1,500 small ways: which does no test notice? (docs/testing.md)
	$(BIN)/mutmut run $(ARGS)
	$(BIN)/mutmut results

bench: $(VENV)/.test ## measure everything beside its limit, some 20 minutes (ARGS="--part fan-out"): docs/performance.md
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/.test ## the same in small: under a minute
	$(BIN)/python -m benchmarks --quick $(ARGS)

pyz: dist/webmacs.pyz ## one executable file, for machines with this Python and this kind of processor

dist/webmacs.pyz: $(VENV)/.test $(PROJECT) README.md $(shell find webmacs -type f -not -name '*.pyc')
	@mkdir -p dist
	@$(BIN)/shiv --quiet --compressed --reproducible --console-script webmacs \
		--python '/usr/bin/env python3' --output-file $@ .
	@echo "$@ is made: $$(du -h $@ | cut -f1)"

clean: ## remove what was built and cached; the demo's data and .venv stay
	@rm -rf build dist *.egg-info frontend/node_modules .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache mutants
	@find webmacs tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv too
	@rm -rf $(VENV)

# -- the environment -----------------------------------------------------------------------------------------------
# A stamp for each set of packages, so that a second call has nothing to do until the project's own files change.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "WebMACS needs Python 3.11 or newer, and $(PYTHON) is not: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(PROJECT) | $(BIN)/python
	@$(call install,webmacs,.)
$(VENV)/.test: $(PROJECT) | $(BIN)/python
	@$(call install,what the tests need,.[test])
$(VENV)/.lint: $(PROJECT) | $(BIN)/python
	@$(call install,what the checks need,.[lint$(comma)test])
$(VENV)/.audit: $(PROJECT) | $(BIN)/python
	@$(call install,what the audit needs,.[audit])

$(VENV)/.mutants: $(PROJECT) | $(BIN)/python
	@$(call install,what the mutation run needs,.[mutants$(comma)test])

comma := ,

# A dot a second while pip works; its own words only when it fails.
define install
printf 'installing $(1) '; \
$(PIP) install --editable '$(2)' > $(VENV)/pip.log 2>&1 & pip=$$!; \
trap "kill $$pip" INT TERM; \
while kill -0 $$pip 2> /dev/null; do printf .; sleep 1; done; \
if wait $$pip; then echo ' done'; touch $@; else echo ' failed'; cat $(VENV)/pip.log >&2; exit 1; fi
endef
