//! The level `portable`: plain Rust, one lane after the other, for CPUs without AVX2.
//!
//! `mul_add` is a fused multiply-add by contract; where the target has no such instruction the language's run-time
//! library computes it exactly, and slowly. The bits are those of every other level.

use super::level::Kernel;
use super::vector::{Arithmetic, Element, Vector};

/// Lanes of a portable register: enough that the compiler can use the SSE2 or NEON unit for the simple operations.
const LANES: usize = 4;

/// Four numbers, worked on one by one.
#[derive(Clone, Copy, Debug)]
pub struct Lanes<T>([T; LANES]);

/// The bit patterns of an element that `Vector` needs.
pub trait Bits: Copy {
    /// The bits shifted left into the exponent field.
    fn shift_into_exponent(self) -> Self;
    /// The lowest bit shifted into the sign, the others clear.
    fn shift_into_sign(self) -> Self;
    /// The magnitude of `self` with the sign of `other`.
    fn with_sign_of(self, other: Self) -> Self;
}

impl Bits for f32 {
    #[inline(always)]
    fn shift_into_exponent(self) -> Self {
        f32::from_bits(self.to_bits() << 23)
    }

    #[inline(always)]
    fn shift_into_sign(self) -> Self {
        f32::from_bits(self.to_bits() << 31)
    }

    #[inline(always)]
    fn with_sign_of(self, other: Self) -> Self {
        self.copysign(other)
    }
}

impl Bits for f64 {
    #[inline(always)]
    fn shift_into_exponent(self) -> Self {
        f64::from_bits(self.to_bits() << 52)
    }

    #[inline(always)]
    fn shift_into_sign(self) -> Self {
        f64::from_bits(self.to_bits() << 63)
    }

    #[inline(always)]
    fn with_sign_of(self, other: Self) -> Self {
        self.copysign(other)
    }
}

impl<T: Element + Bits> Arithmetic for Lanes<T> {
    type Element = T;
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn splat(x: T) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller's pointer is valid for LANES numbers; it is aligned for one, so an array read is unaligned
        // at most in its own terms and `read_unaligned` is right for both.
        Self(unsafe { from.cast::<[T; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const T, n: usize) -> Self {
        let mut lanes = [T::ZERO; LANES];
        for (i, lane) in lanes.iter_mut().enumerate().take(n) {
            // SAFETY: i < n, and the caller's pointer is valid for n numbers.
            *lane = unsafe { *from.add(i) };
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller's pointer is valid for writes of LANES numbers.
        unsafe { to.cast::<[T; LANES]>().write_unaligned(self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut T, n: usize) {
        for (i, lane) in self.0.into_iter().enumerate().take(n) {
            // SAFETY: i < n, and the caller's pointer is valid for writes of n numbers.
            unsafe { *to.add(i) = lane };
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] / other.0[i]))
    }

    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        Self(self.0.map(Element::sqrt))
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].mul_add(factor.0[i], addend.0[i])))
    }

    #[inline(always)]
    unsafe fn neg_mul_add(self, factor: Self, addend: Self) -> Self {
        Self(std::array::from_fn(|i| (-self.0[i]).mul_add(factor.0[i], addend.0[i])))
    }

    #[inline(always)]
    unsafe fn at_most(self, bound: Self) -> Self {
        Self(std::array::from_fn(|i| if bound.0[i] < self.0[i] { bound.0[i] } else { self.0[i] }))
    }

    #[inline(always)]
    unsafe fn select_less(self, other: Self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|i| if self.0[i] < other.0[i] { yes.0[i] } else { no.0[i] }))
    }

    #[inline(always)]
    unsafe fn abs(self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].abs()))
    }

    #[inline(always)]
    unsafe fn with_sign_of(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].with_sign_of(other.0[i])))
    }

    #[inline(always)]
    unsafe fn shift_into_exponent(self) -> Self {
        Self(self.0.map(Bits::shift_into_exponent))
    }

    #[inline(always)]
    unsafe fn shift_into_sign(self) -> Self {
        Self(self.0.map(Bits::shift_into_sign))
    }

    #[inline(always)]
    unsafe fn any_less(self, other: Self) -> bool {
        (0..LANES).any(|i| self.0[i] < other.0[i])
    }
}

impl<T: Element + Bits> Vector for Lanes<T> {
    type Half = Self;
    const MR: usize = 2;

    #[inline(never)]
    unsafe fn enter<K: Kernel<T>>(kernel: K) -> K::Output {
        // SAFETY: these registers need no instructions beyond the target's own.
        unsafe { kernel.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const T, from_stride: usize, to: *mut T, to_stride: usize) {
        for i in 0..LANES {
            for j in 0..LANES {
                // SAFETY: the caller's pointers are valid for a LANES × LANES block at their strides.
                unsafe { *to.add(j * to_stride + i) = *from.add(i * from_stride + j) };
            }
        }
    }
}
