#!/usr/bin/env bash
# The core on other CPUs, in qemu's user mode (goal D7): one without AVX, on which only the portable level runs, and one with
# all that qemu knows, AVX2 included. No illegal instruction, the golden bits, and the hashes of trainings that the CPU of this
# machine gives. Fused multiply-adds are computed in software there: small shapes only.
set -euo pipefail
cd "$(dirname "$0")/../.."
qemu=$(command -v qemu-x86_64 || command -v qemu-x86_64-static) || { echo "needs qemu-user" >&2; exit 1; }
tests=$(cargo test --locked --test core --no-run --message-format=json-render-diagnostics |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
export IRONPROP_SMALL=1

run() { # the levels that must have run, the command
  levels=$1 output=$("${@:2}" determinism golden --nocapture 2>&1) || { echo "$output" >&2; exit 1; }
  grep -q "^levels that run here: $levels$" <<< "$output" || { echo "not the levels $levels: $output" >&2; exit 1; }
  hashes=$(grep '^hash ' <<< "$output" | sort)
}
run ".*" "$tests"
native=$hashes
echo "$(wc -l <<< "$native") trainings on this CPU"
has_avx2=$("$qemu" -cpu help | grep -cw avx2) || true # since qemu 7.2
for cpu in Nehalem max; do
  levels=portable
  if [ "$cpu" = max ] && [ "$has_avx2" -gt 0 ]; then levels="portable, avx2"; fi
  run "$levels" "$qemu" -cpu "$cpu" "$tests"
  diff <(echo "$native") <(echo "$hashes") || { echo "other bits on -cpu $cpu" >&2; exit 1; }
  echo "-cpu $cpu: the same hashes at $levels"
done
