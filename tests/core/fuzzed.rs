//! A layer out of any bytes, against its definition: what the fuzzer in `fuzz/` runs, and the test that replays the inputs
//! that were kept in `tests/data/fuzz/`.
//!
//! Four bytes are sizes, gap between rows and number type. Each two more bytes are sign, exponent and first digits of a
//! number, so that the fuzzer reaches every special one. They come again and again among numbers of a simple generator:
//! short inputs say much, and a fuzzer that changes a byte often changes a size.

use super::against_reference::{Bits, check_layer, check_map};

/// Numbers out of bytes.
struct Numbers<'a> {
    bytes: std::iter::Cycle<std::slice::ChunksExact<'a, u8>>,
    state: u64,
}

impl<'a> Numbers<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.chunks_exact(2).cycle(), state: bytes.len() as u64 }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let is_given = self.state >> 61 == 0; // one in eight
        match self.bytes.next().filter(|_| is_given) {
            Some(pair) => u64::from(pair[0]) << 56 | u64::from(pair[1]) << 48 | self.state >> 16,
            // About 1 in size, of either sign.
            None => 0x3fe0_0000_0000_0000 | self.state & 1 << 63 | self.state >> 12,
        }
    }

    fn take<T>(&mut self, n: usize, number: fn(u64) -> T) -> Vec<T> {
        (0..n).map(|_| number(self.next())).collect()
    }
}

fn check<T: Bits>((b, i, o): (usize, usize, usize), gap: usize, mut numbers: Numbers<'_>, number: fn(u64) -> T) {
    let (x, weights) = (numbers.take(b * i, number), numbers.take(i * o, number));
    let (biases, targets) = (numbers.take(o, number), numbers.take(b * o, number));
    check_layer((b, i, o), gap, (&x, &weights, &biases, &targets));
    check_map(&weights);
}

/// Panics where a kernel differs from its definition.
pub(super) fn check_bytes(bytes: &[u8]) {
    let &[b, i, o, options, ref rest @ ..] = bytes else { return };
    let size = (usize::from(b % 24), 1 + usize::from(i % 48), 1 + usize::from(o % 80));
    let (gap, numbers) = (usize::from(options >> 1 & 3), Numbers::new(rest));
    if options & 1 == 0 {
        // The upper half of the bits: sign and exponent of a float32, and most of its digits.
        check::<f32>(size, gap, numbers, |bits| f32::from_bits((bits >> 32) as u32));
    } else {
        check::<f64>(size, gap, numbers, f64::from_bits);
    }
}

#[cfg(test)]
#[test]
fn every_input_that_was_kept_gives_the_definitions_bits() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz");
    let mut inputs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        check_bytes(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "no inputs");
}
