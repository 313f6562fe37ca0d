//! exp for arguments of one sign: one sequence of operations for every level.
//!
//! With `n = round(y / ln 2)` and `r = y − n·ln 2` (|r| ≤ ½ ln 2):
//!
//! ```text
//! exp(y) = s · (1 + t)      s = 2^n, exact        t = exp(r) − 1 = r + r² · q(r), q a minimax polynomial
//! ```
//!
//! `n` is found by adding a number so large (`ROUNDER`) that the sum has no room for a fraction: its lowest bits then are
//! `n` and the bias of the exponent, and one shift makes `2^n` of them. `sigmoid.rs` takes the same steps for signs of both
//! kinds; `reference.rs` has the same sequences in plain numbers.
//!
//! Signs are arranged so that nothing is ever negated: with y = −m the code works with −r, −t and −s.

use super::vector::{Arithmetic, Element};

/// The constants of one number type. `C` are the coefficients of −q(−r), a minimax fit (Remez).
pub trait Exponential: Copy + 'static {
    /// 1 / ln 2
    const LOG2_E: Self;
    /// ln 2, rounded.
    const LN_2: Self;
    /// What `LN_2` is too large by.
    const LN_2_EXCESS: Self;
    /// 1.5 · 2^(bits of the fraction) + bias, and one more step of the sign: `y / ln 2` added, the shift makes −2^n of it.
    const ROUNDER: Self;
    /// The same without the sign and with −n: the shift makes 2^−n of `RECIPROCAL_ROUNDER − n`.
    const RECIPROCAL_ROUNDER: Self;
    /// −2^(bits of the fraction): where s is larger, 1 + s has lost the 1.
    const MINUS_EPSILON_RECIPROCAL: Self;
    /// Beyond this sigmoid is 1; and below this one it is smaller than any normal number.
    const SIGMOID_RANGE: (Self, Self);
    /// Coefficients of the exponential.
    const C: &'static [Self];

    /// −q(−r) for `r` = −r, with its square: the sequence is short rather than sparing, since sigmoid waits for it.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn q<V: Arithmetic<Element = Self>>(r: V, r2: V) -> V
    where
        Self: Element;
}

/// Two neighbouring terms of a polynomial: `coefficients[i] + coefficients[i + 1] · r`.
#[inline(always)]
unsafe fn pair<V: Arithmetic>(coefficients: &[V::Element], i: usize, r: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe { r.mul_add(V::splat(coefficients[i + 1]), V::splat(coefficients[i])) }
}

impl Exponential for f32 {
    const LOG2_E: Self = std::f32::consts::LOG2_E;
    const LN_2: Self = std::f32::consts::LN_2;
    const LN_2_EXCESS: Self = 1.904_654_2e-9;
    const ROUNDER: Self = 12_582_912.0 + 127.0 + 256.0;
    const RECIPROCAL_ROUNDER: Self = 12_582_912.0 + 127.0;
    const MINUS_EPSILON_RECIPROCAL: Self = -8_388_608.0;
    const SIGMOID_RANGE: (Self, Self) = (-87.336_54, 64.0);
    const C: &'static [Self] = &[-0.5, 0.166_665_35, -0.041_667_24, 0.008_367_435, -0.001_386_342_9];

    #[inline(always)]
    unsafe fn q<V: Arithmetic<Element = Self>>(r: V, r2: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let (c01, c23) = (pair(Self::C, 0, r), pair(Self::C, 2, r));
            r2.mul_add(r2.mul_add(V::splat(Self::C[4]), c23), c01)
        }
    }
}

impl Exponential for f64 {
    const LOG2_E: Self = std::f64::consts::LOG2_E;
    const LN_2: Self = std::f64::consts::LN_2;
    const LN_2_EXCESS: Self = -2.319_046_813_846_299_6e-17;
    const ROUNDER: Self = 6_755_399_441_055_744.0 + 1023.0 + 2048.0;
    const RECIPROCAL_ROUNDER: Self = 6_755_399_441_055_744.0 + 1023.0;
    const MINUS_EPSILON_RECIPROCAL: Self = -4_503_599_627_370_496.0;
    const SIGMOID_RANGE: (Self, Self) = (-708.396_418_532_264_1, 64.0);
    const C: &'static [Self] = &[
        -0.5,
        0.166_666_666_666_664_33,
        -0.041_666_666_666_604_03,
        0.008_333_333_333_500_389,
        -0.001_388_888_892_676_744_2,
        0.000_198_412_694_655_950_08,
        -2.480_150_871_913_004e-5,
        2.755_764_136_922_089_7e-6,
        -2.762_517_202_586_828e-7,
        2.497_822_514_750_029_5e-8,
    ];

    #[inline(always)]
    unsafe fn q<V: Arithmetic<Element = Self>>(r: V, r2: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let r4 = r2.mul(r2);
            let c03 = r2.mul_add(pair(Self::C, 2, r), pair(Self::C, 0, r));
            let c47 = r2.mul_add(pair(Self::C, 6, r), pair(Self::C, 4, r));
            r4.mul_add(r4.mul_add(pair(Self::C, 8, r), c47), c03)
        }
    }
}

/// For m ≥ 0 without the excess of ln 2: −r, −s and n, where exp(−m) = s · (1 + t).
#[inline(always)]
unsafe fn reduced<V: Arithmetic>(m: V) -> [V; 3] {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let rounder = V::splat(V::Element::ROUNDER);
        let sum = m.neg_mul_add(V::splat(V::Element::LOG2_E), rounder);
        let n = sum.sub(rounder);
        [n.mul_add(V::splat(V::Element::LN_2), m), sum.shift_into_exponent(), n]
    }
}

/// −t for `r` = −r, with r itself in the last sum: the error of the other term is smaller than what t changes from one r
/// to the next, so that t never falls.
#[inline(always)]
unsafe fn minus_t<V: Arithmetic>(r: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let r2 = r.mul(r);
        r2.mul_add(V::Element::q(r, r2), r)
    }
}

/// exp y for y ≤ 0: in [0, 1], and 0 where it would be smaller than any normal number. NaN stays NaN.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn exp_of_negative<V: Arithmetic>(y: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe { exp_of_minus(V::splat(V::Element::ZERO).sub(y)) }
}

/// exp −m for m ≥ 0, otherwise as `exp_of_negative`.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn exp_of_minus<V: Arithmetic>(m: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let [r, minus_s, n] = reduced(m);
        let zero = V::splat(V::Element::ZERO);
        let minus_t = minus_t(n.neg_mul_add(V::splat(V::Element::LN_2_EXCESS), r));
        let exp = minus_t.mul_add(minus_s, zero.sub(minus_s));
        V::splat(-V::Element::SIGMOID_RANGE.0).select_less(m, zero, exp)
    }
}

/// −s and −t, where exp −(m + low) = s · (1 + t), for m ≥ 0 and a `low` of at most some units in the last place of m; s is 0
/// where the product is smaller than any normal number.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn exp_of_minus_sum<V: Arithmetic>(m: V, low: V) -> [V; 2] {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let [r, minus_s, n] = reduced(m);
        let minus_s = V::splat(-V::Element::SIGMOID_RANGE.0).select_less(m, V::splat(V::Element::ZERO), minus_s);
        [minus_s, minus_t(r.add(n.neg_mul_add(V::splat(V::Element::LN_2_EXCESS), low)))]
    }
}

/// 1 − exp −m for m ≥ 0, right in its own units near 0 as well.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn one_minus_exp_of_minus<V: Arithmetic>(m: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let [minus_s, minus_t] = exp_of_minus_near_1(m.at_most(V::splat(V::Element::SIGMOID_RANGE.1)));
        minus_t.neg_mul_add(minus_s, V::splat(V::Element::ONE).add(minus_s))
    }
}

/// −s and −t, where exp −m = s · (1 + t), for 1 ± s · (1 + t), in which s · t counts the less the smaller s is. So the excess of ln 2
/// goes beside the polynomial, where it costs no rounding of r.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn exp_of_minus_near_1<V: Arithmetic>(m: V) -> [V; 2] {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let [r, minus_s, n] = reduced(m);
        let r2 = r.mul(r);
        let excess = n.mul(V::splat(-V::Element::LN_2_EXCESS));
        [minus_s, r.add(r2.mul_add(V::Element::q(r, r2), excess))]
    }
}
