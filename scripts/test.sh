#!/usr/bin/env bash
# test.sh STEP...: runs lint, unit, fuzz in every Go module of the repository and exits with an error if any of
# them failed, after all have run. FUZZTIME is per fuzz target; GOTESTFLAGS is added to go test.
set -uo pipefail
cd "$(dirname "$0")/.."

: "${GO:=go}" "${FUZZTIME:=3s}" "${STATICCHECK:=honnef.co/go/tools/cmd/staticcheck@v0.8.2}" "${GOTESTFLAGS:=}"
failures=()
step() { # name command...
	local name=$1
	shift
	local start=$SECONDS
	if "$@"; then echo "ok      $name ($((SECONDS - start)) s)"; else echo "FAILED  $name ($((SECONDS - start)) s)" >&2; failures+=("$name"); fi
}
# Directories of modules, the root first.
modules() { find . -name go.mod -not -path '*/testdata/*' -printf '%h\n' | sort; }

formatted() {
	local bad
	bad=$(find . -name '*.go' -not -path '*/testdata/*' -exec gofmt -l {} +) || return 1
	[ -z "$bad" ] || { echo "gofmt -w is needed for:" "$bad" >&2; return 1; }
}
# unit_module: every test of the module. Tests of real switches share two cores with each other; a package that fails is
# run once more with the machine to itself, and what only failed in company is named, so that it is seen and mended. A
# defect fails both times.
unit_module() {
	local log packages status
	log=$(mktemp)
	# shellcheck disable=SC2086 # flags are words
	"$GO" test -p 2 -timeout 20m $GOTESTFLAGS ./... 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	if [ "$status" -ne 0 ]; then
		packages=$(awk '$1 == "FAIL" && NF > 1 {print $2}' "$log" | sort -u)
		echo "--- failed at first, run again alone: ${packages:-nothing that can be named}" >&2
		status=1
		# shellcheck disable=SC2086
		if [ -n "$packages" ] && "$GO" test -p 1 -parallel 1 -count=1 -timeout 20m $GOTESTFLAGS $packages; then
			echo "--- UNSTEADY: failed in company, passed alone: $packages" >&2
			status=0
		fi
	fi
	rm -f "$log"
	return "$status"
}
in_module() { (cd "$1" && shift && "$@"); }
# A fuzz target takes the cores for its bounded time, so they run one after another.
fuzz_module() {
	local failed=0 file dir name log
	log=$(mktemp)
	while IFS=: read -r file name; do
		dir=$(dirname "$file")
		name=${name#func }
		name=${name%%(*}
		"$GO" test -run '^$' -fuzz "^$name\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 10x -parallel 2 "$dir" >"$log" 2>&1 && continue
		# When the time is up in the middle of an input, Go may report its own deadline as a failure of the target
		# (golang.org/issue/48591). A real one always names the input that it wrote.
		grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log" && continue
		cat "$log"
		echo "fuzz: $dir $name failed; the crasher is in $dir/testdata/fuzz/$name" >&2
		failed=1
	done < <(targets)
	rm -f "$log"
	return $failed
}
# FILE:func FuzzName( of this module, without those of modules within it.
targets() {
	local nested=() m
	while read -r m; do [ "$m" = . ] || nested+=(-not -path "$m/*"); done < <(modules)
	find . -name '*_test.go' -not -path '*/testdata/*' "${nested[@]}" -exec grep -HoE '^func Fuzz[A-Za-z0-9_]*\(' {} + | sort
}

for s in "$@"; do
	case $s in
	lint)
		step gofmt formatted
		for m in $(modules); do
			step "vet $m" in_module "$m" "$GO" vet ./...
			step "staticcheck $m" in_module "$m" "$GO" run "$STATICCHECK" ./...
		done ;;
	unit)
		for m in $(modules); do
			step "test $m" in_module "$m" unit_module
		done ;;
	fuzz)
		for m in $(modules); do step "fuzz $m ($FUZZTIME each)" in_module "$m" fuzz_module; done ;;
	*) echo "test.sh: unknown step $s: lint, unit and fuzz are known" >&2; exit 2 ;;
	esac
done
if [ ${#failures[@]} -gt 0 ]; then
	echo "${#failures[@]} failed: ${failures[*]}" >&2
	exit 1
fi
echo "all passed"
