# Everything that a checkout is used for. Each target sets up what it needs
# (tools/setup.sh), so that any of them is the first command on a fresh machine.
#
#   make test ARGS="-k echo"          arguments for what the target runs
#   make test PYTHON=python3.13       another interpreter
#   make test VENV=.venv-313          another virtual environment
#   PYAIO_WERROR=1 make test          options of the build, see setup.py

PYTHON ?=
VENV ?= .venv
ARGS ?=

RUN = $(VENV)/bin/python
SETUP = PYTHON="$(PYTHON)" VENV="$(VENV)" sh tools/setup.sh
C_FILES = find csrc benchmarks -name '*.[ch]'

.PHONY: help setup demo test stdlib versions libraries bench lint format clean

help:  ## say what there is (this)
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s%s\n", $$1, $$2 }' Makefile

setup:  ## install what is missing, make the virtual environment, build pyaio
	@$(SETUP)

demo:  ## run every example on stock asyncio and on pyaio, and compare
	@$(SETUP) demo
	$(RUN) tools/demo.py $(ARGS)

test:  ## run the tests
	@$(SETUP) test
	$(RUN) -m pytest -n auto --second-look $(ARGS)

stdlib:  ## run the interpreter's own tests of asyncio on pyaio
	@$(SETUP) test
	$(RUN) -m tests.stdlib $(ARGS)

versions:  ## run tests, the interpreter's tests and examples on CPython 3.11 to 3.15 and 3.13t
	@$(SETUP)
	$(RUN) tools/versions.py $(ARGS)

libraries:  ## run the own tests of aiohttp, tornado, anyio, asyncpg and uvicorn on pyaio, beside asyncio
	@$(SETUP)
	$(RUN) tools/libraries.py $(ARGS)

bench:  ## run the benchmarks: pyaio beside stock asyncio and all rivals that install
	@$(SETUP) bench
	$(RUN) -m benchmarks $(ARGS)

lint:  ## check formats, style and types, and change nothing
	@$(SETUP) lint
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(C_FILES) | xargs $(VENV)/bin/clang-format --dry-run -Werror
	$(RUN) -m mypy
	$(RUN) -m mypy.stubtest pyaio

format:  ## bring Python and C into the project's format
	@$(SETUP) lint
	$(RUN) -m ruff check --fix-only .
	$(RUN) -m ruff format .
	$(C_FILES) | xargs $(VENV)/bin/clang-format -i

clean:  ## remove all that the other targets have made
	rm -rf build dist *.egg-info $(VENV) pyaio/*.so
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
