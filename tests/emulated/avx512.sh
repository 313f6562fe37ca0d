#!/usr/bin/env bash
# The Rust tests that compare the levels with their definition, at the level avx512: on this CPU if it has it, else in an
# emulator (run.sh). They fail if the level did not run.
set -euo pipefail
cd "$(dirname "$0")/../.."
export IRONPROP_REQUIRE=avx512
if grep -q avx512vl /proc/cpuinfo; then
  exec cargo test --locked --release --test core agree
fi
mkdir -p target
target=x86_64-unknown-linux-gnu
RUSTFLAGS="-C target-feature=+crt-static" cargo test --locked --release --target "$target" \
  --test core --no-run --message-format=json-render-diagnostics |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' > target/emulated-test
EMU_ENV="IRONPROP_REQUIRE RUST_BACKTRACE" \
  bash tests/emulated/run.sh "$(cat target/emulated-test)" --test-threads 1 --nocapture agree
