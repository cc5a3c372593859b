# Two commands on a bare machine (Debian or Ubuntu on x86-64 with Python 3.10 to 3.13, python3-venv and make): `make demo`
# and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
FLIGHT ?=
SOURCES := setup.py setup.cfg pyproject.toml requirements.txt

.PHONY: demo test lint format fuzz faults soak bench docs clean

demo: $(VENV)/.ready
	$(BIN)/depthnet demo $(if $(FLIGHT),--flight $(FLIGHT)) --out out/demo

test: $(VENV)/.ready-test lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(VENV)/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Two hundred thousand inputs for every reader of what comes from outside, ten minutes each at most.
fuzz: $(VENV)/.ready-test
	$(BIN)/python test/unit/fuzz.py

# Every fault of a flight over DDS, into the table of docs/reliability.md; and twenty minutes in which nothing may grow.
faults: $(VENV)/.ready-test
	$(BIN)/python test/ros/faults.py --write

soak: $(VENV)/.ready-test
	$(BIN)/python test/ros/soak.py

bench: $(VENV)/.ready
	$(BIN)/depthnet bench

docs: $(VENV)/.ready-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Where venv fails, for want of python3-venv, it leaves half of one, which would be taken for whole.
$(BIN)/python:
	@echo 'Setting up $(VENV) (once) ...'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	$(PIP) 'pip>=23' 'setuptools>=64,<80' wheel

$(VENV)/.ready: $(SOURCES) | $(BIN)/python
	@echo 'Installing ros_depthnet with ROS 2 from wheels ...'
	$(PIP) --no-build-isolation -c requirements.txt -e '.[ros]'
	@touch $@

# torch is the CPU build where pip finds one; learning and its tests need it, flying does not.
$(VENV)/.ready-test: $(VENV)/.ready
	@echo 'Installing what training and the tests need ...'
	$(PIP) --no-build-isolation -c requirements.txt -e '.[ros,train,test]'
	@touch $@

clean:
	rm -rf $(VENV) out build install log
