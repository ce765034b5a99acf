# `make help` lists what there is. Settings are variables called ALMAGEST_*; see README.md.

export ALMAGEST_HOME ?= $(CURDIR)/.almagest
SAMPLE ?=
FOREGROUND ?=
NAME ?=
FOLLOW ?=

SHELL := /bin/bash
.DEFAULT_GOAL := help
# The state folder may be a link to a place that the unprivileged user can reach: programs are called by their real path.
BIN = "$$(readlink -f "$(ALMAGEST_HOME)")"/venv/bin
PEERS = "$$(readlink -f "$(ALMAGEST_HOME)")"/peers
yes = $(filter 1 y yes true,$(1))

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  ALMAGEST_PORT=8081 make up          another port"
	@echo "  make up SAMPLE=../shared/data       real data; also: generate (the default), none"
	@echo "  make up FOREGROUND=1                stay; Ctrl-C stops"
	@echo "  make logs NAME=stac FOLLOW=1        the logs of one program, as they are written"

.PHONY: install
install: ## Install packages, Python environment and STAC Browser, and start nothing
	@scripts/bootstrap

.PHONY: up
up: install ## Start everything and load the sample catalogue; returns when all answers
	@exec $(BIN)/almagest up $(if $(call yes,$(FOREGROUND)),--foreground) $(if $(SAMPLE),--sample "$(SAMPLE)")

.PHONY: down
down: ## Stop everything; the data stays
	@[ ! -x $(BIN)/almagest ] || $(BIN)/almagest down

.PHONY: status
status: installed ## List processes, addresses and health
	@$(BIN)/almagest status

.PHONY: logs
logs: installed ## Show the logs
	@$(BIN)/almagest logs $(NAME) $(if $(call yes,$(FOLLOW)),--follow)

.PHONY: clean
clean: down ## Stop everything and remove all state: database, store, secrets, environment
	@[ ! -e "$(ALMAGEST_HOME)" ] || [ -e "$(ALMAGEST_HOME)/venv" ] || \
	  { echo "$(ALMAGEST_HOME) was not made by \`make up\`: nothing is removed."; exit 1; }
	@rm -rf "$$(readlink -m "$(ALMAGEST_HOME)")" "$(ALMAGEST_HOME)"

.PHONY: browser
browser: ## Build STAC Browser anew
	@rm -f "$(ALMAGEST_HOME)/.browser-stamp"
	@scripts/bootstrap

# Many tests wait for processes, not for the processor: one worker more than there are cores keeps those busy.
.PHONY: test
test: lint ## Check everything that does not take long; enough by itself on a fresh machine
	@$(BIN)/python -m pytest tests -m "not soak" -n $$(($$(nproc) + 1)) --dist loadgroup

.PHONY: soak
soak: development ## Check what takes long
	@$(BIN)/python -m pytest tests -m soak

.PHONY: chaos
chaos: development ## Kill workers, Redis and PostgreSQL under 200 jobs, and count what became of them
	@set -o pipefail; told=$$(mktemp); trap "rm -f $$told" EXIT; \
	  $(BIN)/python -m pytest tests/acceptance/test_chaos.py -m soak -q -s | tee $$told; code=$$?; \
	  grep -o 'chaos: [0-9].*' $$told; exit $$code

.PHONY: bench
bench: development peers ## Measure how fast it is beside its peers; results in tests/bench/results
	@$(BIN)/python tests/bench/reads.py --rustac $(PEERS)/bin/rustac
	@$(BIN)/python tests/bench/ingest.py
	@$(BIN)/python tests/bench/versions.py
	@$(BIN)/python tests/bench/aggregation.py --items 100000
	@$(BIN)/python tests/bench/matchups.py --scenes 60000 --days 18
	@$(BIN)/python tests/bench/mosaics.py
	@$(BIN)/python tests/bench/jobs.py
	@$(BIN)/python tests/bench/lost_updates.py

.PHONY: bench-large
bench-large: development peers ## Measure reads and aggregations of a million items, 700 partitions, and ten million versions
	@$(BIN)/python tests/bench/reads.py --rustac $(PEERS)/bin/rustac --items 1000000 --all --clients 4 1 16 --large
	@$(BIN)/python tests/bench/reads.py --rustac $(PEERS)/bin/rustac --collections 20 --all --rounds 3 --large
	@$(BIN)/python tests/bench/aggregation.py
	@$(BIN)/python tests/bench/matchups.py
	@$(BIN)/python tests/bench/history.py

# Programs that are measured and used for nothing else have an environment of their own.
.PHONY: peers
peers: development
	@[ -x $(PEERS)/bin/rustac ] || { $(BIN)/python -m venv $(PEERS) && $(PEERS)/bin/pip install -q rustac==0.9.18; }

.PHONY: lint
lint: development ## Check style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: development ## Mend the style
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

.PHONY: development
development:
	@scripts/bootstrap --dev

.PHONY: installed
installed:
	@[ -x $(BIN)/almagest ] || { echo "Nothing is installed here yet: \`make up\` does it."; exit 3; }
