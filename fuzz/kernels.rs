//! The fuzzer of the kernels: whatever bytes come, each kernel gives the bits of its definition, at every level that the CPU
//! has. The work is in `tests/core/fuzzed.rs`, so that `cargo test` replays the inputs that were kept. `fuzz/run.sh` builds
//! and runs it.

#![no_main]
#![allow(clippy::cast_possible_truncation)] // numbers from bits

#[path = "../tests/core/against_reference.rs"]
mod against_reference;
#[path = "../tests/core/fuzzed.rs"]
mod fuzzed;

use ironprop::kernels::Level;

fn levels() -> Vec<Level> {
    Level::available()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzed::check_bytes(bytes));
