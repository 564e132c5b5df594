.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
ARGS ?=
JOBS ?= 3

# The first interpreter that is new enough.
FOUND := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

ENV ?= development

.PHONY: help install run migrate api scheduler test check check-llm screenshots openapi audit simulate chaos herd soak alerts failover upgrade sbom bench eval lock

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.runtime ## Make .venv and install what Rubato needs to run

run: install ## Start everything on this machine (ARGS="--port 4000 --no-demo")
	@$(PYTHON) -m rubato dev $(ARGS)

migrate: install ## Bring the tables of DATABASE_URL up to date (ENV=development, staging or production)
	@RUBATO_ENV=$(ENV) $(PYTHON) -m rubato migrate $(ARGS)

api: install ## Serve the API (ENV=development, staging or production)
	@RUBATO_ENV=$(ENV) $(PYTHON) -m rubato api $(ARGS)

scheduler: install ## Run what is due, as a process of its own (ENV=development, staging or production)
	@RUBATO_ENV=$(ENV) $(PYTHON) -m rubato worker $(ARGS)

test: $(VENV)/.dev ## Run the test suite against a real PostgreSQL (ARGS="-k governor", JOBS=1)
	@env -u OPENAI_API_KEY $(PYTHON) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(VENV)/.dev ## Lint, format, types, import rules
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" lint-imports

screenshots: $(VENV)/.dev ## Photograph every screen, light, dark and narrow (ARGS="--folder shots --only keys")
	@$(PYTHON) -m tests.browser $(ARGS)

openapi: $(VENV)/.dev ## Write docs/openapi.json, unless that breaks clients (ARGS=--break)
	@$(PYTHON) -m tests.openapi $(ARGS)

audit: $(VENV)/.dev ## Look for known vulnerabilities in the pinned requirements
	@$(PYTHON) -m tests.audit

simulate: $(VENV)/.dev ## Play faults and interleavings (ARGS="--seeds 10000", ARGS="--seed 123 --trace")
	@$(PYTHON) -m tests.simulation $(ARGS)

check-llm: $(VENV)/.dev ## Ask a real model at OPENAI_BASE_URL (ARGS="--record", ARGS="--only calm")
	@$(PYTHON) -m tests.llm $(ARGS)

bench: $(VENV)/.bench ## Measure every bar, beside other schedulers in the same run (ARGS="--write lateness")
	@$(PYTHON) -m benchmarks $(ARGS)

chaos: $(VENV)/.dev ## Kill and cut off workers at length (ARGS="--seconds 60 --kills 90 --stops 15 --requests 8000")
	@$(PYTHON) -m tests.chaos chaos $(ARGS)
	@RUBATO_TEST_LONG=1 $(PYTHON) -m pytest -q -s --no-header tests/integration/test_network_faults.py

soak: $(VENV)/.dev ## Load a worker steadily and see what grows (ARGS="--minutes 20")
	@$(PYTHON) -m tests.chaos soak $(ARGS)

alerts: $(VENV)/.dev ## Induce faults until each alert fires, at the rules' real durations (an hour)
	@RUBATO_TEST_LONG=1 $(PYTHON) -m pytest -q -s --no-header tests/acceptance/test_alerts.py

failover: $(VENV)/.dev ## Promote a streaming replica under load, five times synchronous and five times not
	@RUBATO_TEST_LONG=1 $(PYTHON) -m pytest -q -s --no-header tests/chaos/test_failover.py

upgrade: $(VENV)/.dev ## Migrate the tables under the release before, and let both releases work side by side
	@RUBATO_TEST_LONG=1 $(PYTHON) -m pytest -q -s --no-header tests/acceptance/test_upgrade.py

sbom: $(VENV)/.dev ## Write what the product is made of, as CycloneDX (ARGS="-o sbom.json")
	@$(PYTHON) -m cyclonedx_py requirements requirements/runtime.txt --pyproject pyproject.toml --output-reproducible $(ARGS)

herd: $(VENV)/.dev ## Let 10,000 jobs fall due in one second (ARGS="--jobs 1000")
	@$(PYTHON) -m tests.chaos herd $(ARGS)

eval: install ## Play the quick set of worlds; fail where worse than the committed baseline (ARGS="--full --html report.html")
	@$(PYTHON) -m rubato eval --check $(ARGS)

lock: $(VENV)/.dev ## Pin the requirements again
	@rm -f requirements/*.txt
	@$(PYTHON) -m piptools compile $(LOCK) -o requirements/runtime.txt pyproject.toml
	@$(PYTHON) -m piptools compile $(LOCK) --extra dev -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml
	@$(PYTHON) -m piptools compile $(LOCK) --extra bench -c requirements/dev.txt -o requirements/bench.txt pyproject.toml

LOCK := --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

$(VENV)/bin/python:
	@test -n "$(FOUND)" || { echo "Rubato needs Python 3.11 or newer; install python3.11 and its venv module."; exit 2; }
	@$(FOUND) -m venv $(VENV) || { echo "Making a virtual environment failed; install Python's venv module."; exit 2; }

$(VENV)/.runtime: $(VENV)/bin/python requirements/runtime.txt
	@echo "Installing what Rubato needs to run ..."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python requirements/dev.txt
	@echo "Installing what the tests need ..."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@ $(VENV)/.runtime

$(VENV)/.bench: $(VENV)/.dev requirements/bench.txt
	@echo "Installing what is measured beside Rubato ..."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@
