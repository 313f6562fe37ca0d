//! The definition of every kernel, in naive loops: slow, obvious, and never optimised.
//!
//! The tests compare each level with these functions bit for bit (any NaN is equal to any NaN). All matrices are packed:
//! `x` (B, I), `weights` (I, O), `activations` and `deltas` (B, O). Nothing here is used by the package itself.

use super::activation::Activation;
use super::vector::Element;

/// `coefficients[0] + coefficients[1] · r`
fn line<T: Element>(coefficients: &[T], r: T) -> T {
    r.mul_add(coefficients[1], coefficients[0])
}

/// −q(−r) of `exp.rs`, for five or ten coefficients: the order of operations is the definition.
fn q<T: Element>(r: T) -> T {
    let (c, r2) = (T::C, r * r);
    if let &[.., c4] = c
        && c.len() == 5
    {
        return r2.mul_add(r2.mul_add(c4, line(&c[2..], r)), line(c, r));
    }
    let c03 = r2.mul_add(line(&c[2..], r), line(c, r));
    let c47 = r2.mul_add(line(&c[6..], r), line(&c[4..], r));
    let r4 = r2 * r2;
    r4.mul_add(r4.mul_add(line(&c[8..], r), c47), c03)
}

/// −(exp r − 1) for −r, of `exp.rs`.
fn minus_t<T: Element>(r: T) -> T {
    let (c, r2) = (T::C, r * r);
    let r4 = r2 * r2;
    let first = r2.mul_add(line(c, r), r);
    if let &[.., c4] = c
        && c.len() == 5
    {
        return r4.mul_add(r2.mul_add(c4, line(&c[2..], r)), first);
    }
    let c25 = r2.mul_add(line(&c[4..], r), line(&c[2..], r));
    let c69 = r2.mul_add(line(&c[8..], r), line(&c[6..], r));
    r4.mul_add(r4.mul_add(c69, c25), first)
}

/// 1 / (1 + exp −z), not yet flushed; see `exp.rs` for the mathematics.
fn sigmoid<T: Element>(z: T) -> T {
    let (least, most) = T::SIGMOID_RANGE;
    if z < least {
        return T::ZERO;
    }
    let inside = if most < z { most } else { z };
    let sum = (-inside).mul_add(T::LOG2_E, T::ROUNDER);
    let n = sum - T::ROUNDER;
    let minus_s = sum.shift_into_exponent();
    let r = n.mul_add(T::LN_2, inside);
    let excess = n * T::LN_2_EXCESS;
    let is_large = minus_s < T::MINUS_EPSILON_RECIPROCAL;
    let lost = if is_large { (T::RECIPROCAL_ROUNDER - n).shift_into_exponent() } else { T::ZERO };
    let minus_t = (r * r).mul_add(q(r), r - (excess + lost));
    T::ONE / minus_t.mul_add(excess.mul_add(minus_s, minus_s), T::ONE - minus_s)
}

/// The hyperbolic tangent, not yet flushed; see `exp.rs` for the mathematics.
fn tanh<T: Element>(z: T) -> T {
    let (two, magnitude) = (T::ONE + T::ONE, z.abs());
    if magnitude < T::TANH_SMALL {
        let z2 = magnitude * magnitude;
        return (magnitude * z2).mul_add(p(z2), magnitude).with_sign_of(z);
    }
    if T::TANH_RANGE < magnitude {
        return T::ONE.with_sign_of(z);
    }
    let minus_y = two * (T::ZERO - magnitude);
    let sum = (-minus_y).mul_add(T::LOG2_E, T::ROUNDER);
    let n = sum - T::ROUNDER;
    let minus_s = sum.shift_into_exponent();
    let r = n.mul_add(T::LN_2, minus_y);
    (T::ONE - two / minus_t(r).mul_add(minus_s, T::ONE - minus_s)).with_sign_of(z)
}

/// p(z²) of `exp.rs`: four coefficients by Horner's rule, ten by even and odd ones.
fn p<T: Element>(z2: T) -> T {
    let c = T::P;
    if let &[p0, p1, p2, p3] = c {
        return z2.mul_add(z2.mul_add(z2.mul_add(p3, p2), p1), p0);
    }
    let z4 = z2 * z2;
    let horner = |start: usize| (0..start).rev().skip(1).step_by(2).fold(c[start], |sum, i| z4.mul_add(sum, c[i]));
    z2.mul_add(horner(9), horner(8))
}

/// a(z), flushed.
#[must_use]
pub fn activate<T: Element>(activation: Activation, z: T) -> T {
    match activation {
        Activation::Sigmoid => sigmoid(z),
        Activation::Tanh => tanh(z),
        Activation::Relu if z < T::ZERO => T::ZERO,
        Activation::Relu => z,
    }
    .flush_subnormal()
}

/// a′ in terms of a, flushed.
#[must_use]
pub fn derive<T: Element>(activation: Activation, a: T) -> T {
    match activation {
        Activation::Sigmoid => a * (T::ONE - a),
        Activation::Tanh => (-a).mul_add(a, T::ONE),
        Activation::Relu if a > T::ZERO => T::ONE,
        Activation::Relu => T::ZERO,
    }
    .flush_subnormal()
}

/// The activations (B, O) of one layer.
#[must_use]
pub fn forward<T: Element>(activation: Activation, x: &[T], weights: &[T], biases: &[T]) -> Vec<T> {
    let n_outputs = biases.len();
    let n_inputs = weights.len() / n_outputs;
    let mut activations = Vec::new();
    for b in 0..x.len() / n_inputs {
        for o in 0..n_outputs {
            let mut chain = biases[o];
            for i in 0..n_inputs {
                chain = x[b * n_inputs + i].mul_add(weights[i * n_outputs + o], chain);
            }
            activations.push(activate(activation, chain));
        }
    }
    activations
}

/// The deltas (B, I) of the layer before, from `derivatives` (B, I) there.
#[must_use]
pub fn input_gradient<T: Element>(n_outputs: usize, deltas: &[T], weights: &[T], derivatives: &[T]) -> Vec<T> {
    let n_inputs = weights.len() / n_outputs;
    let mut result = Vec::new();
    for b in 0..deltas.len() / n_outputs {
        for i in 0..n_inputs {
            let mut chain = T::ZERO;
            for o in 0..n_outputs {
                chain = deltas[b * n_outputs + o].mul_add(weights[i * n_outputs + o], chain);
            }
            result.push((chain * derivatives[b * n_inputs + i]).flush_subnormal());
        }
    }
    result
}

/// One step of gradient descent on `weights` and `biases`.
pub fn update<T: Element>(learning_rate: T, x: &[T], deltas: &[T], weights: &mut [T], biases: &mut [T]) {
    let n_outputs = biases.len();
    let n_inputs = weights.len() / n_outputs;
    let n_samples = deltas.len() / n_outputs;
    for o in 0..n_outputs {
        for i in 0..n_inputs {
            let mut gradient = T::ZERO;
            for b in 0..n_samples {
                gradient = x[b * n_inputs + i].mul_add(deltas[b * n_outputs + o], gradient);
            }
            let weight = &mut weights[i * n_outputs + o];
            *weight = (-gradient.flush_subnormal()).mul_add(learning_rate, *weight);
        }
        let mut gradient = T::ZERO;
        for b in 0..n_samples {
            gradient = T::ONE.mul_add(deltas[b * n_outputs + o], gradient);
        }
        biases[o] = (-gradient.flush_subnormal()).mul_add(learning_rate, biases[o]);
    }
}

/// Half the sum of squared errors, by rows of `n_outputs`.
#[must_use]
pub fn half_squared_error<T: Element>(n_outputs: usize, predictions: &[T], targets: &[T]) -> f64 {
    let mut sum = 0.0;
    for (predictions, targets) in predictions.chunks(n_outputs).zip(targets.chunks(n_outputs)) {
        let mut chain = 0.0;
        for o in 0..predictions.len() {
            let error = (predictions[o] - targets[o]).to_f64();
            chain = error.mul_add(error, chain);
        }
        sum += chain;
    }
    0.5 * sum
}

/// The loss's gradient at the output layer's pre-activations.
#[must_use]
pub fn output_deltas<T: Element>(predictions: &[T], targets: &[T], derivatives: &[T]) -> Vec<T> {
    (0..predictions.len()).map(|i| ((predictions[i] - targets[i]) * derivatives[i]).flush_subnormal()).collect()
}
