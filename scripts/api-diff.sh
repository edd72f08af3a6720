#!/bin/sh
# Replays every scenario of api/testdata/cases on the real neutron-server and on ours, compares the answers and
# records the reference's, so that `go test ./api` compares without installing it. Prints how many are the same.
set -eu
cd "$(dirname "$0")/.."
[ -x /usr/bin/neutron-server ] || scripts/neutron-reference.sh install
dir=$(mktemp -d)
trap 'scripts/neutron-reference.sh stop "$dir"; rm -rf "$dir"' EXIT INT TERM
url=$(scripts/neutron-reference.sh start "$dir" "${NEUTRON_PORT:-19697}")
go test ./api -count=1 -timeout 60m -v -run 'TestReference$' -reference "$url" "$@"
