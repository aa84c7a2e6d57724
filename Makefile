# make demo   erase a concept from the bundled model and write a report
# make test   ruff, mypy --strict and pytest, as CI runs them
# make model  fetches SmolLM2-135M-Instruct (98 MB) once, outside the repository: without it its tests are skipped

VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test install model lint types tests clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

demo: install
	$(BIN)/editc build manifests/examples/erase-object.yaml -o out/demo
	@echo "open out/demo/report.html"

model: install
	$(BIN)/python -m benchmarks.smollm2

test: lint types tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	rm -rf build/typecheck build/lib
	$(BIN)/python -m pip install --quiet --no-deps --target build/typecheck .
	cd build/typecheck && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p editc

tests: install
	$(BIN)/python -P -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

clean:
	rm -rf build dist out *.egg-info
