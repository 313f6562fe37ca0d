//! The normal distribution, on which gelu stands: Φ(z) = ½ · erfc(−z / √2), the probability below z, and its density φ.
//!
//! With x = |z| and Q(x) = 1 − Φ(x), the probability beyond x,
//!
//! ```text
//! gelu(z)  = z · Φ(z)         = max(z, 0) − x · Q(x)
//! gelu′(z) = Φ(z) + z · φ(z)  = 1 + e · w for z ≥ 0, else −e · w         w = x / √(2π) − Q(x) / e
//! Q(x)     = e · F(v) / (x + 4)                                          e = exp(−x² / 2), v = x / (x + 4)
//! ```
//!
//! F is smooth, between 0.44 and 2, and a minimax polynomial in v − `CENTRE`, which is chosen so that the rounding of the first
//! coefficients matters least. Then x · Q(x) = e · (v · F(v)) is right in its own units down to where it vanishes. For that
//! the exponent needs more digits than x² / 2 has: x² = high + low by a fused multiply-add, and low goes into the
//! reduced argument of exp.
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
    /// Where F's polynomial has its origin.
    const CENTRE: Self;
    /// The coefficients of F (Remez, relative), up to x = 37.7 in f64 and 13.3 in f32.
    const F: &'static [Self];
}

impl Normal for f32 {
    const NORMAL_RANGE: Self = 13.5;
    const CENTRE: Self = 0.372_070_3;
    const F: &'static [Self] = &[
        0.939_554_9,
        -1.693_631_2,
        2.220_135,
        -2.014_987_5,
        1.051_83,
        -0.006_391_097_3,
        -0.373_850_67,
        0.109_570_95,
        0.140_868_83,
        -0.052_602_593,
        -0.050_699_193,
    ];
}

impl Normal for f64 {
    const NORMAL_RANGE: Self = 38.0;
    const CENTRE: Self = 0.449_218_75;
    const F: &'static [Self] = &[
        0.821_219_838_671_585_2,
        -1.385_125_348_872_660_3,
        1.791_117_101_810_053,
        -1.694_054_833_097_371_3,
        1.018_059_113_326_792_4,
        -0.162_476_535_385_295_94,
        -0.293_150_089_050_219_8,
        0.184_079_208_135_776_9,
        0.086_460_455_087_338_54,
        -0.107_425_460_559_691_35,
        -0.039_943_719_111_687_04,
        0.061_199_715_847_914_64,
        0.030_790_293_586_116_81,
        -0.033_680_568_359_382_435,
        -0.028_995_409_671_394_842,
        0.014_520_193_318_770_615,
        0.026_444_217_395_102_155,
        -0.000_581_483_921_913_185_8,
        -0.020_889_620_764_992_543,
        -0.006_515_575_605_441_695,
        0.012_909_413_891_966_58,
        0.004_894_616_957_721_624,
        -0.004_846_586_548_435_776,
    ];
}

/// x, e, v and F(v) for z.
#[inline(always)]
unsafe fn parts<V: Arithmetic>(z: V) -> [V; 4] {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let half = V::splat(V::Element::from_f64(0.5));
        let x = z.abs().at_most(V::splat(V::Element::NORMAL_RANGE));
        let high = x.mul(x);
        let low = x.mul_add(x, V::splat(V::Element::ZERO).sub(high));
        let e = exp::exp_of_minus_sum(high.mul(half), low.mul(half));
        let v = x.div(x.add(V::splat(V::Element::from_f64(4.0))));
        [x, e, v, polynomial(V::Element::F, v.sub(V::splat(V::Element::CENTRE)))]
    }
}

#[inline(always)]
unsafe fn gelu_of_parts<V: Arithmetic>(z: V, [_, e, v, f]: [V; 4]) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let zero = V::splat(V::Element::ZERO);
        e.neg_mul_add(v.mul(f), zero.select_less(z, z, zero))
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
    unsafe { gelu_of_parts(z, parts(z)) }
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
        let [x, e, v, f] = parts(z);
        let (zero, one) = (V::splat(V::Element::ZERO), V::splat(V::Element::ONE));
        let (quarter, density) = (V::Element::from_f64(0.25), V::Element::from_f64(DENSITY_AT_0));
        // Q / e = F · (1 − v) / 4
        let w = v.neg_mul_add(f, f).neg_mul_add(V::splat(quarter), x.mul(V::splat(density)));
        let derivative = e.mul_add(z.select_less(zero, zero.sub(w), w), z.select_less(zero, zero, one));
        (gelu_of_parts(z, [x, e, v, f]), derivative)
    }
}

/// 1 / √(2π)
pub(super) const DENSITY_AT_0: f64 = 0.398_942_280_401_432_7;
