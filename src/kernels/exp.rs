//! exp, and on it sigmoid and tanh: one sequence of operations for every level.
//!
//! With `n = round(y / ln 2)` and `r = y − n·ln 2` (|r| ≤ ½ ln 2):
//!
//! ```text
//! exp(y) = s · (1 + t)      s = 2^n, exact        t = exp(r) − 1 = r + r² · q(r), q a minimax polynomial
//! ```
//!
//! `n` is found by adding a number so large that the integer part of the sum sits in its lowest bits, from which `s`
//! is made by one shift. The factors are never multiplied out: `1 + exp(y) = fma(t, s, 1 + s)` has a single rounding.

use super::vector::{Element, Vector};

/// What reduction and polynomial need for one number type, and the two functions in plain numbers: the definition that
/// every level follows.
pub trait Exponential: Copy {
    /// 1 / ln 2
    const LOG2_E: Self;
    /// The high part of ln 2.
    const LN_2_HIGH: Self;
    /// ln 2 − `LN_2_HIGH`
    const LN_2_LOW: Self;
    /// 1.5 · 2^(bits of the fraction) and the exponent's bias: added to `y / ln 2` it leaves `n + bias` in the low bits.
    const ROUNDER: Self;
    /// |y| is at most this: `2^n` stays finite.
    const LIMIT: Self;
    /// The number 2.
    const TWO: Self;

    /// q(r), see the head of the file.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn polynomial<V: Vector<Element = Self>>(r: V) -> V
    where
        Self: Element;

    /// 1 / (1 + exp −z)
    #[must_use]
    fn sigmoid(z: Self) -> Self;

    /// The hyperbolic tangent.
    #[must_use]
    fn tanh(z: Self) -> Self;
}

/// `(s, t)` with `exp(y) = s · (1 + t)`.
#[inline(always)]
unsafe fn exp_parts<V: Vector>(y: V) -> (V, V) {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let rounder = V::splat(V::Element::ROUNDER);
        let sum = y.mul_add(V::splat(V::Element::LOG2_E), rounder);
        let n = sum.sub(rounder);
        let r = n.neg_mul_add(V::splat(V::Element::LN_2_HIGH), y);
        let r = n.neg_mul_add(V::splat(V::Element::LN_2_LOW), r);
        let t = r.mul(r).mul_add(V::Element::polynomial(r), r);
        (sum.shift_into_exponent(), t)
    }
}

/// 1 / (1 + exp −z)
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn sigmoid<V: Vector>(z: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (one, limit) = (V::splat(V::Element::ONE), V::Element::LIMIT);
        let y = V::splat(V::Element::ZERO).sub(z);
        let y = y.at_most(V::splat(limit)).at_least(V::splat(-limit));
        let (s, t) = exp_parts(y);
        one.div(t.mul_add(s, one.add(s)))
    }
}

/// The hyperbolic tangent: (exp 2|z| − 1) / (exp 2|z| + 1) with the sign of z.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn tanh<V: Vector>(z: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let one = V::splat(V::Element::ONE);
        let y = z.abs().mul(V::splat(V::Element::TWO)).at_most(V::splat(V::Element::LIMIT));
        let (s, t) = exp_parts(y);
        let quotient = t.mul_add(s, s.sub(one)).div(t.mul_add(s, s.add(one)));
        quotient.with_sign_of(z)
    }
}

impl Exponential for f32 {
    const LOG2_E: Self = std::f64::consts::LOG2_E as f32;
    const LN_2_HIGH: Self = 0.693_359_375;
    const LN_2_LOW: Self = -2.121_944_4e-4;
    const ROUNDER: Self = 1.5 * (1_u64 << 23) as f32 + 127.0;
    const LIMIT: Self = 88.0;
    const TWO: Self = 2.0;

    #[inline(always)]
    unsafe fn polynomial<V: Vector<Element = Self>>(r: V) -> V {
        unsafe {
        let c0 = V::splat(0.5);
        let c1 = V::splat(0.16666666666666666);
        let c2 = V::splat(0.041666666666666664);
        let c3 = V::splat(0.008333333333333333);
        let c4 = V::splat(0.001388888888888889);
        let c5 = V::splat(0.0001984126984126984);
        let mut q = c5;
        q = q.mul_add(r, c4);
        q = q.mul_add(r, c3);
        q = q.mul_add(r, c2);
        q = q.mul_add(r, c1);
        q = q.mul_add(r, c0);
        q
        }
    }

    fn sigmoid(z: Self) -> Self { 1.0 / (1.0 + (-z).exp()) }
    fn tanh(z: Self) -> Self { z.tanh() }
}

impl Exponential for f64 {
    const LOG2_E: Self = std::f64::consts::LOG2_E as f64;
    const LN_2_HIGH: Self = 6.931_471_803_691_238_2e-1;
    const LN_2_LOW: Self = 1.908_214_929_270_587_7e-10;
    const ROUNDER: Self = 1.5 * (1_u64 << 52) as f64 + 1023.0;
    const LIMIT: Self = 709.0;
    const TWO: Self = 2.0;

    #[inline(always)]
    unsafe fn polynomial<V: Vector<Element = Self>>(r: V) -> V {
        unsafe {
        let c0 = V::splat(0.5);
        let c1 = V::splat(0.16666666666666666);
        let c2 = V::splat(0.041666666666666664);
        let c3 = V::splat(0.008333333333333333);
        let c4 = V::splat(0.001388888888888889);
        let c5 = V::splat(0.0001984126984126984);
        let c6 = V::splat(2.48015873015873e-05);
        let c7 = V::splat(2.7557319223985893e-06);
        let c8 = V::splat(2.755731922398589e-07);
        let c9 = V::splat(2.505210838544172e-08);
        let c10 = V::splat(2.08767569878681e-09);
        let c11 = V::splat(1.6059043836821613e-10);
        let mut q = c11;
        q = q.mul_add(r, c10);
        q = q.mul_add(r, c9);
        q = q.mul_add(r, c8);
        q = q.mul_add(r, c7);
        q = q.mul_add(r, c6);
        q = q.mul_add(r, c5);
        q = q.mul_add(r, c4);
        q = q.mul_add(r, c3);
        q = q.mul_add(r, c2);
        q = q.mul_add(r, c1);
        q = q.mul_add(r, c0);
        q
        }
    }

    fn sigmoid(z: Self) -> Self { 1.0 / (1.0 + (-z).exp()) }
    fn tanh(z: Self) -> Self { z.tanh() }
}
