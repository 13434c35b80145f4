# Everything runs in .venv, which is made when it is missing; nothing is installed anywhere else.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help .venv run test simulate chaos check bench scaling serve generate lock

PYTHON_IN_VENV := .venv/bin/python
PYTEST_ARGS ?=

help: ## Show the targets
	@sed -n 's/^\([a-z.]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name does; do \
		printf '%-15s %s\n' "$$name" "$$does"; done

.venv: .venv/installed ## Prepare the environment; done again only when pyproject.toml or requirements.lock has changed

.venv/installed: pyproject.toml requirements.lock scripts/venv.sh
	@scripts/venv.sh

run: .venv ## Run examples/user-registration: a real workflow with its services, on SQLite
	@$(PYTHON_IN_VENV) examples/user-registration/run.py

test: .venv ## Run all tests
	@$(PYTHON_IN_VENV) -m pytest -n auto --maxprocesses 8 $(PYTEST_ARGS)

simulate: .venv ## Simulate random executions: SEEDS=20000 FROM=0, or SEED=7 (SAVE=folder), or MUTATIONS=1
	@$(PYTHON_IN_VENV) -m tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FROM),--from $(FROM)) \
		$(if $(SEED),--seed $(SEED)) $(if $(SAVE),--save $(SAVE)) $(if $(MUTATIONS),--mutations)

chaos: .venv ## Three nodes on PostgreSQL, killed, frozen, their database restarted: CHAOS_ARGS="--seed 2 --part 0.1"
	@$(PYTHON_IN_VENV) -m tests.chaos $(CHAOS_ARGS)

check: .venv ## Check format, lint, types, import floors, and that generated files are up to date
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PYTHON_IN_VENV) scripts/lock.py --check
	$(PYTHON_IN_VENV) scripts/generated.py --check

bench: .venv ## Measure, compare with raw SQLite and the recorded bars, write bench-results.json
	@$(PYTHON_IN_VENV) -m benchmarks $(BENCH_ARGS)

scaling: .venv ## Simulate clusters of 10, 100 and 1,000 nodes, and write the tables of docs/scaling.md
	@$(PYTHON_IN_VENV) -m benchmarks.scaling $(SCALING_ARGS)

serve: .venv ## Serve the HTTP API on http://127.0.0.1:8080 with example workflows: SERVE_ARGS="--port 9000"
	@$(PYTHON_IN_VENV) examples/server/serve.py $(SERVE_ARGS)

generate: .venv ## Write the generated files anew
	@$(PYTHON_IN_VENV) scripts/generated.py --write

lock: .venv ## Pin in requirements.lock what is installed in .venv
	@$(PYTHON_IN_VENV) scripts/lock.py --write
