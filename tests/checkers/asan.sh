#!/usr/bin/env bash
# The core's tests under AddressSanitizer, at every level that the CPU has, AVX-512 included (goal M2). The sanitizer is in the
# stable toolchain, behind a flag that only RUSTC_BOOTSTRAP opens: nothing else here needs it. The planted faults come first;
# a sanitizer that does not report them does not look. `page_border` is left out: it demands signals that the sanitizer takes.
set -euo pipefail
cd "$(dirname "$0")/../.."
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer"
target=$(rustc -vV | sed -n 's/^host: //p')
tests=$(cargo test --locked --target "$target" --target-dir target/asan --test core --no-run \
  --message-format=json-render-diagnostics | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')

must_find() { # the fault, what is to be reported
  report=$("$tests" --ignored --exact "planted::$1" 2>&1) || true
  grep -q "AddressSanitizer: $2" <<< "$report" || { echo "planted::$1 was not found: $report" >&2; exit 1; }
}
must_find a_read_beyond_the_end_of_an_allocation heap-buffer-overflow
must_find a_write_after_the_allocation_is_freed heap-use-after-free
echo "AddressSanitizer has found both planted faults"
"$tests" --skip page_border
