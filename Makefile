# `make` alone lists the targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 15s
ARGS ?=
PAIRS ?= 200000
MINUTES ?= 3
NODES ?= 12
CONNECTIONS ?= 190000

STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
NODE_LEAST := 20
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# VERSION is what the binary carries; go need not ask git as well, which fails
# in a clone that belongs to somebody else.
export GOFLAGS += -buildvcs=false

.DEFAULT_GOAL := help
.PHONY: help run build test race fuzz lint node chromium tools e2e microbench soak upgrade bench bench-cluster bench-compare bench-loops bench-peers test-peers clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## build and start the server; flags in ARGS, as in make run ARGS='-p 9000'
	./dist/sigver $(ARGS)

build: ## build dist/sigver, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o dist/sigver .

test: ## run the Go tests; they need redis-server, root and iproute2
	go test -timeout 20m ./...

race: ## run the Go tests under the race detector, in random order
	go test -race -shuffle=on -timeout 20m ./...

# `go test -list` prints the targets of a package and then "ok" with its name.
# Minimizing each new input would take most of a short FUZZTIME, so it is kept short.
# Where the time is over while an input runs on a slow machine, go test says
# "context deadline exceeded" and fails, without an input that does: that is no fault.
fuzz: ## run every fuzz target for FUZZTIME (15s)
	@log=$$(mktemp); list=$$(go test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { found[++n] = $$1 } \
		$$1 == "ok" { for (i = 1; i <= n; i++) print $$2, found[i]; n = 0 }' | \
	while read -r package target; do \
		echo "$$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) \
			-fuzzminimizetime 50x "$$package" </dev/null 2>&1 | tee "$$log"; \
		grep -q '^ok' "$$log" || { grep -qx '    context deadline exceeded' "$$log" && \
			! grep -q 'Failing input\|--- FAIL: .*/' "$$log"; } || exit 1; \
	done; status=$$?; rm -f "$$log"; exit $$status

lint: ## check form and suspicious code, on other systems too
	@echo gofmt -l .; unformatted=$$(gofmt -l .); \
		[ -z "$$unformatted" ] || { echo "$$unformatted"; exit 1; }
	go mod tidy -diff
	go vet ./...
	GOOS=darwin go vet ./...
	GOARCH=arm64 go build -o /dev/null .
	GOARCH=386 go build -o /dev/null .
	$(STATICCHECK) ./...

node:
	@command -v node >/dev/null && command -v npm >/dev/null || \
		{ $(ROOT) apt-get update && $(ROOT) apt-get install -y --no-install-recommends nodejs npm; }
	@node -e 'process.exit(parseInt(process.versions.node) < $(NODE_LEAST) ? 1 : 0)' || \
		{ echo "this needs Node.js $(NODE_LEAST) or newer, here is $$(node --version)" >&2; exit 1; }

chromium:
	@command -v chromium >/dev/null || \
		{ $(ROOT) apt-get update && $(ROOT) apt-get install -y --no-install-recommends chromium; }

tools:
	@missing=; for tool in curl openssl haproxy caddy nginx:nginx-light redis-server systemd-analyze:systemd; do \
		command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
		[ -z "$$missing" ] || { $(ROOT) apt-get update && $(ROOT) apt-get install -y --no-install-recommends $$missing; }

e2e: build node chromium tools ## drive the built server with Node.js and a browser; installs what of these is missing
	cd e2e && npm ci && npm test

microbench: ## run the Go benchmarks
	go test -run '^$$' -bench . -benchmem ./...

# As root it also cuts the network of some of the clients.
soak: ## keep a server busy for MINUTES (3) with faults at random, and check all along
	go run ./soak --minutes $(MINUTES) $(ARGS)

upgrade: ## replace a running server under load, and count who is turned away; needs root
	go test ./e2e -count=1 -v -run 'Upgrade|SecondServer'

bench: ## drive the server with whole signaling sessions, PAIRS of them; further flags in ARGS
	go run ./bench --pairs $(PAIRS) $(ARGS)

# 12 nodes of 16,000 connections: the usual hard limit of 20,000 open files each.
# It fails if they do not hold CONNECTIONS.
bench-cluster: ## measure a cluster of NODES (12) on this machine with CONNECTIONS (190000), and its engine with a million keys
	go run ./bench --nodes $(NODES) --pairs $(CONNECTIONS) --connections $(CONNECTIONS) --duration 5s $(ARGS)
	go test ./cluster -run '^$$' -bench AMillionKeys -benchtime 1x

bench-compare: ## compare two results: OLD=a.json NEW=b.json
	@test -n "$(OLD)" && test -n "$(NEW)" || { echo "say which: make bench-compare OLD=a.json NEW=b.json" >&2; exit 2; }
	go run ./bench --compare $(OLD) $(NEW)

# Two drivers: one would be busier than the server, and the rates its own.
bench-loops: ## measure sigver with one event loop and with two, in turn
	go run ./bench --compare-loops 1,2 --drivers 2 --rounds 5 --scenarios relay,sessions \
		--pairs 15000 --connections 15000 --duration 2s --warm-up 500ms $(ARGS)

# Idle Openers and sessions follow --pairs: 15,000 is what the usual hard limit of
# 20,000 open files has room for.
bench-peers: ## measure other servers too, in turn, on one core each, and show ratios
	@! command -v npm >/dev/null || (cd bench/peers/node && npm ci --silent)
	go run ./bench --peers=all --rounds 5 --pin-server 0 --scenarios idle,relay,sessions \
		--pairs 15000 --connections 15000 --duration 2s --warm-up 500ms --quiet 1s $(ARGS)

test-peers: ## test the servers that bench-peers measures
	cd bench/peers && go vet ./... && go test ./...

clean: ## remove what was built and what e2e installed
	rm -rf dist e2e/node_modules
