# Two commands do all the set-up: make demo, make test. They need Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# A file's tests stay together: they share processes that take seconds to start.
PARALLEL ?= -n auto --maxprocesses 4 --dist loadfile
PANGO := apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0

.PHONY: demo serve test matrix chaos bench mutants lint docs clean system-libraries

demo: $(STAMP) system-libraries  ## Make documents end to end on embedded defaults
	@$(BIN)/python -m example_project.demo

serve: $(STAMP) system-libraries  ## Keep the same site running for a browser
	@$(BIN)/python -m example_project.demo.serve

test: $(STAMP) system-libraries  ## Run the tests, with services where they answer
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term $(ARGS)

matrix: $(STAMP)  ## Run the SQLite suite on every supported Python and Django
	$(BIN)/python -m tox run $(if $(ENVS),-e $(ENVS)) -- $(ARGS)

chaos: $(STAMP)  ## Kill, freeze and flush everything, then count (NAIVE=1: the usual way)
	@$(BIN)/python -m tests.chaos $(if $(NAIVE),--naive) $(ARGS)

bench: $(STAMP)  ## Measure what a document costs, ours and the usual way (figures to BENCH_JSON)
	@$(BIN)/python -m benchmarks.cost $(ARGS)

mutants: $(STAMP)  ## Break each guard, and see a named test fail
	@$(BIN)/python -m tests.mutants

lint: $(STAMP)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## Build the documentation
	$(BIN)/pip install --quiet -c constraints.txt --group docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:  ## Remove what the commands above made
	rm -rf $(VENV) .tox var docs/_build .coverage .pytest_cache .mypy_cache .ruff_cache

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python cannot make environments: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[sandbox,s3,redis]' --group test --group lint
	@touch $@

system-libraries: $(STAMP)
	@$(BIN)/python -c 'import weasyprint' >/dev/null 2>&1 || { echo "WeasyPrint finds no Pango: $(PANGO)"; exit 1; }
