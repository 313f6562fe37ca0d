//! The definition of the activations, number by number: the sequences of `exp.rs`, `sigmoid.rs`, `log1p.rs`, `normal.rs`
//! and `sin.rs`, whose pages have the mathematics.

use crate::kernels::activation::{Activation, LEAK, SELU_ALPHA_SCALE, SELU_SCALE};
use crate::kernels::normal::DENSITY_AT_0;
use crate::kernels::sigmoid::SILU_RANGE;
use crate::kernels::vector::Element;

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

/// 1 / (1 + exp −z), not yet flushed; see `sigmoid.rs` for the mathematics.
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

/// The hyperbolic tangent, not yet flushed.
fn tanh<T: Element>(z: T) -> T {
    let (half, m, most) = (T::from_f64(0.5), T::from_f64(2.0) * z.abs(), T::SIGMOID_RANGE.1);
    let (minus_s, minus_t) = exp_of_minus_near_1(if most < m { most } else { m });
    let start = half + minus_s * half;
    let high = (-minus_t).mul_add(minus_s * half, start);
    let low = (-minus_t).mul_add(minus_s * half, start - high);
    let quotient = high / minus_t.mul_add(minus_s * half, half - minus_s * half);
    (high + high.mul_add(quotient, low)).with_sign_of(z)
}

/// `Σ coefficients[i] · x^i`: even and odd coefficients each by Horner's rule.
fn polynomial<T: Element>(coefficients: &[T], x: T) -> T {
    let horner = |first: usize| {
        let terms: Vec<T> = coefficients[first..].iter().copied().step_by(2).collect();
        terms.into_iter().rev().reduce(|sum, coefficient| (x * x).mul_add(sum, coefficient)).unwrap_or(T::ZERO)
    };
    x.mul_add(horner(1), horner(0))
}

/// −r, −s and n with exp(−m) = s · (1 + t), for m ≥ 0.
fn reduced<T: Element>(m: T) -> (T, T, T) {
    let sum = (-m).mul_add(T::LOG2_E, T::ROUNDER);
    let n = sum - T::ROUNDER;
    (n.mul_add(T::LN_2, m), sum.shift_into_exponent(), n)
}

/// −t for −r, with r itself in the last sum.
fn minus_t<T: Element>(r: T) -> T {
    (r * r).mul_add(q(r), r)
}

/// exp −m, or 0 where it is below the smallest normal number.
fn exp_of_minus<T: Element>(m: T) -> T {
    let (r, minus_s, n) = reduced(m);
    let minus_t = minus_t((-n).mul_add(T::LN_2_EXCESS, r));
    if -T::SIGMOID_RANGE.0 < m { T::ZERO } else { minus_t.mul_add(minus_s, T::ZERO - minus_s) }
}

/// exp y for y ≤ 0.
#[must_use]
pub fn exp_of_negative<T: Element>(y: T) -> T {
    exp_of_minus(T::ZERO - y)
}

/// −s and −t with exp −m = s · (1 + t), the excess of ln 2 beside the polynomial.
fn exp_of_minus_near_1<T: Element>(m: T) -> (T, T) {
    let (r, minus_s, n) = reduced(m);
    (minus_s, r + (r * r).mul_add(q(r), n * -T::LN_2_EXCESS))
}

/// 1 − exp −m for m ≥ 0.
fn one_minus_exp_of_minus<T: Element>(m: T) -> T {
    let most = T::SIGMOID_RANGE.1;
    let (minus_s, minus_t) = exp_of_minus_near_1(if most < m { most } else { m });
    (-minus_t).mul_add(minus_s, T::ONE + minus_s)
}

/// log(1 + exp z)
fn softplus<T: Element>(z: T) -> T {
    let half = T::from_f64(0.5);
    let e = exp_of_minus(z.abs());
    let (f, ln_2) = if T::LOG1P_RANGE < e { ((e - T::ONE) * half, T::LN_2) } else { (e, T::ZERO) };
    let s = f / (f + (T::ONE + T::ONE));
    let (w, h) = (s * s, f * f * half);
    let correction = (-s).mul_add(w.mul_add(polynomial(T::R, w), h), h);
    let positive = if T::ZERO < z { z } else { T::ZERO };
    positive + ln_2 + (f - correction)
}

/// z · Φ(z) and Φ(z) + z · φ(z)
fn gelu<T: Element>(z: T) -> (T, T) {
    let (half, range) = (T::from_f64(0.5), T::NORMAL_RANGE);
    let x = if range < z.abs() { range } else { z.abs() };
    let (shift, reciprocal) = T::SHIFT;
    let denominator = x + shift;
    let v = x / denominator;
    let excess = denominator - shift - x;
    let high = x * x;
    let low = x.mul_add(x, T::ZERO - high) * half;
    let low = (-excess).mul_add((-v).mul_add(reciprocal, reciprocal), low);
    let (r, minus_s, n) = reduced(high * half);
    let minus_s = if -T::SIGMOID_RANGE.0 < high * half { T::ZERO } else { minus_s };
    let minus_t = minus_t(r + (-n).mul_add(T::LN_2_EXCESS, low));
    let f = polynomial(T::F, v - T::CENTRE);
    let positive = if T::ZERO < z { z } else { T::ZERO };
    let minus_scaled = v * f * minus_s;
    let gelu = (-minus_scaled).mul_add(minus_t, positive + minus_scaled);
    let w = (-(-v).mul_add(f, f)).mul_add(reciprocal, x * T::from_f64(DENSITY_AT_0));
    let (w, limit) = if z < T::ZERO { (T::ZERO - w, T::ZERO) } else { (w, T::ONE) };
    let minus_scaled = w * minus_s;
    (gelu, minus_scaled.mul_add(minus_t, limit - minus_scaled))
}

/// z · σ(z) and σ(z) + z · σ(z) · (1 − σ(z))
fn silu<T: Element>(z: T) -> (T, T) {
    let range = T::from_f64(SILU_RANGE);
    let e = exp_of_minus(z.abs());
    let larger = T::ONE / (T::ONE + e);
    let smaller = e * larger;
    let sigmoid = if z < T::ZERO { smaller } else { larger };
    let above = if z < -range { -range } else { z };
    let between = if range < above { range } else { above };
    (above * sigmoid, between.mul_add(smaller * larger, sigmoid))
}

/// sin z and cos z
fn sin_cos<T: Element>(z: T) -> (T, T) {
    if T::SIN_RANGE < z.abs() {
        return z.sin_cos_by_libm();
    }
    let sum = z.mul_add(T::FRAC_1_PI, T::WHOLE_ROUNDER);
    let m = sum - T::WHOLE_ROUNDER;
    let r = T::PI.into_iter().fold(z, |r, part| (-m).mul_add(part, r));
    let sign = T::ONE.with_sign_of(sum.shift_into_sign());
    let sin = |r: T| {
        let sin = (r * sign * (r * r)).mul_add(polynomial(T::S, r * r), r * sign);
        if T::ONE < sin.abs() { T::ONE.with_sign_of(sin) } else { sin }
    };
    let [high, low] = T::FRAC_PI_2;
    (sin(r), sin(high - r.abs() + low))
}

/// a(z), flushed. For `Softmax` what makes no probabilities yet: z.
#[must_use]
pub fn activate<T: Element>(activation: Activation, z: T) -> T {
    match activation {
        Activation::Sigmoid => sigmoid(z),
        Activation::Tanh => tanh(z),
        Activation::Relu if z < T::ZERO => T::ZERO,
        Activation::LeakyRelu | Activation::Elu if z > T::ZERO => z,
        Activation::LeakyRelu => z * T::from_f64(LEAK),
        Activation::Elu => T::ZERO - one_minus_exp_of_minus(z.abs()),
        Activation::Selu if z > T::ZERO => z * T::from_f64(SELU_SCALE),
        Activation::Selu => one_minus_exp_of_minus(z.abs()) * T::from_f64(-SELU_ALPHA_SCALE),
        Activation::Gelu => gelu(z).0,
        Activation::Silu => silu(z).0,
        Activation::Softplus => softplus(z),
        Activation::Sin => sin_cos(z).0,
        Activation::Relu | Activation::Identity | Activation::Softmax => z,
    }
    .flush_subnormal()
}

/// a′ in terms of what is kept, flushed: of the result a, or of the derivative itself.
#[must_use]
pub fn derive<T: Element>(activation: Activation, kept: T) -> T {
    let a = kept;
    match activation {
        Activation::Sigmoid => a * (T::ONE - a),
        Activation::Tanh => (-a).mul_add(a, T::ONE),
        Activation::Relu | Activation::LeakyRelu | Activation::Elu if a > T::ZERO => T::ONE,
        Activation::Relu => T::ZERO,
        Activation::LeakyRelu => T::from_f64(LEAK),
        Activation::Elu => a + T::ONE,
        Activation::Selu if a > T::ZERO => T::from_f64(SELU_SCALE),
        Activation::Selu => a + T::from_f64(SELU_ALPHA_SCALE),
        Activation::Gelu | Activation::Silu | Activation::Sin => return kept,
        Activation::Softplus => one_minus_exp_of_minus(a.abs()),
        Activation::Identity | Activation::Softmax => T::ONE,
    }
    .flush_subnormal()
}

/// a′ at z, flushed: what is kept where the result does not say it, otherwise from the result.
#[must_use]
pub fn derivative_at<T: Element>(activation: Activation, z: T) -> T {
    match activation {
        Activation::Gelu => gelu(z).1.flush_subnormal(),
        Activation::Silu => silu(z).1.flush_subnormal(),
        Activation::Sin => sin_cos(z).1.flush_subnormal(),
        from_result => derive(from_result, activate(from_result, z)),
    }
}
