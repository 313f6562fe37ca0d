//! Every kernel equals the naive definition in `kernels::reference` bit for bit (any NaN equals any NaN), at every level
//! that this CPU has, in both number types, for all activations, at awkward sizes and with every special number in every
//! place.
//!
//! The levels that ran are printed, so that one which the CPU lacks does not go missing in silence; `IRONPROP_REQUIRE`
//! names a level that must have run.

use super::levels;
use ironprop::kernels::update::{self, Parameters};
use ironprop::kernels::{Activation, Descent, Element, Level, Loss, Matrix, MatrixMut, Slope};
use ironprop::kernels::{dense, elementwise, loss, reference};
use proptest::prelude::*;

/// Numbers whose bits the tests compare.
pub(crate) trait Bits: Element {
    fn bits(self) -> u64;
}

impl Bits for f32 {
    fn bits(self) -> u64 {
        if self.is_nan() { u64::MAX } else { u64::from(self.to_bits()) }
    }
}

impl Bits for f64 {
    fn bits(self) -> u64 {
        if self.is_nan() { u64::MAX } else { self.to_bits() }
    }
}

pub(crate) fn assert_same<T: Bits>(what: &str, level: Level, actual: &[T], expected: &[T]) {
    assert_eq!(actual.len(), expected.len(), "{what} at {level}");
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert!(actual.bits() == expected.bits(), "{what} at {level}, number {i}: {actual:?}, expected {expected:?}");
    }
}

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

/// Copies packed rows to rows at a stride, with a NaN in each gap: whoever reads it shows.
pub(crate) fn spread<T: Element>(packed: &[T], columns: usize, stride: usize) -> Vec<T> {
    let rows = packed.len() / columns;
    let mut spread = vec![T::from_f64(f64::NAN); rows * stride];
    for row in 0..rows {
        spread[row * stride..][..columns].copy_from_slice(&packed[row * columns..][..columns]);
    }
    spread
}

/// The reverse, which also sees that the gaps were not written.
pub(crate) fn gather<T: Bits>(spread: &[T], columns: usize, stride: usize) -> Vec<T> {
    spread
        .chunks(stride)
        .flat_map(|row| {
            assert!(row[columns..].iter().all(|gap| gap.bits() == u64::MAX), "a gap between rows was written");
            row[..columns].to_vec()
        })
        .collect()
}

/// A workspace in which whoever reads before writing shows.
fn nans<T: Element>(length: usize) -> Vec<T> {
    vec![T::from_f64(f64::NAN); length]
}

/// One layer of that size: forward, output deltas, loss, input gradient, update, each against its definition.
fn check_layer<T: Bits>((b, i, o): (usize, usize, usize), gap: usize, seed: u64, poison: Option<(usize, f64)>) {
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
    let learning_rate = T::from_f64(0.375);
    for level in levels() {
        let forward = dense::forward_workspace::<T>(level, b, (i, o));
        let backward = dense::input_gradient_workspace::<T>(level, b, (i, o));
        let of_update = update::update_workspace::<T>(level, b, (i, o));
        let workspace = &mut nans::<T>(forward.max(backward).max(of_update));
        let x_spread = spread(&x, i, i + gap);
        let w_spread = spread(&weights, o, o + gap);
        let (x_rows, w_rows) = (Matrix::new(&x_spread, b, i, i + gap), Matrix::new(&w_spread, i, o, o + gap));
        let pre_activations = reference::pre_activations(&x, &weights, &biases);
        // What a function makes of a number is seen at small sizes; large ones are about products.
        let few = if b * i * o > 4000 { &[0, 2, 6][..] } else { &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] };
        for (_, activation) in few.iter().map(|&which| Activation::ALL[which]) {
            let expected: Vec<T> = pre_activations.iter().map(|&z| reference::activate(activation, z)).collect();
            let slopes: Vec<T> = pre_activations.iter().map(|&z| reference::derivative_at(activation, z)).collect();
            let nan = T::from_f64(f64::NAN);
            let mut out = vec![nan; b * (o + gap)];
            let mut out_slopes = vec![nan; b * (o + gap)];
            dense::forward(
                level,
                activation,
                x_rows,
                (w_rows, &biases),
                MatrixMut::new(&mut out, b, o, o + gap),
                Some(MatrixMut::new(&mut out_slopes, b, o, o + gap)),
                workspace,
            );
            assert_same("activations", level, &gather(&out, o, o + gap), &expected);
            assert_same("derivatives", level, &gather(&out_slopes, o, o + gap), &slopes);
            let mut alone = vec![nan; b * (o + gap)];
            dense::forward(
                level,
                activation,
                x_rows,
                (w_rows, &biases),
                MatrixMut::new(&mut alone, b, o, o + gap),
                None,
                workspace,
            );
            assert_same("activations without derivatives", level, &gather(&alone, o, o + gap), &expected);

            let expected_deltas = reference::output_deltas(&expected, &targets, &slopes);
            let (pred, target) = (Matrix::packed(&expected, b, o), Matrix::packed(&targets, b, o));
            let slopes = Matrix::packed(&slopes, b, o);
            let kept = if activation.keeps_derivative() { slopes } else { pred };
            for slope in [Slope::Stored(slopes), Slope::Of(activation, kept)] {
                let mut deltas = vec![nan; b * (o + gap)];
                let out = MatrixMut::new(&mut deltas, b, o, o + gap);
                loss::output_deltas(level, Loss::HalfSquaredError, pred, target, None, b, slope, out);
                assert_same("output deltas", level, &gather(&deltas, o, o + gap), &expected_deltas);
            }
            let value = loss::half_squared_error(level, pred, target);
            assert_same("loss", level, &[value], &[reference::half_squared_error(o, &expected, &targets)]);

            // The layer before has the activation too: its activations are `inputs`, its derivatives theirs.
            let inputs: Vec<T> = x.iter().map(|&z| reference::activate(activation, z)).collect();
            let input_slopes: Vec<T> = x.iter().map(|&z| reference::derivative_at(activation, z)).collect();
            let expected_before = reference::input_gradient(o, &expected_deltas, &weights, &input_slopes);
            let deltas = spread(&expected_deltas, o, o + gap);
            let deltas = Matrix::new(&deltas, b, o, o + gap);
            let kept = if activation.keeps_derivative() { &input_slopes } else { &inputs };
            for slope in
                [Slope::Stored(Matrix::packed(&input_slopes, b, i)), Slope::Of(activation, Matrix::packed(kept, b, i))]
            {
                let mut before = vec![nan; b * (i + gap)];
                dense::input_gradient(
                    level,
                    deltas,
                    w_rows,
                    slope,
                    MatrixMut::new(&mut before, b, i, i + gap),
                    workspace,
                );
                assert_same("input gradient", level, &gather(&before, i, i + gap), &expected_before);
            }

            let (mut expected_w, mut expected_b) = (weights.clone(), biases.clone());
            reference::update(learning_rate, &x, &expected_deltas, &mut expected_w, &mut expected_b);
            let (mut new_w, mut new_b) = (w_spread.clone(), biases.clone());
            let weights = MatrixMut::new(&mut new_w, i, o, o + gap);
            let parameters = Parameters { weights, biases: Some(&mut new_b[..]) };
            let descent = Descent::plain(learning_rate);
            update::update(level, &descent, x_rows, deltas, parameters, [None, None], workspace);
            assert_same("updated weights", level, &gather(&new_w, o, o + gap), &expected_w);
            assert_same("updated biases", level, &new_b, &expected_b);
        }
    }
}

#[test]
fn every_level_of_this_cpu_runs_and_is_named() {
    let available: Vec<_> = Level::available().into_iter().map(Level::name).collect();
    println!("levels that run here: {}", available.join(", "));
    for name in Level::NAMES {
        if !available.contains(name) {
            println!("level {name} was NOT run: this CPU lacks it");
        }
    }
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
        for i in [1, 2, 3, 4, 5, 8, 9, 17] {
            for o in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 67] {
                let seed = (b * 10_000 + i * 100 + o) as u64;
                check_layer::<f32>((b, i, o), seed as usize % 4, seed, None);
                check_layer::<f64>((b, i, o), seed as usize % 3, seed, None);
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
        (215, 300, 133), // several blocks of rows, of depth, and of samples in the update
        (270, 210, 140),
        // A last block of one or two rows, in the update and in the forward pass.
        (32, 1441, 64),
        (32, 1442, 64),
        (1442, 32, 64),
        (16, 673, 128),
        (16, 674, 128),
        (674, 16, 128),
    ] {
        check_layer::<f32>(size, 1, 7, None);
        check_layer::<f64>(size, 1, 7, None);
    }
}

/// NaN, both infinities, both zeros, subnormal, huge.
pub(crate) const SPECIAL: [f64; 8] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-310, 1e-40, -1e30];

#[test]
fn a_special_number_anywhere_in_x_or_weights_gives_the_definitions_bits() {
    for length in [1, 2, 3, 5, 8, 9, 17] {
        for place in 0..4 * length {
            for special in SPECIAL {
                check_layer::<f32>((2, length, 9), 0, place as u64, Some((place, special)));
                check_layer::<f64>((3, 4, length), 0, place as u64, Some((place, special)));
            }
        }
    }
}

fn check_map<T: Bits>(numbers: &[T]) {
    for level in levels() {
        for &(name, activation) in Activation::ALL {
            let mut out = vec![T::ZERO; numbers.len()];
            elementwise::activate(level, activation, numbers, &mut out);
            let expected: Vec<T> = numbers.iter().map(|&z| reference::activate(activation, z)).collect();
            assert_same(name, level, &out, &expected);
            elementwise::derive(level, activation, numbers, &mut out);
            let expected: Vec<T> = numbers.iter().map(|&a| reference::derive(activation, a)).collect();
            assert_same(name, level, &out, &expected);
        }
        let negative: Vec<T> = numbers.iter().map(|&y| -y.abs()).collect();
        let mut out = vec![T::ZERO; numbers.len()];
        elementwise::exp_of_negative(level, &negative, &mut out);
        let expected: Vec<T> = negative.iter().map(|&y| reference::exp_of_negative(y)).collect();
        assert_same("exp of a negative number", level, &out, &expected);
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
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_layer_of_any_size_equals_its_definition(b in 0_usize..70, i in 1_usize..80, o in 1_usize..80, gap in 0_usize..5, seed: u64) {
        check_layer::<f32>((b, i, o), gap, seed, None);
        check_layer::<f64>((b, i, o), gap, seed, None);
    }
}
