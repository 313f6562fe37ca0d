#!/usr/bin/env bash
# The Rust tests that compare the levels with their definition, at the level avx512: on this CPU if it has it, else in an
# emulator (run.sh). They fail if the level did not run.
set -euo pipefail
cd "$(dirname "$0")/../.."
export IRONPROP_REQUIRE=avx512
if grep -q avx512vl /proc/cpuinfo; then
  exec cargo test --locked --release --test kernels_agree --test training_agrees
fi
target=x86_64-unknown-linux-gnu
RUSTFLAGS="-C target-feature=+crt-static" cargo test --locked --release --target "$target" \
  --test kernels_agree --test training_agrees --no-run --message-format=json-render-diagnostics |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' > target/emulated-tests
while read -r test; do
  echo "emulating $(basename "$test")"
  EMU_ENV="IRONPROP_REQUIRE RUST_BACKTRACE" bash tests/emulated/run.sh "$test" --test-threads 1 --nocapture
done < target/emulated-tests
