//! The normal distribution, on which gelu stands: Φ(z) = ½ · erfc(−z / √2), the probability below z, and its density φ.
//!
//! With x = |z| and Q(x) = 1 − Φ(x), the probability beyond x,
//!
//! ```text
//! gelu(z)  = z · Φ(z)         = max(z, 0) − x · Q(x)
//! gelu′(z) = Φ(z) + z · φ(z)  = 1 + e · w for z ≥ 0, else −e · w         w = x / √(2π) − Q(x) / e
//! Q(x)     = e · F(v) / (x + k)                                          e = exp(−x² / 2), v = x / (x + k)
//! ```
//!
//! F falls smoothly from k / 2 to 0.43, and is a minimax polynomial in v − `CENTRE`: near the upper end of v, so that the terms add
//! up instead of cancelling, and where the rounding of the coefficients matters least. Then x · Q(x) = e · (v · F(v)) is right in its own units down to where it vanishes. For that
//! the exponent needs more digits than x² / 2 has: x² = high + low by a fused multiply-add, and low goes into the
//! reduced argument of exp, and so does the rounding error of x + k, as a factor of v. The power of two in e = s · (1 + t) is multiplied into the other factor, which rounds nothing.
//!
//! Where e falls below the smallest normal number (|z| > 37.6, in f32 13.2) it is 0: gelu is smaller than that number
//! already, its derivative at most 15 times as large.

use super::exp;
use super::polynomial::polynomial;
use super::vector::{Arithmetic, Element};

/// The constants of one number type.
pub trait Normal: Copy + 'static {
    /// Beyond this e is 0.
    const NORMAL_RANGE: Self;
    /// k, and 1 / k: the larger, the shorter is F's polynomial, and the steeper is F.
    const SHIFT: (Self, Self);
    /// Where F's polynomial has its origin.
    const CENTRE: Self;
    /// The coefficients of F (Remez, relative), up to x = 37.7 in f64 and 13.3 in f32.
    const F: &'static [Self];
}

impl Normal for f32 {
    const NORMAL_RANGE: Self = 13.5;
    const SHIFT: (Self, Self) = (2.0, 0.5);
    const CENTRE: Self = 0.729_492_2; // 747 / 1024
    const F: &'static [Self] = &[
        0.529_744_6,
        -0.567_187_96,
        0.286_115_05,
        0.161_071_29,
        -0.267_970_03,
        -0.134_815_95,
        0.303_020_42,
        0.268_015_7,
        -0.378_370_85,
        -0.941_617_25,
        -0.860_002_2,
        -0.393_894_58,
        -0.074_970_38,
    ];
}

impl Normal for f64 {
    const NORMAL_RANGE: Self = 38.0;
    const SHIFT: (Self, Self) = (3.0, 1.0 / 3.0);
    const CENTRE: Self = 0.808_593_75; // 207 / 256
    const F: &'static [Self] = &[
        0.490_361_785_199_319_56,
        -0.568_160_453_285_920_7,
        0.540_413_160_603_391_7,
        -0.378_912_061_738_756_3,
        0.128_236_761_423_963_7,
        0.088_901_579_267_272,
        -0.144_315_563_052_513_6,
        0.027_093_091_100_470_784,
        0.107_486_666_633_624_65,
        -0.078_880_213_998_904_92,
        -0.081_551_568_331_694_68,
        0.120_848_900_144_413_78,
        0.070_991_614_385_353_65,
        -0.176_937_981_210_610_88,
        -0.089_099_322_914_361_05,
        0.119_021_554_622_210_87,
        -0.689_779_342_564_530_2,
        -2.910_626_234_795_8,
        -5.129_398_373_420_273,
        -5.547_101_963_308_812,
        -4.025_615_435_714_060_6,
        -1.979_951_036_576_394_2,
        -0.633_284_367_686_149_9,
        -0.117_837_894_362_094_31,
        -0.009_461_849_643_043_942,
    ];
}

/// max(z, 0), x, v, F(v), and of e = s · (1 + t): −s and −t.
#[inline(always)]
unsafe fn parts<V: Arithmetic>(z: V) -> [V; 6] {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (zero, half) = (V::splat(V::Element::ZERO), V::splat(V::Element::from_f64(0.5)));
        let x = z.abs().at_most(V::splat(V::Element::NORMAL_RANGE));
        let (shift, reciprocal) = (V::splat(V::Element::SHIFT.0), V::splat(V::Element::SHIFT.1));
        let denominator = x.add(shift);
        let v = x.div(denominator);
        // The sum's rounding error, as a part of it: (1 − v) / k is 1 / (x + k).
        let excess = denominator.sub(shift).sub(x);
        let inverse = v.neg_mul_add(reciprocal, reciprocal);
        let high = x.mul(x);
        let low = x.mul_add(x, zero.sub(high)).mul(half);
        let [minus_s, minus_t] = exp::exp_of_minus_sum(high.mul(half), excess.neg_mul_add(inverse, low));
        let f = polynomial(V::Element::F, v.sub(V::splat(V::Element::CENTRE)));
        [zero.select_less(z, z, zero), x, v, f, minus_s, minus_t]
    }
}

#[inline(always)]
unsafe fn gelu_of_parts<V: Arithmetic>([positive, _, v, f, minus_s, minus_t]: [V; 6]) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let minus_scaled = v.mul(f).mul(minus_s);
        minus_scaled.neg_mul_add(minus_t, positive.add(minus_scaled))
    }
}

/// z · Φ(z)
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn gelu<V: Arithmetic>(z: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe { gelu_of_parts(parts(z)) }
}

/// z · Φ(z) and Φ(z) + z · φ(z)
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn gelu_and_derivative<V: Arithmetic>(z: V) -> (V, V) {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let parts = parts(z);
        let [_, x, v, f, minus_s, minus_t] = parts;
        let (zero, one) = (V::splat(V::Element::ZERO), V::splat(V::Element::ONE));
        let density = V::Element::from_f64(DENSITY_AT_0);
        // Q / e = F · (1 − v) / k
        let w = v.neg_mul_add(f, f).neg_mul_add(V::splat(V::Element::SHIFT.1), x.mul(V::splat(density)));
        let minus_scaled = z.select_less(zero, zero.sub(w), w).mul(minus_s);
        let above = z.select_less(zero, zero, one).sub(minus_scaled);
        (gelu_of_parts(parts), minus_scaled.mul_add(minus_t, above))
    }
}

/// 1 / √(2π)
pub(super) const DENSITY_AT_0: f64 = 0.398_942_280_401_432_7;
