//! log(1 + e) for 0 ≤ e ≤ 1, and on it softplus.
//!
//! Above √2 − 1 the argument is halved: `1 + e = 2 · (1 + f)`, f = (e − 1) / 2, so that |f| < 0.42. Then, with s = f / (2 + f),
//! w = s² and h = f² / 2,
//!
//! ```text
//! log(1 + f) = log((1 + s) / (1 − s)) = 2s + s · R = f − (h − s · (h + R))      R = w · r(w), r a minimax polynomial
//! ```
//!
//! whose last form (fdlibm's) adds small corrections to f, which is exact.

use super::exp::{self, Exponential};
use super::polynomial::polynomial;
use super::vector::{Arithmetic, Element};

/// The constants of one number type.
pub trait Logarithm: Copy + 'static {
    /// Beyond this the argument is halved: √2 − 1.
    const LOG1P_RANGE: Self;
    /// The coefficients of r (Remez), 2^−59 of the logarithm in f64 and 2^−30 in f32.
    const R: &'static [Self];
}

impl Logarithm for f32 {
    const LOG1P_RANGE: Self = 0.414_213_57;
    const R: &'static [Self] = &[0.666_667_76, 0.399_775_3, 0.298_722_98];
}

impl Logarithm for f64 {
    const LOG1P_RANGE: Self = 0.414_213_562_373_095_03;
    const R: &'static [Self] = &[
        0.666_666_666_666_673_4,
        0.399_999_999_994_137_1,
        0.285_714_287_426_966_3,
        0.222_221_985_315_655_62,
        0.181_835_670_055_670_94,
        0.153_139_690_856_832_54,
        0.147_968_890_793_191_5,
    ];
}

/// max(z, 0) + log(1 + exp −|z|)
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn softplus<V: Arithmetic>(z: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (zero, one) = (V::splat(V::Element::ZERO), V::splat(V::Element::ONE));
        let half = V::splat(V::Element::from_f64(0.5));
        let e = exp::exp_of_minus(z.abs());
        let range = V::splat(V::Element::LOG1P_RANGE);
        let f = range.select_less(e, e.sub(one).mul(half), e);
        let ln_2 = range.select_less(e, V::splat(V::Element::LN_2), zero);
        let s = f.div(f.add(one.add(one)));
        let w = s.mul(s);
        let h = f.mul(f).mul(half);
        let correction = s.neg_mul_add(w.mul_add(polynomial(V::Element::R, w), h), h);
        zero.select_less(z, z, zero).add(ln_2).add(f.sub(correction))
    }
}
