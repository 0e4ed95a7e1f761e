# Recipes are in scripts/. ARGS is passed on: make run ARGS="--listen 127.0.0.1:9000"; make soak takes SECS, SEED and PROFILE, make api-check SECS and SEED

.DEFAULT_GOAL := help
.PHONY: help run test fmt api-check bench bench-adapters bench-failover bench-routing bench-store fuzz model soak check-all

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start everything on embedded parts: no server to install
	@scripts/run $(ARGS)

test: ## every check of a change: fmt, clippy, doc, tests; starts what it needs itself
	@scripts/test $(ARGS)

fmt: ## format the code
	@cargo fmt --all

api-check: ## hold the running client API against its OpenAPI document, with schemathesis: make api-check SECS=60
	@SECS="$(SECS)" SEED="$(SEED)" scripts/api-check

bench: ## build a release and measure it beside a bare pass-through
	@scripts/bench $(ARGS)

bench-adapters: ## measure what a streamed chunk and a big request cost, per dialect
	@scripts/bench-adapters $(ARGS)

bench-failover: ## measure how long a caller waits when its first provider fails, fault by fault
	@scripts/bench-failover $(ARGS)

bench-routing: ## measure what a plan costs, over four endpoints and over fifty
	@scripts/bench-routing $(ARGS)

bench-store: ## fill a database with ten million requests once, and measure booking beside a month's reports: ARGS=--quick
	@scripts/bench-store $(ARGS)

fuzz: ## feed every decoder and framer with mutated traffic, ten minutes each: make fuzz ARGS="-s 60 stream-gemini"
	@scripts/fuzz $(ARGS)

model: ## check the model of leases, journal and settlement within wide bounds: make model ARGS="restore"
	@scripts/model $(ARGS)

soak: ## kill, freeze and cut off every part of a loaded system, and reckon: make soak SECS=600 SEED=7
	@SECS="$(SECS)" SEED="$(SEED)" PROFILE="$(PROFILE)" scripts/soak

check-all: ## test, and the heavy rest: release, deny, manifests, bench
	@scripts/check-all
