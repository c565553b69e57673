# Every target prints what it runs. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CARGO ?= cargo

# make run
MEMBERS ?= 3
BASE_PORT ?= 8080
DATA_DIR ?= random-generator-data/cluster
SCHEDULE ?= @every 10s
ARGS ?=
# make simulate
SEEDS ?= 100000
SEED ?=
# make lint
CARGO_DENY_VERSION := 0.20.2
TOOLS := $(or $(CARGO_TARGET_DIR),target)/tools

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the member: target/release/random-generator
	$(CARGO) build --release

.PHONY: run
run: ## Start a set of members on this machine: MEMBERS=3 BASE_PORT=8080 SCHEDULE='@every 10s' ARGS='--lease-duration 2s'
	$(CARGO) run --release -- cluster --members $(MEMBERS) --base-port $(BASE_PORT) --data-dir $(DATA_DIR) --draw-schedule '$(SCHEDULE)' $(ARGS)

.PHONY: test
test: ## Run all tests
	$(CARGO) test --workspace --no-run
	@parts=$$(($$(ls tests/*.rs tests/*/main.rs | wc -l) + 3)); part=0; \
	echo "running $$parts parts, a few minutes in all"; \
	$(CARGO) test --workspace --no-fail-fast 2>&1 | while IFS= read -r line; do \
	  case "$$line" in "     Running "* | "   Doc-tests "*) part=$$((part + 1)); line="[$$part/$$parts]$$line";; esac; \
	  printf '%s\n' "$$line"; \
	done

.PHONY: lint
lint: $(TOOLS)/bin/cargo-deny ## Check format, clippy, the documentation's links, and the dependencies' licences, versions and sources
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --document-private-items --locked
	PATH="$(abspath $(TOOLS)/bin):$$PATH" $(CARGO) deny check --hide-inclusion-graph licenses bans sources

# Built once, beside the project's own build; one of that version on the PATH is taken as it is.
$(TOOLS)/bin/cargo-deny:
	@mkdir -p $(TOOLS)/bin
	@if found="$$(command -v cargo-deny)" && [ "$$(cargo-deny --version)" = "cargo-deny $(CARGO_DENY_VERSION)" ]; then \
	  echo "taking $$found"; ln -sf "$$found" $@; \
	else \
	  echo "building cargo-deny $(CARGO_DENY_VERSION) into $(TOOLS), once; it takes some minutes"; \
	  $(CARGO) install --locked --version $(CARGO_DENY_VERSION) --root $(TOOLS) --target-dir $(TOOLS)/build cargo-deny; \
	  rm -rf $(TOOLS)/build; \
	fi

.PHONY: simulate
simulate: ## Run the simulation: SEEDS=100000, or SEED=n to replay one and print its trace
	$(if $(SEED),RANDOM_GENERATOR_SEED=$(SEED),RANDOM_GENERATOR_SEEDS=$(SEEDS)) $(CARGO) test --release --test simulation -- --nocapture

.PHONY: mutants
mutants: ## Plant each bug of tests/mutations, and show which test or seed turns red
	tests/mutations/run

.PHONY: soak
soak: ## Run the long trials: the holder killed 50 times under load, with 2 s leases and with default ones
	tests/soak/run

.PHONY: measure
measure: ## Measure binary size, start, memory and hand-over
	tests/measure/run
