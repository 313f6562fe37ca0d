//! sigmoid, tanh and silu, on the exponential of `exp.rs`: one sequence of operations for every level.
//!
//! Errors against the exact values, in units of the last place: sigmoid 1.77 (f32, all inputs) and 1.91 (f64, 9·10⁸
//! samples), tanh 1.84 and 1.90; all four are monotone, stay inside [0, 1] or [−1, 1], and keep NaN
//! (`tests/core/accuracy.rs`). `reference.rs` has the same sequences in plain numbers.
//!
//! silu(z) = z · σ(z) and its derivative σ + z · σ · (1 − σ) take σ and 1 − σ from e = exp −|z|: one of them is
//! 1 / (1 + e), the other e / (1 + e), and neither loses digits.

use super::exp::{Exponential, exp_of_minus, exp_of_minus_near_1};
use super::vector::{Arithmetic, Element};

/// 1 / (1 + exp −z)
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn sigmoid<V: Arithmetic>(z: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (zero, one) = (V::splat(V::Element::ZERO), V::splat(V::Element::ONE));
        let (least, most) = V::Element::SIGMOID_RANGE;
        let z_inside = z.at_most(V::splat(most));
        let rounder = V::splat(V::Element::ROUNDER);
        let sum = z_inside.neg_mul_add(V::splat(V::Element::LOG2_E), rounder);
        let n = sum.sub(rounder);
        let minus_s = sum.shift_into_exponent();
        let r = n.mul_add(V::splat(V::Element::LN_2), z_inside); // −r without the excess
        // Beside the chain that everything waits for: the excess of ln 2 goes into s and into the first term of t; where
        // s is so large that 1 + s = s, the lost 1 comes back as 2^−n inside t.
        let excess = n.mul(V::splat(V::Element::LN_2_EXCESS));
        let minus_s_corrected = excess.mul_add(minus_s, minus_s);
        let reciprocal = V::splat(V::Element::RECIPROCAL_ROUNDER).sub(n).shift_into_exponent();
        let large = V::splat(V::Element::MINUS_EPSILON_RECIPROCAL);
        let lost = minus_s.select_less(large, reciprocal, zero);
        let first_term = r.sub(excess.add(lost));
        let one_plus_s = one.sub(minus_s);
        let r2 = r.mul(r);
        let minus_t = r2.mul_add(V::Element::q(r, r2), first_term);
        let denominator = minus_t.mul_add(minus_s_corrected, one_plus_s);
        z.select_less(V::splat(least), zero, one.div(denominator))
    }
}

/// The hyperbolic tangent: with e = exp −2|z| = s · (1 + t), h = (1 − e) / 2 and q = (1 − e) / (1 + e) it is q = h + h · q, with
/// the sign of z. In the second form the errors of q count by its size only, and what h lost in rounding comes back.
/// Neighbours never change places: t, h and q rise or fall with z, and h moves in steps of which the rest is a part.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn tanh<V: Arithmetic>(z: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (half, two) = (V::splat(V::Element::from_f64(0.5)), V::splat(V::Element::from_f64(2.0)));
        let [minus_s, minus_t] = exp_of_minus_near_1(two.mul(z.abs()).at_most(V::splat(V::Element::SIGMOID_RANGE.1)));
        let minus_half_s = minus_s.mul(half);
        let start = half.add(minus_half_s);
        let high = minus_t.neg_mul_add(minus_half_s, start);
        let low = minus_t.neg_mul_add(minus_half_s, start.sub(high));
        let quotient = high.div(minus_t.mul_add(minus_half_s, half.sub(minus_half_s)));
        high.add(high.mul_add(quotient, low)).with_sign_of(z)
    }
}

/// Beyond this silu takes z for ±1000: there the smaller one of σ and 1 − σ is 0, of which the product with infinity
/// would be NaN.
pub(super) const SILU_RANGE: f64 = 1000.0;

/// σ(z) and σ(z) · (1 − σ(z))
#[inline(always)]
unsafe fn sigmoid_and_derivative<V: Arithmetic>(z: V) -> (V, V) {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (zero, one) = (V::splat(V::Element::ZERO), V::splat(V::Element::ONE));
        let e = exp_of_minus(z.abs());
        let larger = one.div(one.add(e));
        let smaller = e.mul(larger);
        (z.select_less(zero, smaller, larger), smaller.mul(larger))
    }
}

/// z · σ(z): 0 for a z below −708 (−87 in f32), where exp z is 0.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn silu<V: Arithmetic>(z: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe { silu_and_derivative(z).0 }
}

/// z · σ(z) and σ(z) + z · σ(z) · (1 − σ(z))
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn silu_and_derivative<V: Arithmetic>(z: V) -> (V, V) {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (sigmoid, slope) = sigmoid_and_derivative(z);
        let range = V::Element::from_f64(SILU_RANGE);
        let above = z.select_less(V::splat(-range), V::splat(-range), z);
        (above.mul(sigmoid), above.at_most(V::splat(range)).mul_add(slope, sigmoid))
    }
}
