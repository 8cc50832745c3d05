# Every target does its own set-up; nothing has to be installed by hand beyond Rust.
# One cargo profile (dev) serves run, test, bench and CI, so RocksDB is compiled once.

SHELL := /bin/bash
CARGO ?= cargo
ARGS  ?=

.PHONY: help run test verify bench mutants testnet nightly fix setup

help: ## Show the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Check the tools, install what is missing
	@testnet/scripts/setup.sh

run: setup ## Build and start one node; ARGS="…" goes to `llm-router serve`
	@$(CARGO) build --workspace --bins
	@testnet/scripts/weights.sh
	@exec "$$(testnet/scripts/target.sh)/llm-router" serve $(ARGS)

test: setup ## Run every test
	@$(CARGO) build --workspace --bins
	@testnet/scripts/weights.sh
	@$(CARGO) test --workspace
	@testnet/scripts/kubernetes.sh
	@testnet/scripts/sdk.sh

verify: ## Check format, lints, documentation and shape; writes nothing
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --workspace
	@$(CARGO) test --workspace --test tidy

bench: setup ## Measure the node against a direct connection and nginx
	@$(CARGO) build --workspace --bins
	@testnet/scripts/weights.sh
	@testnet/scripts/bench.sh $(ARGS)

mutants: setup ## Bring known bugs back one at a time and demand that a test notices each; ARGS="NAME…" picks
	@testnet/scripts/mutants.sh $(ARGS)

testnet: setup ## Start three nodes and their upstreams in containers; ARGS="--nodes 5" goes to `llm-router-testnet up`
	@testnet/scripts/engine.sh
	@$(CARGO) build --workspace --bins
	@testnet/scripts/weights.sh
	@exec "$$(testnet/scripts/target.sh)/llm-router-testnet" up $(ARGS)

nightly: setup ## Run an hour of faults, in processes and in containers, and measure the sizes
	@$(CARGO) build --workspace --bins
	@testnet/scripts/weights.sh
	@testnet/scripts/nightly.sh

fix: ## Format and apply the lints' own suggestions
	@$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	@$(CARGO) fmt --all
