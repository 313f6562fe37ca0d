//! Sigmoid and tanh against their exact values: at most 2 units in the last place, monotone, inside their range, NaN only
//! for NaN. A sample is checked in each run; with `IRONPROP_ALL_INPUTS` set (`make accuracy`) every one of the 2³² float32
//! numbers, and sixteen million float64 ones.
//!
//! The exact value of a float32 result is computed in float64, that of a float64 result in pairs of float64 numbers whose
//! sum has some hundred bits.

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

    fn report(self, name: &str) {
        println!("{name}: {} numbers, at most {:.4} ulp, at {:e}", self.numbers, self.worst, self.at);
        assert!(self.worst <= 2.0, "{name}: {} ulp at {:e}", self.worst, self.at);
    }
}

/// Negative numbers and zeros in `f32`, infinity included; as many are positive.
const HALF: u64 = 0x7f80_0001;

/// The i-th number in ascending order, from −inf to inf, both zeros among them.
fn ordered(i: u64) -> f32 {
    if i < HALF { f32::from_bits((0xff80_0000 - i) as u32) } else { f32::from_bits((i - HALF) as u32) }
}

fn check_f32(
    activation: Activation,
    exact: fn(f64) -> f64,
    least: f32,
    numbers: std::ops::Range<u64>,
    step: u64,
) -> Found {
    let (level, mut found) = (Level::current().unwrap(), Found::default());
    let mut before = f32::NEG_INFINITY;
    let mut start = numbers.start;
    while start < numbers.end {
        let x: Vec<f32> = (start..numbers.end).step_by(step as usize).take(4096).map(ordered).collect();
        let mut results = vec![0.0; x.len()];
        elementwise::activate(level, activation, &x, &mut results);
        for (&x, &result) in x.iter().zip(&results) {
            assert!(result >= before, "{activation:?} falls at {x:e}");
            assert!(least <= result && result <= 1.0, "{activation:?} of {x:e} is {result}");
            before = result;
            let exact = exact(f64::from(x));
            if exact.abs() < f64::from(f32::MIN_POSITIVE) {
                assert!(result == 0.0 || result == f32::MIN_POSITIVE, "{activation:?} of {x:e} is {result:e}");
            } else {
                let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
                found.see(f64::from(x), (f64::from(result) - exact).abs() / 2_f64.powi(exponent - 23));
            }
        }
        start += x.len() as u64 * step;
    }
    found
}

fn check_all_f32(activation: Activation, exact: fn(f64) -> f64, least: f32) {
    let step = if all_inputs() { 1 } else { 4099 };
    // Both parts have the middle in common, so that no neighbours are left out.
    let check = move |part: std::ops::Range<u64>| check_f32(activation, exact, least, part, step);
    let (low, high) = std::thread::scope(|scope| {
        let high = scope.spawn(|| check(HALF - 1..2 * HALF));
        (check(0..HALF + 1), high.join().unwrap())
    });
    let found = if low.worst > high.worst { low } else { high };
    Found { numbers: low.numbers + high.numbers, ..found }.report(&format!("{activation:?} f32"));
}

#[test]
fn sigmoid_of_float32_numbers_is_exact_to_two_ulp_and_monotone() {
    check_all_f32(Activation::Sigmoid, |x| 1.0 / (1.0 + libm::exp(-x)), 0.0);
}

#[test]
fn tanh_of_float32_numbers_is_exact_to_two_ulp_and_monotone() {
    check_all_f32(Activation::Tanh, libm::tanh, -1.0);
}

/// An unevaluated sum of two numbers, the second at most half a unit of the first.
#[derive(Clone, Copy)]
struct Pair(f64, f64);

impl Pair {
    fn sum(a: f64, b: f64) -> Self {
        let s = a + b;
        let t = s - a;
        Self(s, (a - (s - t)) + (b - t))
    }

    fn add(self, other: Self) -> Self {
        let (high, low) = (Self::sum(self.0, other.0), Self::sum(self.1, other.1));
        let middle = Self::sum(high.0, high.1 + low.0);
        Self::sum(middle.0, middle.1 + low.1)
    }

    fn mul(self, other: Self) -> Self {
        let product = self.0 * other.0;
        let rest = self.0.mul_add(other.0, -product) + (self.0 * other.1 + self.1 * other.0);
        Self::sum(product, rest)
    }

    fn scale(self, power_of_two: f64) -> Self {
        Self(self.0 * power_of_two, self.1 * power_of_two)
    }

    /// `self / divisor`, for a small whole divisor.
    fn over(self, divisor: f64) -> Self {
        let quotient = self.0 / divisor;
        Self::sum(quotient, ((-quotient).mul_add(divisor, self.0) + self.1) / divisor)
    }
}

/// exp y: r = y − n ln 2 with a logarithm in three parts (the products with n of the first two are exact), the series of
/// exp(r / 64) − 1, squared six times.
fn exp(y: f64) -> Pair {
    let parts = [0x3fe6_2e42_fefa_4000, 0xbd48_432a_1b0e_2000, 0xbaa8_cff8_1a12_a17e].map(f64::from_bits);
    let n = (y * std::f64::consts::LOG2_E).round();
    let r = Pair::sum(y - n * parts[0], -n * parts[1]).add(Pair(-n * parts[2], 0.0)).scale(1.0 / 64.0);
    let mut series = Pair(0.0, 0.0);
    for k in (1..=14).rev() {
        series = Pair(1.0, 0.0).add(series).mul(r).over(f64::from(k));
    }
    for _ in 0..6 {
        series = series.scale(2.0).add(series.mul(series));
    }
    Pair(1.0, 0.0).add(series).scale(f64::from_bits(((n as i64 + 1023) as u64) << 52))
}

/// How far `result` is from `numerator / denominator`, in units of the last place of the result.
fn error_of_quotient(result: f64, numerator: Pair, denominator: Pair) -> f64 {
    let product = Pair(result, 0.0).mul(denominator);
    let difference = product.add(Pair(-numerator.0, -numerator.1));
    let quotient = numerator.0 / denominator.0;
    let unit = f64::from_bits(((quotient.abs().to_bits() >> 52) - 52) << 52);
    ((difference.0 + difference.1) / denominator.0 / unit).abs()
}

fn sigmoid_error(x: f64, result: f64) -> f64 {
    error_of_quotient(result, Pair(1.0, 0.0), Pair(1.0, 0.0).add(exp(-x)))
}

fn tanh_error(x: f64, result: f64) -> f64 {
    if x.abs() < 1e-3 {
        let square = Pair(x, 0.0).mul(Pair(x, 0.0));
        let (seventh, fifth) = (square.mul(Pair(-17.0, 0.0)).over(315.0), Pair(2.0, 0.0).over(15.0));
        let third = square.mul(fifth.add(seventh)).add(Pair(-1.0, 0.0).over(3.0));
        let exact = Pair(x, 0.0).add(square.mul(third).mul(Pair(x, 0.0)));
        return error_of_quotient(result, exact, Pair(1.0, 0.0));
    }
    let e = exp(2.0 * x);
    error_of_quotient(result, e.add(Pair(-1.0, 0.0)), e.add(Pair(1.0, 0.0)))
}

/// Runs of eight neighbouring numbers, of all magnitudes and dense where the function bends.
fn check_f64(activation: Activation, error: fn(f64, f64) -> f64, range: (f64, f64)) {
    let runs = if all_inputs() { 1 << 21 } else { 1 << 14 };
    let (level, mut found, mut bits) = (Level::current().unwrap(), Found::default(), 0x9e37_79b9_7f4a_7c15_u64);
    for run in 0..runs {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let fraction = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        let start = match run % 3 {
            0 => range.0 + (range.1 - range.0) * fraction,
            1 => 6.0 * fraction - 3.0,
            _ => (range.1 * 2_f64.powf(-40.0 * fraction)).copysign(fraction - 0.5),
        };
        let x: Vec<f64> = (0..8).map(|i| f64::from_bits(start.to_bits() + i)).collect();
        let mut results = vec![0.0; 8];
        elementwise::activate(level, activation, &x, &mut results);
        for i in 0..8 {
            found.see(x[i], error(x[i], results[i]));
            let rises = i == 0 || if start > 0.0 { results[i - 1] <= results[i] } else { results[i] <= results[i - 1] };
            assert!(rises, "{activation:?} falls at {:e}", x[i]);
        }
    }
    found.report(&format!("{activation:?} f64"));
}

#[test]
fn sigmoid_of_float64_numbers_is_exact_to_two_ulp_and_monotone() {
    check_f64(Activation::Sigmoid, sigmoid_error, (-670.0, 36.0));
}

#[test]
fn tanh_of_float64_numbers_is_exact_to_two_ulp_and_monotone() {
    check_f64(Activation::Tanh, tanh_error, (-19.0, 19.0));
}

#[test]
fn the_checker_sees_an_error_of_three_units() {
    let x: f64 = 0.3;
    let result = 1.0 / (1.0 + libm::exp(-x));
    let wrong = f64::from_bits(result.to_bits() + 3);
    assert!(sigmoid_error(x, result) < 2.0 && sigmoid_error(x, wrong) > 2.0);
    let result = libm::tanh(x);
    let wrong = f64::from_bits(result.to_bits() + 3);
    assert!(tanh_error(x, result) < 2.0 && tanh_error(x, wrong) > 2.0);
}

#[test]
fn every_nan_stays_nan_and_the_ends_are_exact() {
    let nan = [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)];
    let ends = [f32::NEG_INFINITY, -1e30, -0.0, 0.0, 1e30, f32::INFINITY];
    for level in Level::available() {
        for (activation, expected) in [
            (Activation::Sigmoid, [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]),
            (Activation::Tanh, [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]),
        ] {
            let mut results = [0.0; 4];
            elementwise::activate(level, activation, &nan, &mut results);
            assert!(results.iter().all(|result| result.is_nan()), "{activation:?} at {level}: {results:?}");
            let mut results = [9.0; 6];
            elementwise::activate(level, activation, &ends, &mut results);
            assert!(results == expected, "{activation:?} at {level}: {results:?}");
        }
    }
}
