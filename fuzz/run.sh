#!/usr/bin/env bash
# Fuzzes the kernels for SECONDS_TO_RUN (60), on the stable toolchain: libFuzzer's coverage is a set of plain compiler flags,
# and AddressSanitizer comes along (see tests/checkers/asan.sh). It begins with the inputs kept in tests/data/fuzz and puts new
# ones into target/fuzz; one that fails is named at the end: fix the kernel and keep that input.
set -euo pipefail
cd "$(dirname "$0")/.."
coverage="-Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
  coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing $coverage -Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer"
target=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet --locked --release --manifest-path fuzz/Cargo.toml --target "$target" --target-dir target/fuzz-build
mkdir -p target/fuzz
"target/fuzz-build/$target/release/kernels" -max_total_time="${SECONDS_TO_RUN:-60}" -timeout=60 -max_len=64 \
  -artifact_prefix=target/ -print_final_stats=1 target/fuzz tests/data/fuzz
