//! Sine and cosine.
//!
//! With `m = round(z / π)` and `r = z − m·π` (|r| ≤ π / 2):
//!
//! ```text
//! sin z = (−1)^m · sin r          cos z = (−1)^m · sin(π/2 − |r|)          sin x = x + x³ · S(x²), S a minimax polynomial
//! ```
//!
//! π comes in three parts. The first product is exact together with its subtraction, since the result has no bits below
//! the last one of the first part; the second and third round once each. A sum with `WHOLE_ROUNDER` has `m` in its lowest
//! bits, of which the last one becomes the sign. Up to `SIN_RANGE` this is right to 2 units in the last place (`m` has 15 bits there);
//! what lies beyond is taken from `libm`, number by number, which is slow and right as well. Infinity has no sine: NaN.

use super::polynomial::polynomial;
use super::vector::{Arithmetic, Element};

/// The constants of one number type, and its functions for large arguments.
pub trait Circular: Copy + 'static {
    /// 1 / π
    const FRAC_1_PI: Self;
    /// π, what it lacks, and what both lack.
    const PI: [Self; 3];
    /// π / 2 and what it lacks.
    const FRAC_PI_2: [Self; 2];
    /// 1.5 · 2^(bits of the fraction): the sum has no room for a fraction.
    const WHOLE_ROUNDER: Self;
    /// Where `r` is exact enough.
    const SIN_RANGE: Self;
    /// The coefficients of S (Remez), up to |x| = π / 2 and a little more.
    const S: &'static [Self];

    /// Sine and cosine of any number.
    fn sin_cos_by_libm(self) -> (Self, Self);
}

impl Circular for f32 {
    const FRAC_1_PI: Self = std::f32::consts::FRAC_1_PI;
    const PI: [Self; 3] = [std::f32::consts::PI, -8.742_278e-8, -3.430_249e-15];
    const FRAC_PI_2: [Self; 2] = [std::f32::consts::FRAC_PI_2, -4.371_139e-8];
    const WHOLE_ROUNDER: Self = 12_582_912.0;
    const SIN_RANGE: Self = 1e5;
    const S: &'static [Self] = &[-0.166_666_6, 0.008_333_058, -0.000_198_089_47, 2.604_254_4e-6];

    #[allow(clippy::cast_possible_truncation)] // rounding to the nearest f32 is what is asked for
    fn sin_cos_by_libm(self) -> (Self, Self) {
        let (sin, cos) = libm::sincos(f64::from(self));
        (sin as f32, cos as f32)
    }
}

impl Circular for f64 {
    const FRAC_1_PI: Self = std::f64::consts::FRAC_1_PI;
    const PI: [Self; 3] = [std::f64::consts::PI, 1.224_646_799_147_353_2e-16, -2.994_769_809_718_339_7e-33];
    const FRAC_PI_2: [Self; 2] = [std::f64::consts::FRAC_PI_2, 6.123_233_995_736_766e-17];
    const WHOLE_ROUNDER: Self = 6_755_399_441_055_744.0;
    const SIN_RANGE: Self = 1e5;
    const S: &'static [Self] = &[
        -0.166_666_666_666_666_66,
        0.008_333_333_333_333_194,
        -0.000_198_412_698_412_092_72,
        2.755_731_921_114_592_3e-6,
        -2.505_210_687_353_452_6e-8,
        1.605_893_973_939_602_7e-10,
        -7.642_992_273_094_871e-13,
        2.721_182_312_318_811e-15,
    ];

    fn sin_cos_by_libm(self) -> (Self, Self) {
        libm::sincos(self)
    }
}

/// sin z
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn sin<V: Arithmetic>(z: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (r, sign) = reduced(z);
        let sin = sin_of_reduced(r, r.mul(sign));
        if is_far(z) { far(z, sin, |z| z.sin_cos_by_libm().0) } else { sin }
    }
}

/// sin z and cos z
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn sin_cos<V: Arithmetic>(z: V) -> (V, V) {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (r, sign) = reduced(z);
        let [high, low] = V::Element::FRAC_PI_2;
        let rest = V::splat(high).sub(r.abs()).add(V::splat(low));
        let (sin, cos) = (sin_of_reduced(r, r.mul(sign)), sin_of_reduced(rest, rest.mul(sign)));
        if is_far(z) {
            return (far(z, sin, |z| z.sin_cos_by_libm().0), far(z, cos, |z| z.sin_cos_by_libm().1));
        }
        (sin, cos)
    }
}

/// r and (−1)^m.
#[inline(always)]
unsafe fn reduced<V: Arithmetic>(z: V) -> (V, V) {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let rounder = V::splat(V::Element::WHOLE_ROUNDER);
        let sum = z.mul_add(V::splat(V::Element::FRAC_1_PI), rounder);
        let m = sum.sub(rounder);
        let mut r = z;
        for part in V::Element::PI {
            r = m.neg_mul_add(V::splat(part), r);
        }
        (r, V::splat(V::Element::ONE).with_sign_of(sum.shift_into_sign()))
    }
}

/// ± sin r, where x = ± r; rounding errors do not lead beyond ±1.
#[inline(always)]
unsafe fn sin_of_reduced<V: Arithmetic>(r: V, x: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let r2 = r.mul(r);
        let sin = x.mul(r2).mul_add(polynomial(V::Element::S, r2), x);
        sin.abs().at_most(V::splat(V::Element::ONE)).with_sign_of(sin)
    }
}

/// Whether a lane is beyond the range.
#[inline(always)]
unsafe fn is_far<V: Arithmetic>(z: V) -> bool {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe { V::splat(V::Element::SIN_RANGE).any_less(z.abs()) }
}

/// `near`, but `by_libm` in the lanes beyond the range.
#[inline(always)]
unsafe fn far<V: Arithmetic>(z: V, near: V, by_libm: impl Fn(V::Element) -> V::Element) -> V {
    const MOST: usize = 32; // a pair of the widest registers
    const { assert!(V::LANES <= MOST) };
    let (mut arguments, mut results) = ([V::Element::ZERO; MOST], [V::Element::ZERO; MOST]);
    // SAFETY: the arrays have room for all lanes, and the caller runs on a CPU of V's level.
    unsafe {
        z.store(arguments.as_mut_ptr());
        near.store(results.as_mut_ptr());
        for (result, &z) in results.iter_mut().zip(&arguments) {
            if V::Element::SIN_RANGE < z.abs() {
                *result = by_libm(z);
            }
        }
        V::load(results.as_ptr())
    }
}
