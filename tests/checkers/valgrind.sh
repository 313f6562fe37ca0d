#!/usr/bin/env bash
# The core's tests under valgrind's memcheck, at the levels portable and avx2; it hides AVX-512 from programs (goal M1). The
# planted faults come first. At avx2 no test runs that compares bits with the definition: valgrind (3.19) computes −(0·1) + 0
# as −0, where every CPU gives +0. What runs there are all kernels at all lengths, and whole trainings.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v valgrind > /dev/null || { echo "needs valgrind" >&2; exit 1; }
tests=$(cargo test --locked --test core --no-run --message-format=json-render-diagnostics |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
export IRONPROP_SMALL=1

memcheck() { valgrind --quiet --error-exitcode=99 "$tests" "$@"; }

must_find() { # the fault, what is to be reported
  report=$(memcheck --ignored --exact "planted::$1" 2>&1) && { echo "planted::$1 was not found" >&2; exit 1; }
  grep -q "$2" <<< "$report" || { echo "planted::$1 was not found: $report" >&2; exit 1; }
}
must_find a_read_beyond_the_end_of_an_allocation "Invalid read of size 4"
must_find a_write_after_the_allocation_is_freed "Invalid write of size 8"
echo "memcheck has found both planted faults"
IRONPROP_LEVEL=portable IRONPROP_REQUIRE=portable memcheck --skip page_border
export IRONPROP_LEVEL=avx2 IRONPROP_REQUIRE=avx2
memcheck accuracy allocations derivatives determinism
memcheck --ignored --exact page_border::all_kernels_at_the_borders_of_their_memory
