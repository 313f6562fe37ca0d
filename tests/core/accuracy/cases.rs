//! What is known of each function: its exact values, its range, where it may fall, and what counts as an error.
//!
//! A new activation is a `Case` here, a line in `CASES`, and a test in `accuracy.rs` whose name begins with its own.

use super::super::exact;
use ironprop::kernels::Activation;

/// The exact values of float32 and of float64 numbers.
type Exact = (fn(f64) -> f64, fn(f64) -> exact::Pair);

/// What stands for the exact values of float32 numbers up to `NEAR` and from `FAR` on, to far less than an error of float64
/// is in units of float32: five sixths of all float32 numbers lie there, and need no exponential.
type Ends = (fn(f64) -> f64, fn(f64) -> f64);

/// 2⁻³⁰: the next term of each series in `Ends` is below 2⁻⁶⁰ of the value.
pub(super) const NEAR: f64 = 9.313_225_746_154_785e-10;
/// exp −128 < 2⁻¹⁸⁴ is nothing beside 1, and as a result itself below every float32 number.
pub(super) const FAR: f64 = 128.0;

/// A function and what is known of it.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) activation: Activation,
    pub(super) exact: Exact,
    ends: Ends,
    /// The largest error in units of the last place.
    pub(super) most: f64,
    /// Between which results lie.
    pub(super) range: (f64, f64),
    /// By how many units in the last place the function may fall from a number to the next.
    pub(super) falls: f64,
    /// From where to where float64 samples are taken evenly.
    pub(super) samples: (f64, f64),
    /// Exact values below this many times the smallest normal number may be 0.
    pub(super) vanishing: f64,
}

impl Case {
    /// The exact value of a float32 number.
    pub(super) fn exact_of_f32(&self, x: f64) -> f64 {
        let size = x.abs();
        let formula = if size <= NEAR {
            self.ends.0
        } else if size >= FAR {
            self.ends.1
        } else {
            self.exact.0
        };
        formula(x)
    }

    /// Whether the function does not fall, or no deeper than it may, from a number to the next.
    pub(super) fn rises(&self, before: f64, after: f64, epsilon: f64) -> bool {
        before <= after || self.falls == INFINITY || before - after <= self.falls * before.abs() * epsilon
    }
}

pub(super) const INFINITY: f64 = f64::INFINITY;

/// What most have in common.
const CASE: Case = Case {
    name: "",
    activation: Activation::Identity,
    exact: (|_| 0.0, |_| exact::Pair(0.0, 0.0)),
    ends: (|x| x, |x| x.max(0.0)),
    most: 4.0,
    range: (-INFINITY, INFINITY),
    falls: INFINITY,
    samples: (-40.0, 40.0),
    vanishing: 1.0,
};

pub(super) const SIGMOID: Case = Case {
    name: "sigmoid",
    activation: Activation::Sigmoid,
    exact: (|x| 1.0 / (1.0 + (-x).exp()), exact::sigmoid),
    ends: (|x| 0.5 + 0.25 * x, |x| f64::from(u8::from(x > 0.0))),
    most: 2.0,
    range: (0.0, 1.0),
    falls: 0.0,
    samples: (-670.0, 36.0),
    ..CASE
};

pub(super) const TANH: Case = Case {
    name: "tanh",
    activation: Activation::Tanh,
    exact: (f64::tanh, exact::tanh),
    ends: (|x| x, f64::signum),
    most: 2.0,
    range: (-1.0, 1.0),
    falls: 0.0,
    samples: (-19.0, 19.0),
    ..CASE
};

const fn leaky_relu(x: f64) -> f64 {
    if x > 0.0 { x } else { 0.01 * x }
}

pub(super) const LEAKY_RELU: Case = Case {
    name: "leaky_relu",
    activation: Activation::LeakyRelu,
    exact: (leaky_relu, exact::leaky_relu),
    ends: (leaky_relu, leaky_relu),
    falls: 0.0,
    ..CASE
};

pub(super) const ELU: Case = Case {
    name: "elu",
    activation: Activation::Elu,
    exact: (|x| if x > 0.0 { x } else { x.exp_m1() }, exact::elu),
    ends: (|x| if x > 0.0 { x } else { x + 0.5 * x * x }, |x| x.max(-1.0)),
    range: (-1.0, INFINITY),
    falls: 0.0,
    ..CASE
};

/// selu's scale, and α times it.
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_BELOW: f64 = SELU_SCALE * 1.673_263_242_354_377_2;

pub(super) const SELU: Case = Case {
    name: "selu",
    activation: Activation::Selu,
    exact: (|x| if x > 0.0 { SELU_SCALE * x } else { SELU_BELOW * x.exp_m1() }, exact::selu),
    ends: (
        |x| if x > 0.0 { SELU_SCALE * x } else { SELU_BELOW * (x + 0.5 * x * x) },
        |x| if x > 0.0 { SELU_SCALE * x } else { -SELU_BELOW },
    ),
    range: (-1.758_099_4, INFINITY),
    falls: 0.0,
    ..CASE
};

pub(super) const GELU: Case = Case {
    name: "gelu",
    activation: Activation::Gelu,
    exact: (|x| 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2), exact::gelu),
    ends: (|x| 0.5 * x + 0.398_942_280_401_432_7 * x * x, CASE.ends.1),
    range: (-0.17, INFINITY),
    samples: (-37.4, 10.0),
    ..CASE
};

pub(super) const SILU: Case = Case {
    name: "silu",
    activation: Activation::Silu,
    exact: (|x| x / (1.0 + (-x).exp()), exact::silu),
    ends: (|x| 0.5 * x + 0.25 * x * x, CASE.ends.1),
    range: (-0.279, INFINITY),
    samples: (-700.0, 40.0),
    vanishing: 1000.0,
    ..CASE
};

pub(super) const SOFTPLUS: Case = Case {
    name: "softplus",
    activation: Activation::Softplus,
    exact: (|x| x.max(0.0) + (-x.abs()).exp().ln_1p(), exact::softplus),
    ends: (|x| std::f64::consts::LN_2 + 0.5 * x + 0.125 * x * x, CASE.ends.1),
    range: (0.0, INFINITY),
    falls: 1.0,
    samples: (-700.0, 40.0),
    ..CASE
};

pub(super) const SIN: Case = Case {
    name: "sin",
    activation: Activation::Sin,
    exact: (f64::sin, exact::sin),
    ends: (|x| x, f64::sin),
    range: (-1.0, 1.0),
    samples: (-110_000.0, 110_000.0),
    ..CASE
};

/// All of them.
pub(super) const CASES: [Case; 9] = [SIGMOID, TANH, LEAKY_RELU, ELU, SELU, GELU, SILU, SOFTPLUS, SIN];
