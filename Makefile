# make demo   the tour on the offline stand-in, then JupyterLab on it (OPEN=0: don't open)
# make check  lint, import order, the quick tests: in a minute, for who is in the middle of a change
# make test   lint, types, tests, the browser tests included; with the versions of tests/constraints.txt
# make drift  our tables beside the newest versions of what we depend on; may be red without any fault of ours
# make bench  figures, each beside a baseline of the same run
# make test-versions  the wheel in clean environments: lowest and newest versions, on each Python of this machine; an
#                     hour: all but the browser's tests at both ends, a few and the tour in between;
#                     TESTS="tests/prompt/values …" for those alone, everywhere
# make pictures  README's, of a real JupyterLab
# make reference  notebooks/reference.ipynb, from the magics and options in the code
# make constraints  the newest versions into tests/constraints.txt

PYTHON ?= python3
OPEN ?= 1
BIN := .venv/bin
# As many processes as tests/conftest.py says; make check PARALLEL= for one, whose output is seen as it comes.
PARALLEL ?= -n auto
QUICK := not browser and not kernel and not slow and not drift
# Where Python must keep no bytecode, each of a hundred kernels and each process of the tests would compile all anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo check test drift bench test-versions pictures reference constraints clean

demo: .venv/demo
	$(BIN)/claude-magic demo --to .demo $(if $(filter 0,$(OPEN)),--no-open)

check: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pytest $(PARALLEL) -m '$(QUICK)'

test: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(PARALLEL)

# An environment of its own, with the newest versions that pyproject.toml allows.
drift:
	test -x .drift/bin/python || $(PYTHON) -m venv .drift
	.drift/bin/python -m pip install --quiet --upgrade pip
	.drift/bin/python -m pip install --upgrade --upgrade-strategy eager --editable '.[test]'
	@.drift/bin/python -m pytest -m drift || { echo "$$DRIFTED"; exit 1; }
	@echo "Our tables say what the newest versions say."

define DRIFTED

A newer version of a package says something else than a table of ours (or a test could not read what it says).
That need not be a fault of ours, and `make test` does not look at it: decide whether the table should follow.
endef
export DRIFTED

bench: .venv/test
	$(BIN)/python tests/benchmarks

test-versions: .venv/test
	$(BIN)/python tests/support/clean_environments.py $(TESTS)

pictures: .venv/test
	cd tests && ../$(BIN)/python -m support.readme_pictures

reference: .venv/test
	$(BIN)/python tests/support/reference_notebook.py

constraints: .venv/test
	{ echo '# The versions that `make test` installs, on each Python from 3.11 on: made by `make constraints`.'; \
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-build --no-header --no-annotate \
	--extra test pyproject.toml; } > .venv/constraints.txt
	mv .venv/constraints.txt tests/constraints.txt

# One stamp an extra: installed anew when pyproject.toml changes, or the versions that `test` is held to. Whoever has
# `test` has `demo`.
.venv/test: pins = --constraint tests/constraints.txt --no-compile # which Python does for what is imported
.venv/test: tests/constraints.txt
.venv/%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv, a few minutes the first time …"
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install $(pins) --editable '.[$*]'
	touch $@ $(if $(pins),.venv/demo)

clean:
	rm -rf .venv .demo .drift .versions .peers
