# make help lists the targets. Go, git and make are enough for all of them but
# those of the containers, which need docker; what else the tests can use is said
# by make test.

GO ?= go
FUZZTIME ?= 10s
# LIVES is how many simulated lives of a thread make test-all runs.
LIVES ?= 1000000
# TESTFLAGS are further flags of go test, such as -run=TestLives or -count=1.
TESTFLAGS ?=
# BENCHFLAGS are flags of bench-rules, such as -languages=English (-help lists them).
BENCHFLAGS ?=

GO_WANTED := $(shell sed -n 's/^go //p' go.work)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
PROGRAMS := $(patsubst %/main.go,./%,$(wildcard services/*/main.go))
STATICCHECK := bin/tools/staticcheck
DEMO := docker compose -p autotag-demo -f docker-compose.yml -f deployments/compose.demo.yml --project-directory .

.DEFAULT_GOAL := help
.PHONY: help build test test-all test-compose demo up up-demo down purge logs check lint fmt tidy bench bench-rules fuzz clean need-go need-docker

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

build: need-go ## build the programs into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-X autotag/pkg/buildinfo.version=$(VERSION)' -o bin/ $(PROGRAMS)

test: need-go ## run all tests; starts nothing but what they need
	@GO='$(GO)' .ci/test $(TESTFLAGS)

test-all: test ## run all tests and the long ones (about an hour)
	$(GO) test ./services/tagger/internal/tagging -run TestLives -timeout 4h -args -lives $(LIVES)
	E2E_LONG=1 $(GO) test ./services/e2e -count 1 -timeout 4h
	@GO='$(GO)' .ci/fuzz 1m

demo: build ## play simulated chats and watch them being tagged; ends by itself
	bin/standalone --demo

up: need-docker ## run it with docker compose; says what is missing first
	@BUILD_VERSION='$(VERSION)' deployments/up

up-demo: need-docker ## the same with the simulator in LiveChat's place: plays chats, then a table; exit status by it
	@BUILD_VERSION='$(VERSION)' deployments/up demo

logs: need-docker ## follow the containers' logs
	docker compose logs --follow --tail 100

down: need-docker ## stop the containers, the demo's too, and keep the data
	docker compose down --remove-orphans
	$(DEMO) down --remove-orphans

purge: need-docker ## stop the containers and remove their data; asks first
	@printf 'This removes all webhooks, timers and decisions that NATS and Redis keep. Type "yes" to go on: '; \
		read -r answer && [ "$$answer" = yes ] || { echo "nothing removed"; exit 1; }
	docker compose down --remove-orphans --volumes
	$(DEMO) down --remove-orphans --volumes

test-compose: need-go need-docker ## test the containers (docker; about five minutes)
	$(GO) test -tags compose ./services/e2e -run '^TestCompose' -count 1 -timeout 30m -v $(TESTFLAGS)

check: lint ## check the formatting, the code, the modules and who imports what
	@GO='$(GO)' .ci/modules
	@GO='$(GO)' .ci/imports
	cd .ci/bench && GOWORK=off $(GO) vet . && GOWORK=off $(GO) test -count=1 .

lint: need-go $(STATICCHECK) ## check the formatting and the code
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l pkg services .ci/bench); test -z "$$files" || { echo "not formatted (make fmt does it):" $$files >&2; exit 1; }
	$(GO) vet -tags compose work
	$(STATICCHECK) -tags compose work

$(STATICCHECK): .ci/tools/go.mod .ci/tools/go.sum | need-go
	cd .ci/tools && GOWORK=off GOBIN='$(CURDIR)/bin/tools' $(GO) install honnef.co/go/tools/cmd/staticcheck
	@touch $@

fmt: need-go ## format the code
	@"$$($(GO) env GOROOT)/bin/gofmt" -w pkg services .ci/bench

tidy: need-go ## bring go.mod, go.sum and go.work.sum in order
	@GO='$(GO)' .ci/modules tidy

bench: need-go ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem $(TESTFLAGS) work

bench-rules: need-go ## measure how fast rules find their terms, beside libraries (about five minutes)
	@cd .ci/bench && GOWORK=off $(GO) run . $(BENCHFLAGS)

fuzz: need-go ## run every fuzz test in turn, each for FUZZTIME=10s
	@GO='$(GO)' .ci/fuzz $(FUZZTIME)

clean: ## remove what was built
	rm -rf bin coverage.out

need-go:
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go $(GO_WANTED) or newer, see https://go.dev/dl" >&2; exit 1; }
	@$(GO) env GOVERSION 2>/dev/null | awk -v wanted='$(GO_WANTED)' ' \
		{ split($$NF, have, "."); split(wanted, need, "."); sub(/.*go/, "", have[1]) } \
		END { if (NR && (have[1] + 0 > need[1] + 0 || have[1] + 0 == need[1] + 0 && have[2] + 0 >= need[2] + 0)) exit; \
		print "Go is too old: install Go " wanted " or newer, see https://go.dev/dl" > "/dev/stderr"; exit 1 }'

need-docker:
	@docker compose version >/dev/null 2>&1 || { echo "docker compose, version 2, is missing: see https://docs.docker.com/compose/install" >&2; exit 1; }
	@docker info >/dev/null 2>&1 || { echo "the docker engine does not answer: start it, or see with docker info what keeps you from it" >&2; exit 1; }
