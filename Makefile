# Everything runs in .venv, which the first target that needs it sets up: `run` with what running needs, the others with
# the tools of developers as well.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off

.PHONY: run test test-fast test-long test-speed oracle oracle-long mutants mutation fuzz-machine fuzz-vmm check rooms pages bench docs firmware payloads release clean
.DEFAULT_GOAL := run

# Tests start hundreds of processes; without files of bytecode each would compile anew what it imports.
test test-fast test-long oracle mutants: export PYTHONDONTWRITEBYTECODE :=

$(RUNS): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Enclave Sim needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@echo "Setting up $(VENV) to run Enclave Sim: about 140 MB, half a minute and the download."
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	rm -f $(VENV)/lib/python3*/site-packages/unicorn/lib/libunicorn.a  # 32 MB that only C programs link
	@touch $@

$(READY): $(RUNS)
	@echo "Adding the tools of developers to $(VENV): about 900 MB more, one or two minutes and the download."
	$(PIP) --editable '.[dev]'
	@touch $@

run: $(RUNS)  ## boot the enclave, run the beacon payload, watch it annihilate itself
	$(BIN)/enclave-sim run beacon

test: $(READY)  ## all tests but exploration
	$(BIN)/python -m pytest -n auto --dist worksteal

test-fast: $(READY)  ## all tests but the slow ones and the oracle, with fewer examples of each property
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not oracle and not long and not speed" --hypothesis-profile=quick

# SEED repeats what was drawn: make test-long SEED=3
test-long: $(READY)  ## exploration: each property with twenty times the examples, drawn anew each time, and long tables
	@seed=$$(echo $(or $(SEED),$$(od -An -N4 -tu4 /dev/urandom))); echo "make test-long SEED=$$seed"; \
	$(BIN)/python -m pytest -n auto --dist worksteal -m "long or (hypothesis or seeded) and not oracle" --hypothesis-profile=long --hypothesis-seed=$$seed

test-speed: $(READY)  ## what may take how long, beside a reference; on a host that has nothing else to do
	$(BIN)/python -m pytest -m speed

oracle: $(READY)  ## the same images on QEMU, on Bochs and here, compared; installs them (Debian, as root) where missing
	tests/oracle/install.sh
	$(BIN)/python -m pytest -m oracle

oracle-long: $(READY)  ## every instruction in every form against the host's processor, without end; goes on where it stopped
	$(BIN)/python -m tests.oracle.enumeration long

mutants: $(READY)  ## deliberate defects, and which guarantee catches each
	$(BIN)/python -m tests.mutants

# Words after `mutation` are paths to mutate: make mutation machine/devices
ifeq (mutation,$(firstword $(MAKECMDGOALS)))
PATHS := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
.PHONY: $(PATHS)
$(PATHS):
	@:
endif

mutation: $(READY)  ## small changes to the source, sampled, and how many of them no test notices
	$(BIN)/python -m tests.mutation $(PATHS)

# A number after `fuzz-machine` is how many programs to run: make fuzz-machine 100000 SEED=3; after `fuzz-vmm`, executions
ifneq (,$(filter fuzz-machine fuzz-vmm,$(firstword $(MAKECMDGOALS))))
N := $(word 2,$(MAKECMDGOALS))
.PHONY: $(N)
$(N):
	@:
endif

fuzz-machine: $(READY)  ## programs of a few instructions in every mode and ring, as many as asked for or without end
	$(BIN)/python -m tests.machine.fuzz $(N) $(if $(SEED),--seed $(SEED))

check: $(READY)  ## formatting, lint, spelling, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz-vmm: $(READY)  ## the VMM of the firmware under libFuzzer with sanitizers, as often as asked for or without end
	$(BIN)/python -m tests.firmware.vmm.fuzz $(N)

rooms: $(READY)  ## files, rooms and arrows of the packages, and docs/rooms.svg anew
	$(BIN)/python -m tests.house --draw
	$(BIN)/python -m tests.house

pages: $(READY)  ## anew what the program makes for the repository: table of digests, output on pages, schemas, pictures
	$(BIN)/python -m tests.digests
	$(BIN)/python -m tests.documents
	$(BIN)/python -m enclave_sim.inspector.serving.screenshots
	RENEW=1 $(BIN)/python -m pytest -q -p no:cacheprovider tests/enclave_sim/inspector/test_panes_look.py \
		tests/enclave_sim/recording/exports/test_pictures.py tests/enclave_sim/gdb/test_gdb.py

bench: $(READY)  ## figures as JSON, each beside a reference of the same run
	$(BIN)/python tests/bench.py

docs: $(READY)  ## the pages and a reference made from the code, as a site in build/site
	$(BIN)/python -m tests.site

firmware: $(READY)  ## rebuild the kernel and the native code of the emulator
	$(BIN)/python -m firmware.build
	$(BIN)/python -m machine.processor.native.build
	$(BIN)/python -m enclave_sim.enclave.engine.native.build

payloads: $(READY)  ## rebuild and sign the built-in payloads
	$(BIN)/python -m payloads.build

release: $(READY)  ## the sdist and the wheel of this commit in dist/, checked; uploads nothing
	$(BIN)/python -m tests.release

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
