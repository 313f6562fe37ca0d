//! `Vector`: what a SIMD register must be able to do, and `Element`: the two number types.
//!
//! Every algorithm of this folder is written once over `Vector`; `portable.rs`, `avx2.rs` and `avx512.rs` are thin
//! instances. Each operation is one IEEE-754 operation (or an exact movement of bits), rounded to nearest, so that
//! an instance has no freedom: all of them give the same bits in each lane. Approximate instructions (reciprocal
//! estimates, fused operations that were not asked for) have no place here.

use std::fmt::{Debug, Display};
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::avx2;
use super::avx512;
use super::level::Kernel;
use super::portable;

/// A number type that the kernels work in: `f32` or `f64`.
///
/// The operators are those of the language; the constants are those of the elementary functions. The trait is sealed: the numeric
/// contract of `kernels/README.md` is proved for these two types only.
pub trait Element:
    Copy
    + Debug
    + Default
    + Display
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + super::exp::Exponential
    + super::log1p::Logarithm
    + super::normal::Normal
    + super::sin::Circular
    + super::portable::Bits
{
    /// The number 0.
    const ZERO: Self;
    /// The number 1.
    const ONE: Self;
    /// The smallest positive normal number: what is nearer to zero than this is stored as zero.
    const MIN_POSITIVE: Self;

    /// The register type of the level `portable`.
    type Portable: Vector<Element = Self>;
    /// The register type of the level `avx2`.
    type Avx2: Vector<Element = Self>;
    /// The register type of the level `avx512`.
    type Avx512: Vector<Element = Self>;

    /// `self * factor + addend` with one rounding.
    #[must_use]
    fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// The magnitude.
    #[must_use]
    fn abs(self) -> Self;

    /// The square root, correctly rounded.
    #[must_use]
    fn sqrt(self) -> Self;

    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;

    /// The same number as `f64` (exact).
    fn to_f64(self) -> f64;

    /// The number itself, or +0 where it is zero or subnormal: the form in which results are stored. NaN stays NaN.
    #[inline(always)]
    #[must_use]
    fn flush_subnormal(self) -> Self {
        if self.abs() < Self::MIN_POSITIVE { Self::ZERO } else { self }
    }
}

macro_rules! element {
    ($number:ident, $avx2:ident, $avx512:ident) => {
        impl Element for $number {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const MIN_POSITIVE: Self = $number::MIN_POSITIVE;

            type Portable = portable::Lanes<$number>;
            type Avx2 = avx2::$avx2;
            type Avx512 = avx512::$avx512;

            #[inline(always)]
            fn mul_add(self, factor: Self, addend: Self) -> Self {
                $number::mul_add(self, factor, addend)
            }

            #[inline(always)]
            fn abs(self) -> Self {
                $number::abs(self)
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                $number::sqrt(self)
            }

            #[inline(always)]
            fn is_finite(self) -> bool {
                $number::is_finite(self)
            }

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation)] // rounding to the nearest f32 is what is asked for
            fn from_f64(value: f64) -> Self {
                value as $number
            }

            #[inline(always)]
            #[allow(clippy::useless_conversion)] // f64 to f64 in one of the two instances
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
        }
    };
}
element!(f32, F32x8, F32x16);
element!(f64, F64x4, F64x8);

/// Registers of `LANES` numbers, as the functions of single numbers see them.
///
/// # Safety
///
/// Every method may use instructions of its level: the caller runs on a CPU that has them, which `Level` guarantees
/// to whoever comes through `Level::run`. Pointers are valid for the lanes that the method names, and need no
/// alignment beyond that of one number.
pub trait Arithmetic: Copy {
    /// The number in each lane.
    type Element: Element;

    /// Numbers in a register.
    const LANES: usize;

    /// `x` in every lane.
    unsafe fn splat(x: Self::Element) -> Self;

    /// The `LANES` numbers from `from` on.
    unsafe fn load(from: *const Self::Element) -> Self;

    /// The `n` numbers from `from` on (1 ≤ n < LANES), zero in the other lanes. Nothing beyond them is read.
    unsafe fn load_first(from: *const Self::Element, n: usize) -> Self;

    /// Writes all lanes to `to` on.
    unsafe fn store(self, to: *mut Self::Element);

    /// Writes the first `n` lanes (1 ≤ n < LANES) to `to` on. Nothing beyond them is written.
    unsafe fn store_first(self, to: *mut Self::Element, n: usize);

    /// `self + other`
    unsafe fn add(self, other: Self) -> Self;

    /// `self - other`
    unsafe fn sub(self, other: Self) -> Self;

    /// `self * other`
    unsafe fn mul(self, other: Self) -> Self;

    /// `self / other`, correctly rounded
    unsafe fn div(self, other: Self) -> Self;

    /// The square root, correctly rounded
    unsafe fn sqrt(self) -> Self;

    /// `self * factor + addend`, rounded once
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// `addend - self * factor`, rounded once
    unsafe fn neg_mul_add(self, factor: Self, addend: Self) -> Self;

    /// `if bound < self { bound } else { self }`: NaN stays NaN.
    unsafe fn at_most(self, bound: Self) -> Self;

    /// Lane by lane `if self < other { yes } else { no }`; a NaN on either side is `no`.
    unsafe fn select_less(self, other: Self, yes: Self, no: Self) -> Self;

    /// The magnitude: the sign bit cleared.
    unsafe fn abs(self) -> Self;

    /// The magnitude of `self` (whose sign bit is clear) with the sign bit of `other`.
    unsafe fn with_sign_of(self, other: Self) -> Self;

    /// The lane's bits shifted left into the exponent field: `2^n` for the biased `n` in the low bits (see `exp.rs`).
    unsafe fn shift_into_exponent(self) -> Self;

    /// The lane's lowest bit as its sign, the other bits clear: −0 for an odd number in the low bits (see `sin.rs`).
    unsafe fn shift_into_sign(self) -> Self;

    /// Whether in any lane `self < other`.
    unsafe fn any_less(self, other: Self) -> bool;

    /// `load` of a whole register (`n == LANES`) or of its first `n` lanes.
    #[inline(always)]
    unsafe fn load_some<const WHOLE: bool>(from: *const Self::Element, n: usize) -> Self {
        // SAFETY: the caller's pointer is valid for `n` lanes, and `n` is LANES where WHOLE says so.
        unsafe { if WHOLE { Self::load(from) } else { Self::load_first(from, n) } }
    }

    /// `store` of a whole register (`n == LANES`) or of its first `n` lanes.
    #[inline(always)]
    unsafe fn store_some<const WHOLE: bool>(self, to: *mut Self::Element, n: usize) {
        // SAFETY: the caller's pointer is valid for `n` lanes, and `n` is LANES where WHOLE says so.
        unsafe { if WHOLE { self.store(to) } else { self.store_first(to, n) } }
    }

    /// Zero and subnormal lanes become +0, the others stay (NaN too): the form in which results are stored.
    #[inline(always)]
    unsafe fn flush_subnormal(self) -> Self {
        // SAFETY: the caller runs on a CPU of this level.
        unsafe {
            let smallest = Self::splat(Self::Element::MIN_POSITIVE);
            self.abs().select_less(smallest, Self::splat(Self::Element::ZERO), self)
        }
    }
}

/// One SIMD register of a level.
///
/// # Safety
///
/// As for `Arithmetic`.
pub trait Vector: Arithmetic {
    /// Numbers in a row of a panel: those of two registers.
    const PANEL: usize = 2 * Self::LANES;

    /// Registers of half the width where the level has them, else the same: each CPU of the level has their instructions too.
    type Half: Vector<Element = Self::Element>;

    /// Rows of a register tile two registers wide: what the level's register file holds without spilling
    /// (2·`MR` accumulators, two of the right operand, one broadcast).
    const MR: usize;

    /// Runs a kernel in a function of its own, compiled with the level's instructions. What is inlined into it may use
    /// them; that it is never inlined itself keeps the compiler's work on each function small.
    unsafe fn enter<K: Kernel<Self::Element>>(kernel: K) -> K::Output;

    /// Copies a block of `LANES` × `LANES` numbers and transposes it: `to[j * to_stride + i] = from[i * from_stride + j]`.
    unsafe fn transpose(from: *const Self::Element, from_stride: usize, to: *mut Self::Element, to_stride: usize);
}

/// Two registers side by side. The operations of both alternate, so that their chains of dependent operations overlap: for
/// functions that are longer than what the CPU looks ahead (the sigmoid of 8 numbers of `f64` takes 17 cycles at avx2
/// instead of 27).
#[derive(Clone, Copy)]
pub(super) struct Pair<V, W = V>(pub(super) V, pub(super) W);

macro_rules! on_both {
    ($($method:ident($($argument:ident),*);)*) => {$(
        #[inline(always)]
        unsafe fn $method(self, $($argument: Self),*) -> Self {
            // SAFETY: the same contract.
            unsafe { Self(self.0.$method($($argument.0),*), self.1.$method($($argument.1),*)) }
        }
    )*};
}

impl<V: Arithmetic, W: Arithmetic<Element = V::Element>> Arithmetic for Pair<V, W> {
    type Element = V::Element;
    const LANES: usize = V::LANES + W::LANES;

    on_both! {
        add(other);
        sub(other);
        mul(other);
        div(other);
        sqrt();
        mul_add(factor, addend);
        neg_mul_add(factor, addend);
        at_most(bound);
        select_less(other, yes, no);
        abs();
        with_sign_of(other);
        shift_into_exponent();
        shift_into_sign();
    }

    #[inline(always)]
    unsafe fn any_less(self, other: Self) -> bool {
        // SAFETY: the same contract.
        unsafe { self.0.any_less(other.0) || self.1.any_less(other.1) }
    }

    #[inline(always)]
    unsafe fn splat(x: V::Element) -> Self {
        // SAFETY: the same contract.
        unsafe { Self(V::splat(x), W::splat(x)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const V::Element) -> Self {
        // SAFETY: the pointer is valid for the lanes of both.
        unsafe { Self(V::load(from), W::load(from.add(V::LANES))) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const V::Element, n: usize) -> Self {
        // SAFETY: the pointer is valid for n lanes: all of the first and the rest of the second, or some of the first.
        unsafe {
            match n.checked_sub(V::LANES) {
                None => Self(V::load_first(from, n), W::splat(V::Element::ZERO)),
                Some(0) => Self(V::load(from), W::splat(V::Element::ZERO)),
                Some(n) => Self(V::load(from), W::load_first(from.add(V::LANES), n)),
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut V::Element) {
        // SAFETY: the pointer is valid for the lanes of both.
        unsafe {
            self.0.store(to);
            self.1.store(to.add(V::LANES));
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut V::Element, n: usize) {
        // SAFETY: the pointer is valid for n lanes: all of the first and the rest of the second, or some of the first.
        unsafe {
            match n.checked_sub(V::LANES) {
                None => self.0.store_first(to, n),
                Some(rest) => {
                    self.0.store(to);
                    if rest > 0 {
                        self.1.store_first(to.add(V::LANES), rest);
                    }
                }
            }
        }
    }
}

/// The methods of `Arithmetic` that are one instruction: an instance of x86-64 names the intrinsics in this order.
#[cfg(target_arch = "x86_64")]
macro_rules! one_instruction_each {
    ($number:ty: $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident,
     $mul_add:ident, $neg_mul_add:ident, $min:ident) => {
        #[inline(always)]
        unsafe fn splat(x: $number) -> Self {
            // SAFETY: the CPU has the level's instructions (contract of `Arithmetic`).
            Self(unsafe { $splat(x) })
        }

        #[inline(always)]
        unsafe fn load(from: *const $number) -> Self {
            // SAFETY: valid for LANES numbers (contract of `Arithmetic`); the load is an unaligned one.
            Self(unsafe { $load(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut $number) {
            // SAFETY: valid for writes of LANES numbers (contract of `Arithmetic`); the store is an unaligned one.
            unsafe { $store(to, self.0) };
        }

        one_instruction_each!(binary: add $add, sub $sub, mul $mul, div $div);

        #[inline(always)]
        unsafe fn sqrt(self) -> Self {
            // SAFETY: the CPU has the level's instructions (contract of `Arithmetic`).
            Self(unsafe { $sqrt(self.0) })
        }

        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: the CPU has the level's instructions (contract of `Arithmetic`).
            Self(unsafe { $mul_add(self.0, factor.0, addend.0) })
        }

        #[inline(always)]
        unsafe fn neg_mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: the CPU has the level's instructions (contract of `Arithmetic`).
            Self(unsafe { $neg_mul_add(self.0, factor.0, addend.0) })
        }

        // The instruction returns its *second* operand where one is NaN or both are equal.
        #[inline(always)]
        unsafe fn at_most(self, bound: Self) -> Self {
            // SAFETY: the CPU has the level's instructions (contract of `Arithmetic`).
            Self(unsafe { $min(bound.0, self.0) })
        }
    };
    (binary: $($method:ident $intrinsic:ident),*) => {
        $(
            #[inline(always)]
            unsafe fn $method(self, other: Self) -> Self {
                // SAFETY: the CPU has the level's instructions (contract of `Arithmetic`).
                Self(unsafe { $intrinsic(self.0, other.0) })
            }
        )*
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use one_instruction_each;
