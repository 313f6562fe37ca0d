//! One shape for the polynomials of the elementary functions.

use super::vector::Arithmetic;

/// `Σ coefficients[i] · x^i`: the even and the odd ones each by Horner's rule in x², side by side.
///
/// # Safety
///
/// The CPU has the instructions of `V`, and there are at least two coefficients.
#[inline(always)]
pub(super) unsafe fn polynomial<V: Arithmetic>(coefficients: &[V::Element], x: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (x2, n) = (x.mul(x), coefficients.len());
        let mut sums = [V::splat(coefficients[n - 1]), V::splat(coefficients[n - 2])];
        for (i, &coefficient) in coefficients[..n - 2].iter().rev().enumerate() {
            sums[i % 2] = x2.mul_add(sums[i % 2], V::splat(coefficient));
        }
        let [odd, even] = if n % 2 == 0 { sums } else { [sums[1], sums[0]] };
        x.mul_add(odd, even)
    }
}
