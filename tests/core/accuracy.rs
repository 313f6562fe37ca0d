//! The activations against their exact values: at most 2 units in the last place for sigmoid, tanh and the exponential, at
//! most 4 for the others; monotone where the function is; inside their range; NaN only for NaN. A sample is checked in each
//! run; with `IRONPROP_ALL_INPUTS` set (`make accuracy`) every one of the 2³² float32 numbers, and sixteen million float64
//! ones.
//!
//! The exact value of a float32 result is computed in float64, that of a float64 result in pairs of float64 numbers
//! (`exact.rs`).

use super::exact;
use ironprop::kernels::{Activation, Level, Matrix, MatrixMut, dense, elementwise};

fn all_inputs() -> bool {
    std::env::var_os("IRONPROP_ALL_INPUTS").is_some()
}

/// The exact values of float32 and of float64 numbers.
type Exact = (fn(f64) -> f64, fn(f64) -> exact::Pair);

/// A function and what is known of it.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    activation: Activation,
    exact: Exact,
    /// The largest error in units of the last place.
    most: f64,
    /// Between which results lie.
    range: (f64, f64),
    /// By how many units in the last place the function may fall from a number to the next.
    falls: f64,
    /// From where to where float64 samples are taken evenly.
    samples: (f64, f64),
    /// Exact values below this many times the smallest normal number may be 0.
    vanishing: f64,
}

impl Case {
    fn rises(&self, before: f64, after: f64, epsilon: f64) -> bool {
        before <= after || self.falls == INFINITY || before - after <= self.falls * before.abs() * epsilon
    }
}

const INFINITY: f64 = f64::INFINITY;

/// What most have in common.
const CASE: Case = Case {
    name: "",
    activation: Activation::Identity,
    exact: (|_| 0.0, |_| exact::Pair(0.0, 0.0)),
    most: 4.0,
    range: (-INFINITY, INFINITY),
    falls: INFINITY,
    samples: (-40.0, 40.0),
    vanishing: 1.0,
};

const SIGMOID: Case = Case {
    name: "sigmoid",
    activation: Activation::Sigmoid,
    exact: (|x| 1.0 / (1.0 + libm::exp(-x)), exact::sigmoid),
    most: 2.0,
    range: (0.0, 1.0),
    falls: 0.0,
    samples: (-670.0, 36.0),
    ..CASE
};

const TANH: Case = Case {
    name: "tanh",
    activation: Activation::Tanh,
    exact: (libm::tanh, exact::tanh),
    most: 2.0,
    range: (-1.0, 1.0),
    falls: 0.0,
    samples: (-19.0, 19.0),
    ..CASE
};

const LEAKY_RELU: Case = Case {
    name: "leaky_relu",
    activation: Activation::LeakyRelu,
    exact: (|x| if x > 0.0 { x } else { 0.01 * x }, exact::leaky_relu),
    falls: 0.0,
    ..CASE
};

const ELU: Case = Case {
    name: "elu",
    activation: Activation::Elu,
    exact: (|x| if x > 0.0 { x } else { libm::expm1(x) }, exact::elu),
    range: (-1.0, INFINITY),
    falls: 0.0,
    ..CASE
};

const SELU: Case = Case {
    name: "selu",
    activation: Activation::Selu,
    exact: (
        |x| 1.050_700_987_355_480_5 * if x > 0.0 { x } else { 1.673_263_242_354_377_2 * libm::expm1(x) },
        exact::selu,
    ),
    range: (-1.758_099_4, INFINITY),
    falls: 0.0,
    ..CASE
};

const GELU: Case = Case {
    name: "gelu",
    activation: Activation::Gelu,
    exact: (|x| 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2), exact::gelu),
    range: (-0.17, INFINITY),
    samples: (-37.4, 10.0),
    ..CASE
};

const SILU: Case = Case {
    name: "silu",
    activation: Activation::Silu,
    exact: (|x| x / (1.0 + libm::exp(-x)), exact::silu),
    range: (-0.279, INFINITY),
    samples: (-700.0, 40.0),
    vanishing: 1000.0,
    ..CASE
};

const SOFTPLUS: Case = Case {
    name: "softplus",
    activation: Activation::Softplus,
    exact: (|x| x.max(0.0) + libm::log1p(libm::exp(-x.abs())), exact::softplus),
    range: (0.0, INFINITY),
    falls: 1.0,
    samples: (-700.0, 40.0),
    ..CASE
};

const SIN: Case = Case {
    name: "sin",
    activation: Activation::Sin,
    exact: (libm::sin, exact::sin),
    range: (-1.0, 1.0),
    samples: (-110_000.0, 110_000.0),
    ..CASE
};

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

    fn report(self, name: &str, most: f64) {
        println!("{name}: {} numbers, at most {:.4} ulp, at {:e}", self.numbers, self.worst, self.at);
        assert!(self.worst <= most, "{name}: {} ulp at {:e}", self.worst, self.at);
    }
}

/// Negative numbers and zeros in `f32`, infinity included; as many are positive.
const HALF: u64 = 0x7f80_0001;

/// The i-th number in ascending order, from −inf to inf, both zeros among them.
fn ordered(i: u64) -> f32 {
    if i < HALF { f32::from_bits((0xff80_0000 - i) as u32) } else { f32::from_bits((i - HALF) as u32) }
}

fn check_f32(case: Case, numbers: std::ops::Range<u64>, step: u64) -> Found {
    let Case { name, activation, range: (least, most), .. } = case;
    let (level, mut found) = (Level::current().unwrap(), Found::default());
    let mut before = f32::MIN;
    let mut start = numbers.start;
    while start < numbers.end {
        let x: Vec<f32> = (start..numbers.end).step_by(step as usize).take(4096).map(ordered).collect();
        let mut results = vec![0.0; x.len()];
        elementwise::activate(level, activation, &x, &mut results);
        for (&x, &result) in x.iter().zip(&results) {
            if x.is_infinite() {
                continue; // the ends have a test of their own
            }
            let epsilon = f64::from(f32::EPSILON);
            assert!(case.rises(f64::from(before), f64::from(result), epsilon), "{name} falls at {x:e}");
            before = result;
            let (result, exact) = (f64::from(result), (case.exact.0)(f64::from(x)));
            assert!(least <= result && result <= most, "{name} of {x:e} is {result}");
            let smallest = f64::from(f32::MIN_POSITIVE);
            if exact.abs() < smallest {
                assert!(result == 0.0 || result.abs() == smallest, "{name} of {x:e} is {result:e}");
            } else if exact.abs() < smallest * case.vanishing && result == 0.0 {
                assert!(result == 0.0, "{name} of {x:e} is {result:e}");
            } else if exact.abs() < f64::from(f32::MAX) {
                let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
                found.see(f64::from(x), (result - exact).abs() / 2_f64.powi(exponent - 23));
            }
        }
        start += x.len() as u64 * step;
    }
    found
}

/// Runs of eight neighbouring numbers, of all magnitudes and dense where the function bends.
fn check_f64(case: Case) -> Found {
    let Case { name, activation, samples: range, .. } = case;
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
            found.see(x[i], exact::error(results[i], (case.exact.1)(x[i])));
            if i > 0 {
                let (before, after) = if start > 0.0 { (i - 1, i) } else { (i, i - 1) };
                assert!(case.rises(results[before], results[after], f64::EPSILON), "{name} falls at {:e}", x[i]);
            }
        }
    }
    found
}

fn check(case: Case) {
    let step = if all_inputs() { 1 } else { 4099 };
    // Both parts have the middle in common, so that no neighbours are left out.
    let (low, high) = std::thread::scope(|scope| {
        let high = scope.spawn(|| check_f32(case, HALF - 1..2 * HALF, step));
        (check_f32(case, 0..HALF + 1, step), high.join().unwrap())
    });
    let found = if low.worst > high.worst { low } else { high };
    Found { numbers: low.numbers + high.numbers, ..found }.report(&format!("{} f32", case.name), case.most);
    check_f64(case).report(&format!("{} f64", case.name), case.most);
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
    let (level, mut found) = (Level::current().unwrap(), Found::default());
    let n = if all_inputs() { 1 << 24 } else { 1 << 17 };
    let y: Vec<f64> = (0..n).map(|i| -708.39 * (f64::from(i) / f64::from(n)).powi(3)).collect();
    let mut results = vec![0.0; y.len()];
    elementwise::exp_of_negative(level, &y, &mut results);
    for (i, (&y, &result)) in y.iter().zip(&results).enumerate() {
        found.see(y, exact::error(result, exact::exp(y)));
        assert!((0.0..=1.0).contains(&result) && (i == 0 || result <= results[i - 1]), "exp of {y:e} is {result:e}");
    }
    found.report("exp f64", 2.0);
    let y: Vec<f32> = y.iter().map(|&y| (y / 8.2) as f32).collect();
    let (mut results, mut found) = (vec![0.0; y.len()], Found::default());
    elementwise::exp_of_negative(level, &y, &mut results);
    for (&y, &result) in y.iter().zip(&results) {
        let exact = libm::exp(f64::from(y));
        let exponent = (exact.to_bits() >> 52) as i32 - 1023;
        found.see(f64::from(y), (f64::from(result) - exact).abs() / 2_f64.powi(exponent - 23));
    }
    found.report("exp f32", 2.0);
    let mut ends = [9.0; 5];
    elementwise::exp_of_negative(level, &[0.0, -1e4, f64::NEG_INFINITY, -f64::MAX, f64::NAN], &mut ends);
    assert!(ends[..4] == [1.0, 0.0, 0.0, 0.0] && ends[4].is_nan(), "{ends:?}");
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

/// Derivatives at many numbers, by the one kernel that takes them from pre-activations: a layer whose weight is 1.
fn derivatives(level: Level, activation: Activation, z: &[f64]) -> Vec<f64> {
    let (n, mut activations, mut derivatives) = (z.len(), vec![0.0; z.len()], vec![0.0; z.len()]);
    let parameters = (Matrix::packed(&[1.0], 1, 1), &[0.0][..]);
    let (out, slopes) = (MatrixMut::packed(&mut activations, n, 1), MatrixMut::packed(&mut derivatives, n, 1));
    let mut workspace = vec![0.0; dense::forward_workspace::<f64>(level, n, (1, 1))];
    dense::forward(level, activation, Matrix::packed(z, n, 1), parameters, out, Some(slopes), &mut workspace);
    derivatives
}

#[test]
fn derivatives_are_those_of_the_exact_functions() {
    let z: Vec<f64> = (0..20_000).map(|i| f64::from(i) * 0.003_7 - 36.9).collect();
    for (activation, exact) in [
        (Activation::Sigmoid, (|z| libm::exp(-z) / (1.0 + libm::exp(-z)).powi(2)) as fn(f64) -> f64),
        (Activation::Tanh, |z| 1.0 / libm::cosh(z).powi(2)),
        (Activation::Relu, |z| if z > 0.0 { 1.0 } else { 0.0 }),
        (Activation::LeakyRelu, |z| if z > 0.0 { 1.0 } else { 0.01 }),
        (Activation::Elu, |z| libm::exp(z.min(0.0))),
        (Activation::Selu, |z| {
            1.050_700_987_355_480_5 * if z > 0.0 { 1.0 } else { 1.673_263_242_354_377_2 * libm::exp(z) }
        }),
        (Activation::Gelu, |z| {
            0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
                + z * libm::exp(-z * z / 2.0) * 0.398_942_280_401_432_7
        }),
        (Activation::Silu, |z| {
            let sigmoid = 1.0 / (1.0 + libm::exp(-z));
            sigmoid + z * sigmoid * (1.0 / (1.0 + libm::exp(z)))
        }),
        (Activation::Softplus, |z| 1.0 / (1.0 + libm::exp(-z))),
        (Activation::Sin, libm::cos),
        (Activation::Identity, |_| 1.0),
    ] {
        for level in super::levels() {
            for (&z, derivative) in z.iter().zip(derivatives(level, activation, &z)) {
                assert!(
                    (derivative - exact(z)).abs() < 1e-15,
                    "{activation:?}′ of {z} is {derivative}, not {}",
                    exact(z)
                );
            }
        }
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

#[test]
fn derivatives_have_their_limits_and_keep_nan() {
    let z = [f64::NEG_INFINITY, -f64::MAX, -1e4, 1e4, f64::MAX, f64::INFINITY];
    for level in super::levels() {
        for (activation, below, above) in [
            (Activation::Sigmoid, 0.0, 0.0),
            (Activation::Tanh, 0.0, 0.0),
            (Activation::Relu, 0.0, 1.0),
            (Activation::LeakyRelu, 0.01, 1.0),
            (Activation::Elu, 0.0, 1.0),
            (Activation::Selu, 0.0, 1.050_700_987_355_480_5),
            (Activation::Gelu, 0.0, 1.0),
            (Activation::Silu, 0.0, 1.0),
            (Activation::Softplus, 0.0, 1.0),
            (Activation::Identity, 1.0, 1.0),
        ] {
            let expected = [below, below, below, above, above, above];
            assert!(derivatives(level, activation, &z) == expected, "{activation:?} at {level}");
        }
        for activation in [Activation::Gelu, Activation::Silu, Activation::Sin, Activation::Softplus, Activation::Elu] {
            assert!(derivatives(level, activation, &[f64::NAN])[0].is_nan(), "{activation:?} at {level}");
        }
    }
}
