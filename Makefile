# Everything a person runs. README shows the two that matter: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := test
.PHONY: install demo test lint types layers unit bench bench-control-plane soak grpcio-range fuzz kube-assets crds proto lock check-generated format clean

install: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make install: Python 3.11 or newer is needed; name it with PYTHON=..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install
	@$(BIN)/stepguard demo $(if $(KEEP),--keep)

test: lint types layers unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

layers: install
	$(BIN)/lint-imports

unit: install
	$(BIN)/pytest -n auto --dist loadfile $(PYTEST)

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m tests.bench.run $(BENCH)

bench-control-plane: install
	KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$(tools/kube-assets)}" $(BIN)/python -m tests.bench.control_plane $(BENCH)

grpcio-range: install
	@tools/grpcio-range

soak: install
	$(BIN)/python -m tests.bench.soak

SECONDS ?= 600
fuzz: install
	@tools/fuzz $(SECONDS)

kube-assets:
	@tools/kube-assets

proto: install
	$(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=protos/gen --pyi_out=protos/gen protos/stepguard/policy/v1/policy.proto

crds: install
	$(BIN)/python -m stepguard_policy.resources.crds charts/stepguard/files/crds

check-generated: crds proto
	@git diff --exit-code -- protos/gen charts/stepguard/files/crds || { echo "check-generated: generated files differ from their sources; commit what 'make crds proto' wrote" >&2; exit 1; }

PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: install
	$(PIN) --all-extras --group dev pyproject.toml -o requirements/dev.txt
	$(PIN) --extra service -c requirements/dev.txt pyproject.toml -o requirements/service.txt
	$(PIN) --extra operator -c requirements/dev.txt pyproject.toml -o requirements/operator.txt
	$(PIN) --group build -c requirements/dev.txt -o requirements/build.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
