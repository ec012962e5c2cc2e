# `make` alone lists the targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 15s
ARGS ?=

STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
NODE_LEAST := 18
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# VERSION is what the binary carries; go need not ask git as well, which fails
# in a clone that belongs to somebody else.
export GOFLAGS += -buildvcs=false

.DEFAULT_GOAL := help
.PHONY: help run build test race fuzz lint node chromium e2e microbench bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## build and start the server; flags in ARGS, as in make run ARGS='-p 9000'
	./dist/sigver $(ARGS)

build: ## build dist/sigver, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o dist/sigver .

test: ## run the Go tests, which need Go alone
	go test ./...

race: ## run the Go tests under the race detector, in random order
	go test -race -shuffle=on ./...

# `go test -list` prints the targets of a package and then "ok" with its name.
# Minimizing each new input would take most of a short FUZZTIME, so it is kept short.
fuzz: ## run every fuzz target for FUZZTIME (15s)
	@list=$$(go test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { found[++n] = $$1 } \
		$$1 == "ok" { for (i = 1; i <= n; i++) print $$2, found[i]; n = 0 }' | \
	while read -r package target; do \
		echo "$$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) \
			-fuzzminimizetime 50x "$$package" </dev/null || exit 1; \
	done

lint: ## check form and suspicious code, on other systems too
	@echo gofmt -l .; unformatted=$$(gofmt -l .); \
		[ -z "$$unformatted" ] || { echo "$$unformatted"; exit 1; }
	go mod tidy -diff
	go vet ./...
	GOOS=darwin go vet ./...
	GOARCH=arm64 go build ./...
	GOARCH=386 go build ./...
	$(STATICCHECK) ./...

node:
	@command -v node >/dev/null && command -v npm >/dev/null || \
		{ $(ROOT) apt-get update && $(ROOT) apt-get install -y --no-install-recommends nodejs npm; }
	@node -e 'process.exit(parseInt(process.versions.node) < $(NODE_LEAST) ? 1 : 0)' || \
		{ echo "this needs Node.js $(NODE_LEAST) or newer, here is $$(node --version)" >&2; exit 1; }

chromium:
	@command -v chromium >/dev/null || \
		{ $(ROOT) apt-get update && $(ROOT) apt-get install -y --no-install-recommends chromium; }

e2e: build node chromium ## drive the built server with Node.js and a browser; installs both if missing
	cd e2e && npm ci && npm test

microbench: ## run the Go benchmarks
	go test -run '^$$' -bench . -benchmem ./...

bench: ## measure a running server under load (to come)
	@echo "the load harness is to come"

clean: ## remove what was built and what e2e installed
	rm -rf dist e2e/node_modules
