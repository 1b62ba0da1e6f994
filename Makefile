# `make backup PROJECT=<dir>` backs a project up; `make test` runs every check. Both make the environment they need.
PROJECT ?= .
PYTHON ?= python3
VENV := .venv
JOBS ?= 2

.PHONY: backup test format docs bench clean

$(VENV)/.installed: pyproject.toml cronos_git/__init__.py
	$(PYTHON) -c 'import sys; sys.exit("CRONOS needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --group test
	touch $@

# Debian packages that some tests run; where they cannot be installed these tests are skipped.
$(VENV)/.packages: $(VENV)/.installed
	command -v git-remote-gcrypt >/dev/null || { test "$$(id -u)" = 0 && apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends git-remote-gcrypt gnupg >/dev/null; } || \
	  echo 'git-remote-gcrypt cannot be installed here: its tests are skipped' >&2
	touch $@

backup: $(VENV)/.installed
	$(VENV)/bin/cronos -C "$(PROJECT)" create
	$(VENV)/bin/cronos -C "$(PROJECT)" list

test: $(VENV)/.tested $(VENV)/.packages
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pytest -n $(JOBS) -q

format: $(VENV)/.tested
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

docs: $(VENV)/.installed
	$(VENV)/bin/python -m cronos_git.cli.reference docs/reference
	$(VENV)/bin/python -m docs.images.record docs/images

bench: $(VENV)/.installed
	$(VENV)/bin/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
