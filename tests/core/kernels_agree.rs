//! Every kernel equals the naive definition in `kernels::reference` bit for bit (any NaN equals any NaN), at every level
//! that this CPU has, in both number types, for all activations, at awkward sizes and with every special number in every
//! place.
//!
//! The levels that ran are printed, so that one which the CPU lacks does not go missing in silence; `IRONPROP_REQUIRE`
//! names a level that must have run.

use super::against_reference::{self, Bits, check_map};
use super::{print_levels, small};
use ironprop::kernels::{Element, Level};
use proptest::prelude::*;

/// Numbers of all magnitudes from a simple generator, now and then a zero.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let fraction = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        if self.0 >> 58 == 0 { 0.0 } else { (fraction - 0.5) * 4.0 }
    }

    pub(crate) fn take<T: Element>(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|_| T::from_f64(self.next())).collect()
    }
}

/// One layer of that size, with a special number in one place or not.
fn check_size<T: Bits>((b, i, o): (usize, usize, usize), gap: usize, seed: u64, poison: Option<(usize, f64)>) {
    let mut numbers = Numbers(seed);
    let mut x: Vec<T> = numbers.take(b * i);
    let mut weights: Vec<T> = numbers.take(i * o);
    let biases: Vec<T> = numbers.take(o);
    let targets: Vec<T> = numbers.take(b * o);
    if let Some((place, value)) = poison {
        let (n_x, n_w) = (x.len(), weights.len());
        if place % 2 == 0 && n_x > 0 {
            x[place / 2 % n_x] = T::from_f64(value);
        } else {
            weights[place / 2 % n_w] = T::from_f64(value);
        }
    }
    against_reference::check_layer((b, i, o), gap, (&x, &weights, &biases, &targets));
}

#[test]
fn every_level_of_this_cpu_runs_and_is_named() {
    let available: Vec<_> = Level::available().into_iter().map(Level::name).collect();
    print_levels();
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        assert!(available.contains(&"avx2"), "the CPU has avx2 but its level did not run");
    }
    if let Ok(required) = std::env::var("IRONPROP_REQUIRE") {
        assert!(available.contains(&required.as_str()), "{required} is required and did not run");
    }
}

#[test]
fn a_layer_equals_its_definition_at_every_small_size() {
    for b in [0, 1, 2, 3, 5, 7, 12, 13] {
        for i in [1, 2, 3, 4, 5, 8, 9, 12, 17, 24] {
            for o in [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 33, 40, 67] {
                let seed = (b * 10_000 + i * 100 + o) as u64;
                check_size::<f32>((b, i, o), seed as usize % 4, seed, None);
                check_size::<f64>((b, i, o), seed as usize % 3, seed, None);
            }
        }
    }
}

#[test]
fn a_layer_equals_its_definition_where_it_is_cut_into_blocks_and_copied_into_panels() {
    for size in [
        (1, 3, 255),
        (1, 40, 256),
        (3, 5, 257),
        (2, 17, 513),
        (1, 33, 600),
        (1, 1, 300),
        (300, 3, 2),
        (65, 70, 66),
        (37, 130, 270),  // copies of both operands in one block of rows
        (37, 600, 280),  // so much that rows are fetched ahead
        (215, 300, 133), // several blocks of rows, of depth, and of samples in the update
        (270, 210, 140),
        (64, 130, 1060), // a packed left operand of a forward pass
        (270, 33, 128),  // chains of an update that would rest in few sets of the cache
        // Input gradients across, at every level: one register of samples or some, several blocks of rows and of depth.
        (16, 70, 60),
        (48, 340, 260),
        (64, 340, 300), // chains of float64 that would rest in few sets of the cache
        // A last block of one or two rows beside a packed operand, in the update and in the forward pass: float64 at avx512, at
        // avx2, float32.
        (3, 1873, 128),
        (1874, 17, 128),
        (2, 3901, 64),
        (3902, 17, 64),
        (3, 7801, 256),
    ] {
        if small() && size.0 * size.1 * size.2 > 500_000 {
            continue;
        }
        // Rows that lie anyhow, and from cache lines on, an odd number of these apart: such are not copied.
        let gap = |in_line: usize| ((size.2 / in_line + 1) | 1) * in_line - size.2;
        // And so that those of the left operand begin in few sets of the cache.
        let crowded = size.1.next_multiple_of(128) - size.1;
        for (in_f32, in_f64) in [(1, 1), (gap(16), gap(8)), (crowded, crowded)] {
            check_size::<f32>(size, in_f32, 7, None);
            check_size::<f64>(size, in_f64, 7, None);
        }
    }
}

/// NaN, both infinities, both zeros, subnormal, huge.
pub(crate) const SPECIAL: [f64; 8] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-310, 1e-40, -1e30];

#[test]
fn a_special_number_anywhere_in_x_or_weights_gives_the_definitions_bits() {
    for length in [1, 2, 3, 5, 8, 9, 17] {
        for place in 0..4 * length {
            for special in SPECIAL {
                check_size::<f32>((2, length, 9), 0, place as u64, Some((place, special)));
                check_size::<f64>((3, 4, length), 0, place as u64, Some((place, special)));
            }
        }
    }
}

#[test]
fn a_special_number_at_each_index_of_each_length_gives_the_definitions_bits() {
    for length in 0..68 {
        for place in 0..length {
            for special in SPECIAL {
                let mut numbers = Numbers((length * 68 + place) as u64);
                let mut f32s: Vec<f32> = numbers.take(length);
                f32s[place] = special as f32;
                check_map(&f32s);
                let mut f64s: Vec<f64> = numbers.take(length);
                f64s[place] = special;
                check_map(&f64s);
            }
        }
    }
}

#[test]
fn activations_of_numbers_with_any_bits_equal_their_definitions() {
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    let any: Vec<u64> = (0..200_000)
        .map(|_| {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bits ^ (bits >> 29)
        })
        .collect();
    check_map(&any.iter().map(|&bits| f32::from_bits((bits >> 32) as u32)).collect::<Vec<_>>());
    check_map(&any.iter().map(|&bits| f64::from_bits(bits)).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if small() { 8 } else { 64 }, ..ProptestConfig::default() })]
    #[test]
    fn a_layer_of_any_size_equals_its_definition(b in 0_usize..70, i in 1_usize..80, o in 1_usize..80, gap in 0_usize..5, seed: u64) {
        check_size::<f32>((b, i, o), gap, seed, None);
        check_size::<f64>((b, i, o), gap, seed, None);
    }
}
