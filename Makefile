# make demo   the tour on the offline stand-in, then JupyterLab on it (OPEN=0: don't open)
# make test   lint, types, tests, the browser tests included
# make bench  figures, each beside a baseline of the same run
# make test-versions  the wheel in clean environments: lowest and newest versions, on each Python of this machine; an
#                     hour: all but the browser's tests at both ends, a few and the tour in between;
#                     TESTS="tests/test_values.py …" for those alone, everywhere
# make pictures  README's, of a real JupyterLab

PYTHON ?= python3
OPEN ?= 1
BIN := .venv/bin

.PHONY: demo test bench test-versions pictures clean

demo: .venv/demo
	$(BIN)/claude-magic demo --to .demo $(if $(filter 0,$(OPEN)),--no-open)

test: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

bench: .venv/test
	$(BIN)/python tests/benchmarks

test-versions: .venv/test
	$(BIN)/python tests/versions.py $(TESTS)

pictures: .venv/test
	$(BIN)/python tests/portrait.py

# One stamp an extra: installed anew when pyproject.toml changes. `test` includes `demo`.
.venv/%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv, a few minutes the first time …"
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

clean:
	rm -rf .venv .demo .versions .peers
