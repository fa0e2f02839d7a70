# Each target sets up what it needs: Python 3.11 or newer is all that has to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell cat requirements/*.txt pyproject.toml | cksum | cut -d' ' -f1)

# What is compiled once is not compiled again in each process that a test starts.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo docs test lint unit long e2e soak fuzz audit sbom licences bed bench shots lock clean help

help:  ## What there is.
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'

$(STAMP):
	@test -d $(VENV) || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-*; touch $@

demo: $(STAMP)  ## See it work: the real controller against an embedded cluster.
	@$(BIN)/recovery demo

test: lint unit  ## Lint, types, import contracts and the fast suite.

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

unit: $(STAMP)
	$(BIN)/pytest -q -n auto --dist worksteal

e2e: $(STAMP)  ## The stories on a real Kubernetes and a real Argo CD (the first time builds them: about 9 minutes).
	@$(BIN)/python -m tests.testbed.binaries
	$(BIN)/pytest -q --e2e tests/e2e

long: $(STAMP)  ## A bounded share of soak and bursts, as .ci/run plays it.
	$(BIN)/pytest -q -n auto --long -m long

soak: $(STAMP)  ## Ten thousand nights with faults at every door, in virtual time.
	$(BIN)/python -m tests.soak

fuzz: $(STAMP)  ## A million spoilt inputs for whatever reads what others write.
	$(BIN)/python -m tests.fuzz

bed: $(STAMP)  ## The real Kubernetes and Argo CD, for playing by hand, until Ctrl-C.
	@$(BIN)/python -m tests.testbed

shots: $(STAMP)  ## The README's pictures anew: a demo recorded, and its page in Chromium.
	$(BIN)/python -m tools.shots

# The site is built in an environment of its own: what it needs is none of ours.
SITE := build/site-tools-$(shell cksum < requirements/docs.txt | cut -d' ' -f1)
$(SITE)/.installed:
	@$(PYTHON) -m venv $(SITE)
	@$(SITE)/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

docs: $(SITE)/.installed  ## build/site: the documentation as a site; fails for a link that leads nowhere.
	@$(SITE)/bin/mkdocs build -q

# Tools that look at the dependencies live in an environment of their own: what they need is none of ours.
TOOLS := build/tools
$(TOOLS)/.installed:
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install -q --disable-pip-version-check pip-audit cyclonedx-bom pip-licenses
	@touch $@

audit: $(TOOLS)/.installed  ## Known vulnerabilities of the pinned dependencies (asks an advisory database).
	$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/run.txt

sbom: $(STAMP) $(TOOLS)/.installed  ## build/sbom.json: what is in an installation, in CycloneDX.
	$(TOOLS)/bin/cyclonedx-py requirements requirements/run.txt --output-reproducible --of JSON -o build/sbom.json

licences: $(STAMP) $(TOOLS)/.installed  ## The licences of all that runs.
	$(TOOLS)/bin/pip-licenses --python $(BIN)/python --order=license --format=plain

bench: $(STAMP)  ## Memory, CPU to ready and reaction with 10,000 Applications.
	$(BIN)/python -m tests.bench

lock: $(STAMP)  ## Compile requirements/*.txt from requirements/*.in.
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal requirements/run.in -o requirements/run.txt
	$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal requirements/dev.in -o requirements/dev.txt
	$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal requirements/docs.in -o requirements/docs.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
