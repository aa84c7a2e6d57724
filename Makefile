# make demo   erase a concept from the bundled model and write a report
# make test   ruff, mypy --strict and pytest, as CI runs them
# make quick  the same without the tests marked `slow`
# make docs   builds the site of the documentation in build/site
# make model  fetches SmolLM2-135M-Instruct (98 MB) once, outside the repository: without it its tests are skipped
# make lock   writes constraints.txt, the versions that every install here takes: ARGS=--upgrade for the newest of each
# make test-newest, make test-oldest  pytest with the newest versions there are, and with pyproject.toml's lowest

VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
SUITE  := -P -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder
READY  := -m compileall -q editc passes formats manifests tests/support
LOCKER := .venv-lock
UV     := $(LOCKER)/bin/uv pip compile --quiet
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo docs test quick install model lint types tests lock test-newest test-oldest clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "$(VENV): installing what constraints.txt lists; this takes a few minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	@touch $@

demo: install
	$(BIN)/editc build manifests/examples/erase-object.yaml -o out/demo
	@echo "open out/demo/report.html"

docs: $(VENV)/.docs
	$(BIN)/python docs/site.py build/docs
	$(BIN)/zensical build --clean --strict
	@echo "open build/site/index.html"

$(VENV)/.docs: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	@touch $@

model: install
	$(BIN)/python tests/support/smollm2.py

test: lint types tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	rm -rf build/typecheck build/lib
	$(BIN)/python -m pip install --quiet --no-deps --target build/typecheck .
	mkdir build/typecheck/docs
	cp docs/*.py build/typecheck/docs
	cp -r tests benchmarks integrations build/typecheck
	cd build/typecheck && ../../$(BIN)/mypy --config-file ../../pyproject.toml editc tests integrations
	cd build/typecheck && ../../$(BIN)/mypy --config-file ../../pyproject.toml integrations/github-action/run.py

tests quick: export OMP_NUM_THREADS = 1   # two workers for two cores
tests quick: export PYTHONDONTWRITEBYTECODE =   # pytest keeps the test modules that it has rewritten

tests: install
	$(BIN)/python $(READY)
	$(BIN)/python $(SUITE)

quick: lint types
	$(BIN)/python $(READY)
	$(BIN)/python $(SUITE) -m 'not slow'

$(LOCKER)/bin/uv: Makefile
	@echo "$(LOCKER): installing uv"
	@$(PYTHON) -m venv --clear $(LOCKER)
	@$(LOCKER)/bin/python -m pip install --quiet uv==0.13.9
	@touch $@

lock: $(LOCKER)/bin/uv
	$(UV) --universal --all-extras --annotation-style line --custom-compile-command 'make lock' $(ARGS) \
	  --output-file constraints.txt pyproject.toml

test-newest: ORDER := highest
test-oldest: ORDER := lowest-direct
test-newest test-oldest: test-%: $(LOCKER)/bin/uv
	@echo ".venv-$*: installing the $* versions; this takes a few minutes"
	@$(PYTHON) -m venv --clear .venv-$*
	$(UV) --extra test --resolution $(ORDER) --python .venv-$*/bin/python --output-file .venv-$*/versions.txt pyproject.toml
	@.venv-$*/bin/python -m pip install --quiet -c .venv-$*/versions.txt -e '.[test]'
	.venv-$*/bin/python $(SUITE)

clean:
	rm -rf build dist out *.egg-info
