# holdfast. `make` alone prints what there is.
GO      ?= go
VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo dev)
LINT    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.DEFAULT_GOAL := help
.PHONY: help build dev test race model fuzz lint fmt fmt-check generate verify cover bench chaos schema-check check hooks services-up services-down

help: ## print this
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

build: ## bin/holdfast, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/holdfast ./cmd/holdfast

dev: ## everything in one process
	$(GO) run ./cmd/holdfast dev

test: ## everything that proves it; real Kafka too where a JDK and Maven are
	deploy/local/test.sh

race: ## the suite under the race detector
	$(GO) test -race -tags synctests ./...

model: ## 50,000 random plans against the delivery engine in virtual time, nightly; HOLDFAST_PLANS=n for another number
	HOLDFAST_PLANS=$${HOLDFAST_PLANS:-50000} $(GO) test -tags synctests -timeout 8h -run 'RandomPlans|PlantedBugs' -v ./internal/delivery

fuzz: ## 20 s of each fuzz target
	@for target in $$(grep -rhoE '^func Fuzz[A-Za-z0-9]+' --include=*_test.go . | sed 's/^func //' | sort -u); do \
	  dir=$$(dirname $$(grep -rlE "^func $$target\(" --include=*_test.go . | head -1)); \
	  $(GO) test -run XXX -fuzz "^$$target\$$" -fuzztime 20s $$dir || exit 1; done

lint: ## golangci-lint; ARGS=--new-from-rev=HEAD for what you changed
	$(GO) run $(LINT) run $(ARGS)

fmt: ## format
	$(GO) run $(LINT) fmt

fmt-check: ## what fmt would change; FILES=... for these alone
	$(GO) run $(LINT) fmt --diff $(FILES)

generate: ## Go types from the schemas, the configuration's schema and reference from Go types and comments
	$(GO) generate ./...
	$(GO) run ./cmd/holdfast config schema >internal/config/holdfast.schema.json.new && mv internal/config/holdfast.schema.json.new internal/config/holdfast.schema.json
	$(GO) run ./cmd/holdfast config reference >docs/reference/configuration.md.new && mv docs/reference/configuration.md.new docs/reference/configuration.md
	HOLDFAST_UPDATE_DOCS=1 $(GO) test ./cmd/holdfast -run TestEveryKindHasItsPage

verify: generate ## generated files, go.mod and go.sum are as committed
	$(GO) mod tidy
	git diff --exit-code -- schemas internal/config docs/reference docs/sinks go.mod go.sum

cover: ## coverage by function
	$(GO) test -tags synctests -coverprofile cover.out ./... && $(GO) tool cover -func cover.out | tail -1

bench: ## micro-benchmarks, then the engine beside its yardsticks; exit 1 if a goal is missed; ARGS="-case 50ms", or backlog, parked, due
	@$(GO) test -run XXX -bench . -benchmem ./... >&2
	@$(GO) run ./internal/bench $(ARGS)

chaos: ## kill workers and brokers for a minute on real Kafka; exit 1 if a promise is broken; ARGS=-short for 20 s, "-act freeze", restart, outage, roll
	@$(GO) run ./internal/chaos $(ARGS)

schema-check: ## every schema version against all before it, offline
	$(GO) run ./cmd/holdfast schema check schemas

services-up: ## real Kafka, registry and PostgreSQL on loopback, without Docker; BROKERS=3 for three
	deploy/local/services.sh up

services-down: ## stop them and leave nothing behind
	deploy/local/services.sh down

check: fmt lint verify race ## what a change must pass

hooks: ## format and lint what is staged before each commit
	git config core.hooksPath .githooks
