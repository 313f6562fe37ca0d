//! The activations against their exact values: at most 2 units in the last place for sigmoid, tanh and the exponential, at
//! most 4 for the others; monotone where the function is; inside their range; NaN only for NaN. A sample is checked in each
//! run; with `IRONPROP_ALL_INPUTS` set (`make accuracy`) every one of the 2³² float32 numbers, and sixteen million float64
//! ones. All threads of the machine share the numbers of one function.
//!
//! What is known of each function is in `accuracy/cases.rs`. The exact value of a float32 result is computed in float64, by
//! the platform's functions, with which the kernels have nothing in common; that of a float64 result in pairs of float64
//! numbers (`exact.rs`). The level that this CPU runs with is measured; that all others give the same bits is seen on a sample
//! in `kernels_agree.rs`.

mod cases;

use std::ops::Range;
use std::sync::Mutex;
use std::time::Instant;

use super::exact;
use cases::{CASES, Case, ELU, FAR, GELU, INFINITY, LEAKY_RELU, NEAR, SELU, SIGMOID, SILU, SIN, SOFTPLUS, TANH};
use ironprop::kernels::{Activation, Level, elementwise};

fn all_inputs() -> bool {
    std::env::var_os("IRONPROP_ALL_INPUTS").is_some()
}

/// What was found in a part of the inputs.
#[derive(Clone, Copy, Default)]
struct Found {
    numbers: u64,
    worst: f64,
    at: f64,
}

impl Found {
    fn see(&mut self, x: f64, error: f64) {
        self.numbers += 1;
        if error > self.worst {
            (self.worst, self.at) = (error, x);
        }
    }

    fn with(self, other: Self) -> Self {
        let worse = if other.worst > self.worst { other } else { self };
        Self { numbers: self.numbers + other.numbers, ..worse }
    }

    fn report(self, name: &str, most: f64, began: Instant) {
        let Self { numbers, worst, at } = self;
        println!(
            "{name}: {numbers} numbers, at most {worst:.4} ulp, at {at:e} ({:.0} s)",
            began.elapsed().as_secs_f64()
        );
        assert!(worst <= most, "{name}: {worst} ulp at {at:e}");
    }
}

/// What is found in all parts: each thread of the machine takes the next part as soon as it has done with one.
fn in_parts<P: Send>(parts: impl Iterator<Item = P> + Send, check: impl Fn(P) -> Found + Sync) -> Found {
    let parts = Mutex::new(parts);
    let next = || parts.lock().unwrap().next();
    let all = || std::iter::from_fn(next).map(&check).fold(Found::default(), Found::with);
    std::thread::scope(|scope| {
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(all)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(Found::default(), Found::with)
    })
}

/// Negative numbers and zeros in `f32`, infinity included; as many are positive.
const HALF: u64 = 0x7f80_0001;

/// The i-th number in ascending order, from −inf to inf, both zeros among them.
fn ordered(i: u64) -> f32 {
    if i < HALF { f32::from_bits((0xff80_0000 - i) as u32) } else { f32::from_bits((i - HALF) as u32) }
}

/// Every number of a part, or one in `step`.
fn check_f32(case: Case, numbers: Range<u64>, step: u64) -> Found {
    let Case { name, activation, range: (least, most), .. } = case;
    let (level, mut found) = (Level::current().unwrap(), Found::default());
    let (epsilon, smallest) = (f64::from(f32::EPSILON), f64::from(f32::MIN_POSITIVE));
    let mut before = -INFINITY;
    let (mut x, mut results) = (Vec::new(), Vec::new());
    let mut numbers = numbers.step_by(step as usize).map(ordered);
    loop {
        x.clear();
        x.extend(numbers.by_ref().take(4096));
        if x.is_empty() {
            return found;
        }
        results.resize(x.len(), 0.0);
        elementwise::activate(level, activation, &x, &mut results);
        for (&x, &result) in x.iter().zip(&results) {
            if x.is_infinite() {
                continue; // the ends have a test of their own
            }
            let (result, exact) = (f64::from(result), case.exact_of_f32(f64::from(x)));
            assert!(before == -INFINITY || case.rises(before, result, epsilon), "{name} falls at {x:e}");
            before = result;
            assert!(least <= result && result <= most, "{name} of {x:e} is {result}");
            let size = exact.abs();
            if size < smallest {
                assert!(result == 0.0 || result.abs() == smallest, "{name} of {x:e} is {result:e}");
            } else if size < f64::from(f32::MAX) && !(result == 0.0 && size < smallest * case.vanishing) {
                let unit = f64::from_bits(((size.to_bits() >> 52) - 23) << 52);
                found.see(f64::from(x), (result - exact).abs() / unit);
            }
        }
    }
}

/// Every number, or a sample, in parts that each begin with the last number of the part before: no neighbours are left out.
fn check_all_f32(case: Case) -> Found {
    const PART: u64 = 1 << 22;
    let step = if all_inputs() { 1 } else { 4099 };
    let parts = (0..2 * HALF).step_by(PART as usize).map(|start| start.saturating_sub(1)..(2 * HALF).min(start + PART));
    in_parts(parts, |numbers| check_f32(case, numbers, step))
}

fn next_bits(bits: u64) -> u64 {
    bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// Runs of eight neighbouring numbers, of all magnitudes and dense where the function bends.
fn check_f64(case: Case, runs: Range<u64>, mut bits: u64) -> Found {
    let Case { name, activation, samples: range, .. } = case;
    let (level, mut found) = (Level::current().unwrap(), Found::default());
    for run in runs {
        bits = next_bits(bits);
        let fraction = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        let start = match run % 3 {
            0 => range.0 + (range.1 - range.0) * fraction,
            1 => 6.0 * fraction - 3.0,
            _ => (range.1 * 2_f64.powf(-40.0 * fraction)).copysign(fraction - 0.5),
        };
        let x: [f64; 8] = std::array::from_fn(|i| f64::from_bits(start.to_bits() + i as u64));
        let mut results = [0.0; 8];
        elementwise::activate(level, activation, &x, &mut results);
        for i in 0..8 {
            found.see(x[i], exact::error(results[i], (case.exact.1)(x[i])));
            if i > 0 {
                let (before, after) = if start > 0.0 { (i - 1, i) } else { (i, i - 1) };
                assert!(case.rises(results[before], results[after], f64::EPSILON), "{name} falls at {:e}", x[i]);
            }
        }
    }
    found
}

fn check_all_f64(case: Case) -> Found {
    const PART: u64 = 1 << 11;
    let n_parts = if all_inputs() { 1 << 10 } else { 1 << 3 };
    let starts = std::iter::successors(Some(0x9e37_79b9_7f4a_7c15_u64), |&bits| {
        Some((0..PART).fold(bits, |bits, _| next_bits(bits)))
    });
    let parts = (0..n_parts).map(|part| part * PART..(part + 1) * PART).zip(starts);
    in_parts(parts, |(runs, bits)| check_f64(case, runs, bits))
}

fn check(case: Case) {
    let began = Instant::now();
    check_all_f32(case).report(&format!("{} f32", case.name), case.most, began);
    let began = Instant::now();
    check_all_f64(case).report(&format!("{} f64", case.name), case.most, began);
}

#[test]
fn sigmoid_is_exact_to_two_ulp_and_monotone() {
    check(SIGMOID);
}

#[test]
fn tanh_is_exact_to_two_ulp_and_monotone() {
    check(TANH);
}

#[test]
fn leaky_relu_is_exact_to_four_ulp_and_monotone() {
    check(LEAKY_RELU);
}

#[test]
fn elu_is_exact_to_four_ulp_and_monotone() {
    check(ELU);
}

#[test]
fn selu_is_exact_to_four_ulp_and_monotone() {
    check(SELU);
}

#[test]
fn gelu_is_exact_to_four_ulp() {
    check(GELU);
}

#[test]
fn silu_is_exact_to_four_ulp() {
    check(SILU);
}

#[test]
fn softplus_is_exact_to_four_ulp_and_monotone() {
    check(SOFTPLUS);
}

#[test]
fn sin_is_exact_to_four_ulp() {
    check(SIN);
}

#[test]
fn float64_functions_do_not_fall_where_the_power_of_two_changes() {
    let level = Level::current().unwrap();
    for (activation, scale) in [(Activation::Tanh, 0.5), (Activation::Elu, -1.0), (Activation::Sigmoid, 1.0)] {
        for n in 0..60 {
            let middle = ((f64::from(n) + 0.5) * std::f64::consts::LN_2 * scale).to_bits();
            let z: Vec<f64> = (middle - 2048..middle + 2048).map(f64::from_bits).collect();
            let mut results = vec![0.0; z.len()];
            elementwise::activate(level, activation, &z, &mut results);
            let rises = |pair: &[f64]| if scale > 0.0 { pair[0] <= pair[1] } else { pair[1] <= pair[0] };
            assert!(results.windows(2).all(rises), "{activation:?} falls near {:e}", f64::from_bits(middle));
        }
    }
}

#[test]
fn exp_of_a_negative_number_is_exact_to_two_ulp_and_monotone() {
    const PART: u32 = 1 << 14;
    let (level, began) = (Level::current().unwrap(), Instant::now());
    let n: u32 = if all_inputs() { 1 << 24 } else { 1 << 17 };
    let argument = |i: u32| -708.39 * (f64::from(i) / f64::from(n)).powi(3);
    let parts = || (0..n / PART).map(|part| part * PART..(part + 1) * PART);
    let of_f64 = in_parts(parts(), |numbers| {
        let y: Vec<f64> = numbers.clone().chain([numbers.end]).map(argument).collect();
        let (mut results, mut found) = (vec![0.0; y.len()], Found::default());
        elementwise::exp_of_negative(level, &y, &mut results);
        for (pair, &y) in results.windows(2).zip(&y) {
            found.see(y, exact::error(pair[0], exact::exp(y)));
            assert!(0.0 <= pair[1] && pair[1] <= pair[0] && pair[0] <= 1.0, "exp near {y:e} is {:e}", pair[0]);
        }
        found
    });
    of_f64.report("exp f64", 2.0, began);
    let began = Instant::now();
    let of_f32 = in_parts(parts(), |numbers| {
        let y: Vec<f32> = numbers.map(|i| (argument(i) / 8.2) as f32).collect();
        let (mut results, mut found) = (vec![0.0; y.len()], Found::default());
        elementwise::exp_of_negative(level, &y, &mut results);
        for (&y, &result) in y.iter().zip(&results) {
            let exact = f64::from(y).exp();
            let unit = f64::from_bits(((exact.to_bits() >> 52) - 23) << 52);
            found.see(f64::from(y), (f64::from(result) - exact).abs() / unit);
        }
        found
    });
    of_f32.report("exp f32", 2.0, began);
    let mut ends = [9.0; 5];
    elementwise::exp_of_negative(level, &[0.0, -1e4, f64::NEG_INFINITY, -f64::MAX, f64::NAN], &mut ends);
    assert!(ends[..4] == [1.0, 0.0, 0.0, 0.0] && ends[4].is_nan(), "{ends:?}");
}

#[test]
fn the_short_formulas_at_the_ends_are_those_of_the_middle() {
    for case in CASES {
        for i in 0..4000 {
            let fraction = f64::from(i) / 4000.0;
            let (near, far) = (NEAR * 2_f64.powf(-90.0 * fraction), FAR * 2_f64.powf(119.0 * fraction));
            for x in [near, -near, far, -far] {
                let (short, long) = (case.exact_of_f32(x), (case.exact.0)(x));
                let vanished = short == 0.0 && long.abs() < f64::from(f32::MIN_POSITIVE) / 1e9;
                assert!(
                    vanished || (short - long).abs() <= 1e-15 * long.abs(),
                    "{}: {x:e} {short:e} {long:e}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn the_checker_sees_an_error_of_three_units() {
    let x: f64 = 0.3;
    for (result, exact) in [
        (1.0 / (1.0 + libm::exp(-x)), exact::sigmoid(x)),
        (libm::tanh(x), exact::tanh(x)),
        (libm::sin(x), exact::sin(x)),
        (libm::log1p(libm::exp(x)), exact::softplus(x)),
        (0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2), exact::gelu(x)),
    ] {
        let wrong = f64::from_bits(result.to_bits() + 3);
        assert!(exact::error(result, exact) < 2.0 && exact::error(wrong, exact) > 2.0);
    }
}

#[test]
fn every_nan_stays_nan_and_the_ends_are_exact() {
    const INFINITY: f32 = f32::INFINITY;
    let nan = [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)];
    let ends = [f32::NEG_INFINITY, -1e30, -0.0, 0.0, 1e30, INFINITY];
    let selu = [-1.758_099_3, -1.758_099_3, 0.0, 0.0, 1e30 * 1.050_701, INFINITY];
    for level in Level::available() {
        for (activation, expected) in [
            (Activation::Sigmoid, [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]),
            (Activation::Tanh, [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]),
            (Activation::Relu, [0.0, 0.0, 0.0, 0.0, 1e30, INFINITY]),
            (Activation::LeakyRelu, [-INFINITY, -1e28, 0.0, 0.0, 1e30, INFINITY]),
            (Activation::Elu, [-1.0, -1.0, 0.0, 0.0, 1e30, INFINITY]),
            (Activation::Selu, selu),
            (Activation::Gelu, [0.0, 0.0, 0.0, 0.0, 1e30, INFINITY]),
            (Activation::Silu, [0.0, 0.0, 0.0, 0.0, 1e30, INFINITY]),
            (Activation::Softplus, [0.0, 0.0, std::f32::consts::LN_2, std::f32::consts::LN_2, 1e30, INFINITY]),
            (Activation::Identity, [-INFINITY, -1e30, 0.0, 0.0, 1e30, INFINITY]),
        ] {
            let mut results = [0.0; 4];
            elementwise::activate(level, activation, &nan, &mut results);
            assert!(results.iter().all(|result| result.is_nan()), "{activation:?} at {level}: {results:?}");
            let mut results = [9.0; 6];
            elementwise::activate(level, activation, &ends, &mut results);
            assert!(results == expected, "{activation:?} at {level}: {results:?}");
        }
        let mut results = [0.0; 6];
        elementwise::activate(level, Activation::Sin, &[f32::NAN, ends[0], ends[5], 0.0, -0.0, 1e30], &mut results);
        assert!(results[..3].iter().all(|result| result.is_nan()) && results[3..5] == [0.0, 0.0], "{results:?}");
        assert!(results[5] == libm::sin(f64::from(1e30_f32)) as f32, "{results:?}");
    }
}
