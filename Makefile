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
# `make run` and `make test` share what they build. `make run PROFILE=release` runs what the image has.
PROFILE ?= dev
# make simulate
SEEDS ?= 100000
SEED ?=
# make bench, bench-quick, growth: choices, and UPDATE=1 to write docs/performance.md
ROUNDS ?=
ROWS ?=
JSON ?=
UPDATE ?=
BEFORE ?=
CURVES ?=
HOUR ?=
# make lint
CARGO_DENY_VERSION := 0.20.2
# make book
MDBOOK_VERSION := 0.5.4
TOOLS := $(or $(CARGO_TARGET_DIR),target)/tools
# make image, kind-load, deploy
DOCKER ?= docker
IMAGE ?= random-generator:dev
TARGET ?= member
VERSION = $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
REVISION = $(shell git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)
# Where this clone came from; without the password that its address may carry.
SOURCE = $(shell git remote get-url origin 2>/dev/null | sed 's|//[^/@]*@|//|')
LABELS = --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg SOURCE=$(or $(SOURCE),unknown)
# make kind-up, kind-load, kind-down
KIND ?= kind
KIND_CLUSTER ?= random-generator
# make workshop-check: of those on Kubernetes only as many as take so many seconds, others at each commit
SOME ?=
# make e2e, e2e-faults: on the cluster of KUBECONFIG
CLIENT_IMAGE ?= busybox:1.37
FAULT ?=
ONLY ?=
# make deploy, undeploy, peer-secret: to the cluster that kubectl is set to
KUBECTL ?= kubectl
NAMESPACE ?=
OVERLAY ?= kind
comma := ,
overlay := k8s/overlays/$(OVERLAY)
kubectl = $(KUBECTL)$(if $(NAMESPACE), --namespace $(NAMESPACE))
# What the overlay deploys, how to see that it is there, and the Service that clients use.
workload-singleton-deployment := deployment/singleton
workload-stateless := replicaset/stateless
workload-second := statefulset/web-rg
workload := $(or $(workload-$(OVERLAY)),statefulset/rg)
rolled-out := rollout status $(workload) --timeout 5m
ifeq ($(OVERLAY),stateless)
rolled-out := wait $(workload) --for jsonpath='{.status.readyReplicas}'=3 --timeout 5m
endif
client-singleton-deployment := service/singleton
client-stateless := service/stateless
client-second := service/web-random-generator-client
client := $(or $(client-$(OVERLAY)),service/random-generator-client)
end-to-end = IMAGE='$(IMAGE)' CLIENT_IMAGE='$(CLIENT_IMAGE)' KUBECTL='$(KUBECTL)' $(CARGO) test --test e2e --

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the release binary: target/release/random-generator
	$(CARGO) build --release

.PHONY: run
run: ## Start a set of members on this machine: MEMBERS=3 BASE_PORT=8080 SCHEDULE='@every 10s' ARGS='--lease-duration 2s'
	$(CARGO) run --profile $(PROFILE) -- cluster --members $(MEMBERS) --base-port $(BASE_PORT) --data-dir $(DATA_DIR) --draw-schedule '$(SCHEDULE)' $(ARGS)

.PHONY: test
# Tests mostly wait for members; those that measure time take turns by themselves.
test: export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))
test: ## Run all tests
	$(CARGO) test --workspace --no-run
	@parts=$$(($$(ls tests/*.rs tests/*/main.rs crates/*/tests/*.rs 2>/dev/null | grep -vcE 'e2e|interop|otlp|browser') + 3 + 2 * $$(ls -d crates/* | wc -l) + 2)); part=0; \
	echo "running $$parts parts, a few minutes in all"; \
	$(CARGO) test --workspace --no-fail-fast 2>&1 | while IFS= read -r line; do \
	  case "$$line" in "     Running "* | "   Doc-tests "*) part=$$((part + 1)); line="[$$part/$$parts]$$line";; esac; \
	  printf '%s\n' "$$line"; \
	done

.PHONY: test-otlp
test-otlp: ## Run the tests of a build with the feature otlp
	$(CARGO) test --features otlp --test otlp

.PHONY: docs
docs: ## Write the generated parts of docs/ from what the program says
	RANDOM_GENERATOR_UPDATE_DOCS=1 $(CARGO) test --test operator documented
	RANDOM_GENERATOR_UPDATE_DOCS=1 $(CARGO) test --test openapi the_saved
	RANDOM_GENERATOR_UPDATE_DOCS=1 $(CARGO) test --test command_line documentation_has

.PHONY: lint
lint: $(TOOLS)/bin/cargo-deny ## Check format, clippy, documentation links, and the dependencies' licences, versions and sources
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	$(CARGO) clippy --test browser --test e2e --test interop --all-features --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --document-private-items --locked
	PATH="$(abspath $(TOOLS)/bin):$$PATH" $(CARGO) deny check --hide-inclusion-graph licenses bans sources

# Built once, apart from the project, and not optimised, because it only reads a few files. If PATH has that version, it is used.
# installed COMMAND, VERSION, WHAT IT SAYS OF ITSELF, OPTIONS
define installed
@mkdir -p $(TOOLS)/bin
@if found="$$(command -v $(1))" && [ "$$($(1) --version)" = "$(3)" ]; then \
  echo "taking $$found"; ln -sf "$$found" $@; \
else \
  echo "building $(1) $(2) into $(TOOLS), once; it takes some minutes"; \
  $(CARGO) install --locked --version $(2) --debug $(4) --root $(TOOLS) --target-dir $(TOOLS)/build-$(1) $(1); \
  rm -rf $(TOOLS)/build-$(1); \
fi
endef

$(TOOLS)/bin/cargo-deny:
	$(call installed,cargo-deny,$(CARGO_DENY_VERSION),cargo-deny $(CARGO_DENY_VERSION))

$(TOOLS)/bin/mdbook:
	$(call installed,mdbook,$(MDBOOK_VERSION),mdbook v$(MDBOOK_VERSION),--no-default-features --features search)

.PHONY: simulate
# The package is optimised for it: so many seeds take minutes less, and building it takes one more.
simulate: ## Run the simulation: SEEDS=100000, or SEED=n to replay one and print its trace
	$(if $(SEED),RANDOM_GENERATOR_SEED=$(SEED),RANDOM_GENERATOR_SEEDS=$(SEEDS)) $(CARGO) --config profile.dev.opt-level=1 test --test simulation -- --nocapture

.PHONY: bench
bench: ## Compare a member with a bare axum handler, nginx and podinfo; needs wrk and two idle processors: ROUNDS=9 ROWS=none,crash JSON=1 UPDATE=1
	benches/compare $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ROWS),--rows $(ROWS)) $(if $(JSON),--json) $(if $(UPDATE),--update)

.PHONY: bench-quick
bench-quick: ## Compare the processor time of an answer with that of the commit before, on a busy machine too; needs wrk: BEFORE=revision
	BEFORE='$(BEFORE)' benches/quick $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: growth
growth: ## Show how cost grows with members, connections, time and records; needs wrk and two idle processors: CURVES=members HOUR=1 UPDATE=1
	HOUR='$(HOUR)' benches/growth $(if $(CURVES),--curves $(CURVES)) $(if $(UPDATE),--update)

.PHONY: schemathesis
schemathesis: ## Send a member everything docs/openapi.json allows, and much that it doesn't; installs schemathesis once
	tests/schemathesis/run

.PHONY: stream-clients
stream-clients: ## Cut off clients of the stream of draws in every way: none may lose a draw or get one twice; installs them once
	tests/stream_clients/run

.PHONY: dashboard-check
dashboard-check: ## Look at the dashboard with a headless Chromium while members are killed and paused; needs chromium on PATH
	$(CARGO) test --test browser -- --test-threads 1

.PHONY: dashboard-pictures
dashboard-pictures: ## Take the pictures of the dashboard in docs/ again; needs chromium on PATH
	RANDOM_GENERATOR_UPDATE_DOCS=1 $(CARGO) test --test browser -- --test-threads 1 picture

.PHONY: workshop-check
workshop-check: ## Work through the exercises of workshop/, and compare what one sees with what they say: on this machine, and with KUBECONFIG on that cluster: IMAGE=random-generator:workshop FAULT= SOME=seconds
	$(CARGO) build --profile $(PROFILE)
	PROFILE=$(PROFILE) $(if $(filter command environment,$(origin IMAGE)),IMAGE='$(IMAGE)') FAULT='$(FAULT)' workshop/check $(if $(SOME),--some $(SOME) $(shell git rev-parse HEAD))
	$(if $(SOME),,PROFILE=$(PROFILE) workshop/check --bug $$((16#$$(git rev-parse --short=7 HEAD) % 3 + 1)))

.PHONY: book
book: $(TOOLS)/bin/mdbook ## Make a book of workshop/ and docs/: target/book/index.html; builds mdbook once
	tests/book/build $(TOOLS)/bin/mdbook

.PHONY: chart-check
chart-check: ## Compare k8s/chart with the kustomizations, and try its values, with helm 3 and helm 4; Go builds both once
	@$(KUBECTL) version --client >/dev/null || { echo 'there is no $(KUBECTL): install kubectl, or name it: KUBECTL=…' >&2; exit 64; }
	tests/manifests/get-helm
	KUBECTL='$(KUBECTL)' $(CARGO) test --workspace --test manifests chart

.PHONY: mutants
mutants: ## Plant each bug of tests/mutations, and show which test or seed fails
	tests/mutations/run

.PHONY: soak
soak: ## Run the long trials: the holder killed 50 times under load, stopped 1,000 times
	tests/soak/run

.PHONY: measure
measure: ## Measure binary size, start, memory and hand-over
	tests/measure/run

.PHONY: image
image: ## Build the image of a member, or one with a shell and tools: IMAGE=random-generator:dev TARGET=member (or workshop, reference)
	$(DOCKER) build --tag $(IMAGE) --target $(TARGET) $(LABELS) .

.PHONY: reference-images
reference-images: ## Build the stand-in for the reference image: k8spatterns/random-generator:1.0 and :2.0
	$(DOCKER) build --tag k8spatterns/random-generator:1.0 --target reference --build-arg REFERENCE_VERSION=1.0 $(LABELS) .
	$(DOCKER) build --tag k8spatterns/random-generator:2.0 --target reference --build-arg REFERENCE_VERSION=2.0 $(LABELS) .

.PHONY: reference-cost
reference-cost: ## Measure the reference image's stand-in beside nginx: answers per second, start, memory; needs nginx, wrk and two idle processors
	tests/reference_cost/run

.PHONY: reference-actuator
reference-actuator: ## Compare the actuator of the reference image's stand-in with Spring Boot's; needs Java 17, Maven and the network
	tests/reference_actuator/run

.PHONY: reproducible
reproducible: ## Build this commit twice in different places, and compare the binaries
	tests/reproducible/run

.PHONY: kind-up
kind-up: ## Start a Kubernetes cluster with three workers in Docker, with kind
	@if $(KIND) get clusters | grep -qx '$(KIND_CLUSTER)'; then \
	  echo "the cluster $(KIND_CLUSTER) already exists"; $(KIND) export kubeconfig --name $(KIND_CLUSTER); \
	else \
	  set -x; $(KIND) create cluster --name $(KIND_CLUSTER) --config k8s/kind.yaml --wait 3m; \
	fi
	@echo 'next: make kind-load deploy'

.PHONY: kind-load
kind-load: image ## Build the image and put it on the nodes of the kind cluster
	$(KIND) load docker-image $(IMAGE) --name $(KIND_CLUSTER)
	@echo 'next: make deploy'

.PHONY: deploy
deploy: ## Start the set on the cluster that kubectl is set to: OVERLAY=kind IMAGE=random-generator:dev NAMESPACE=
	@echo "to the cluster of context $$($(KUBECTL) config current-context)$(if $(NAMESPACE),$(comma) namespace $(NAMESPACE))"
	$(KUBECTL) kustomize $(overlay) | sed 's|image: random-generator:dev$$|image: $(IMAGE)|' | $(kubectl) apply --filename -
	$(kubectl) $(rolled-out)
	$(kubectl) get pods --selector app.kubernetes.io/name=$(if $(filter second,$(OVERLAY)),web-)random-generator --output wide
	@echo 'next: $(kubectl) port-forward $(client) 8080:80'
	@echo '      and in another terminal: curl localhost:8080/'

.PHONY: undeploy
undeploy: ## Remove what deploy started, except the claims of a StatefulSet: OVERLAY=kind
	$(kubectl) delete --kustomize $(overlay) --ignore-not-found --cascade=foreground --timeout 5m
	@echo 'the claims of a StatefulSet stay, and the next deploy continues the same chain; to delete them, and their data:'
	@echo '      $(kubectl) delete pvc --selector app.kubernetes.io/name=random-generator'

.PHONY: peer-secret
peer-secret: ## Create the Secret that OVERLAY=secured needs, once; its value is never shown
	@if $(kubectl) get secret random-generator-peer-secret --output name 2>/dev/null; then \
	  echo 'it already exists, and members may use it: delete it first to make another'; \
	else \
	  head -c 32 /dev/urandom | base64 | $(kubectl) create secret generic random-generator-peer-secret --from-file secret=/dev/stdin; \
	fi
	@echo 'next: make deploy OVERLAY=secured'

# They don't disturb each other: `make --jobs=2` runs both at once.
.PHONY: e2e e2e-set e2e-interop
e2e: e2e-set e2e-interop ## Test the set on the cluster of KUBECONFIG, with an image that its nodes have: IMAGE=random-generator:dev CLIENT_IMAGE=busybox:1.37 ONLY=part-of-a-name
e2e-set:
	@test -n '$(KUBECONFIG)' || { echo 'KUBECONFIG is not set: name the file of the cluster to test on' >&2; exit 64; }
	$(end-to-end) set $(ONLY)
e2e-interop:
	@test -n '$(KUBECONFIG)' || { echo 'KUBECONFIG is not set: name the file of the cluster to test on' >&2; exit 64; }
	KUBECONFIG='$(KUBECONFIG)' $(CARGO) test --test interop -- --nocapture $(ONLY)

.PHONY: e2e-reference
e2e-reference: ## Test k8s/reference on the cluster of KUBECONFIG, whose nodes have k8spatterns/random-generator:1.0 and :2.0: ONLY=part-of-a-name
	@test -n '$(KUBECONFIG)' || { echo 'KUBECONFIG is not set: name the file of the cluster to test on' >&2; exit 64; }
	$(end-to-end) reference $(ONLY)

.PHONY: e2e-faults
e2e-faults: ## Break that cluster, with a command that CONTRIBUTING.md describes: FAULT=../shared/cluster/fault
	@test -n '$(KUBECONFIG)' || { echo 'KUBECONFIG is not set: name the file of the cluster to test on' >&2; exit 64; }
	@test -n '$(FAULT)' || { echo 'FAULT is not set: name the command that breaks the cluster' >&2; exit 64; }
	FAULT='$(FAULT)' $(end-to-end) faults $(ONLY)

.PHONY: kind-down
kind-down: ## Delete the kind cluster, and everything in it
	$(KIND) delete cluster --name $(KIND_CLUSTER)
