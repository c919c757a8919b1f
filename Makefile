# `make demo` and `make test` set up everything they need. They require Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# Run each test file in one process: its tests share servers that take seconds to start. Four
# processes on two cores, because many tests wait. The files begin in the order of tests/conftest.py,
# the longest first, not in that of xdist, which takes those with few tests for short.
PARALLEL ?= -n 4 --dist loadfile --no-loadscope-reorder
PANGO := apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0

.PHONY: demo serve test coverage matrix chaos bench mutants mutation-score package sites messages lint docs help clean system-libraries

demo: $(STAMP) system-libraries  ## Generate demo documents from start to finish, without external services
	@$(BIN)/python -m example_project.demo $(ARGS)

serve: $(STAMP) system-libraries  ## Run the demo site for a browser (ARGS="--port 8080" for another port)
	@$(BIN)/python -m example_project.demo.serve $(ARGS)

test: $(STAMP) system-libraries  ## Run the tests, using any database and broker that is running
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

coverage: $(STAMP) system-libraries  ## Run the tests, and report the lines and branches that none of them runs
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term $(ARGS)

matrix: $(STAMP)  ## Run the tests with every supported Python and Django (DATABASE=postgresql or mariadb for a server)
	$(if $(DATABASE),TEST_DATABASE=$(DATABASE)) $(BIN)/python -m tox run $(if $(ENVS),-e $(ENVS)) -- $(ARGS)

chaos: $(STAMP)  ## Inject faults into a running site and count lost or duplicate documents (BASELINE=1: a plain Celery task)
	@$(BIN)/python -m tests.chaos $(if $(BASELINE)$(NAIVE),--baseline) $(ARGS)

bench: $(STAMP)  ## Measure the cost per document, compared with a plain Celery task (results to BENCH_JSON)
	@$(BIN)/python -m benchmarks.cost $(ARGS)

mutants: $(STAMP)  ## Mutation testing: break each guard and check that its test fails
	@$(BIN)/python -m tests.mutants

mutation-score: $(STAMP)  ## Break the engine at random places and print how many the tests notice (ARGS="--sample 50" for fewer)
	@$(BIN)/pip install --quiet -c constraints.txt --group mutation
	@$(BIN)/python -m tests.mutation_score $(ARGS)

package: $(STAMP) system-libraries  ## Build the package, and use it in clean environments (ARGS="3.12/6.0" for one of them)
	@$(BIN)/pip install --quiet -c constraints.txt --group package
	@$(BIN)/python -m tests.package $(ARGS)

sites: $(STAMP) system-libraries  ## Use the package in other projects, such as Oscar and Wagtail (ARGS=wagtail for one of them)
	@$(BIN)/pip install --quiet -c constraints.txt --group package
	@$(BIN)/python -m tests.sites $(ARGS)

messages: $(STAMP)  ## Bring the translations' catalogues up to date with the code, and compile them
	@command -v xgettext >/dev/null || { echo "gettext is missing: apt-get install gettext"; exit 1; }
	@$(BIN)/python -m tests.messages

lint: $(STAMP)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## Build the documentation, and print where it begins
	@$(BIN)/pip install --quiet -c constraints.txt --group docs
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "Open file://$(CURDIR)/docs/_build/html/index.html"

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*##/\1	/p' $(MAKEFILE_LIST) | expand -t 16

clean:  ## Remove everything the other targets created
	rm -rf $(VENV) .tox dist var mutants docs/_build .coverage .pytest_cache .mypy_cache .ruff_cache

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python cannot create virtual environments: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[celery,sandbox,s3,redis]' --group test --group lint
	@touch $@

system-libraries: $(STAMP)
	@$(BIN)/python -c 'import weasyprint' >/dev/null 2>&1 || { echo "WeasyPrint cannot find Pango: $(PANGO)"; exit 1; }
