# `make` builds; `make demo` shows it working; `make test` runs every test. See docs/development.md.
GO       ?= go
FUZZTIME ?= 3s
export GO FUZZTIME

.PHONY: build demo test race lint fuzz generate docs bench bench-openflow api-diff install-deps clean tempest
build:
	$(GO) build -o bin/ ./cmd/...

install-deps:
	scripts/install-deps.sh

demo: install-deps build
	scripts/demo.sh

test: install-deps
	scripts/test.sh lint unit fuzz

# The race detector needs a C compiler.
race:
	scripts/install-deps.sh --race
	CGO_ENABLED=1 GOTESTFLAGS=-race scripts/test.sh unit

lint:
	scripts/test.sh lint

fuzz:
	scripts/test.sh fuzz

# Everything that is made from the code: docs/pipeline.md and the golden files.
generate docs:
	$(GO) generate ./...

# Each program under bench/ prints one line of JSON; all run, and one that fails fails the whole.
bench: build bench-openflow
	scripts/install-deps.sh --bench
	@status=0; for m in bench/*/main.go bench/*/*/main.go; do d=$${m%/main.go}; echo "== $$d" >&2; $(GO) run ./$$d || status=1; done; exit $$status

# The answers of the real neutron-server beside ours, recorded anew (installs it, takes minutes).
api-diff:
	scripts/api-diff.sh

# tempest's and neutron-tempest-plugin's API tests with Debian's keystone (installs them, takes minutes); see docs/tempest.md.
tempest:
	scripts/tempest.sh

# Penstock's codec beside contiv/libOpenflow; one line of JSON.
bench-openflow:
	cd openflow/peerbench && $(GO) run .

clean:
	rm -rf bin
