//! The activations: each function beside its derivative, which is taken from the function's *result*.
//!
//! | name    | a(z)             | a′ in terms of a |
//! |---------|------------------|------------------|
//! | sigmoid | 1 / (1 + exp −z) | a · (1 − a)      |
//! | tanh    | tanh z           | 1 − a²           |
//! | relu    | max(z, 0)        | 1 if a > 0 else 0 |
//!
//! Results are stored flushed (`Vector::flush_subnormal`), the derivative is that of the stored result, and it is
//! flushed as well. A NaN stays one, except in the derivative of relu, where `NaN > 0` is false.

use super::exp;
use super::vector::{Arithmetic, Element};

/// The choice of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// 1 / (1 + exp −z)
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// max(z, 0)
    Relu,
}

impl Activation {
    /// All of them, with the names under which users know them.
    pub const ALL: &'static [(&'static str, Self)] =
        &[("sigmoid", Self::Sigmoid), ("tanh", Self::Tanh), ("relu", Self::Relu)];
}

/// Calls `$body` with the type `$Function` that stands for an `Activation` at run time. The choice is made outside
/// the loops: made inside, it costs registers in them.
macro_rules! with_activation {
    ($activation:expr, $Function:ident => $body:expr) => {
        match $activation {
            $crate::kernels::activation::Activation::Sigmoid => {
                type $Function = $crate::kernels::activation::Sigmoid;
                $body
            }
            $crate::kernels::activation::Activation::Tanh => {
                type $Function = $crate::kernels::activation::Tanh;
                $body
            }
            $crate::kernels::activation::Activation::Relu => {
                type $Function = $crate::kernels::activation::Relu;
                $body
            }
        }
    };
}
pub(super) use with_activation;

/// A derivative, from what is stored of the forward pass.
pub(super) trait Derivative {
    /// a′ for each lane of stored values, flushed.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn derivative<V: Arithmetic>(stored: V) -> V;
}

/// An activation's function, whose `Derivative` takes its results.
pub(super) trait Function: Derivative {
    /// a(z) for each lane, flushed.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn function<V: Arithmetic>(z: V) -> V;
}

/// `Activation::Sigmoid`
pub(super) struct Sigmoid;
/// `Activation::Tanh`
pub(super) struct Tanh;
/// `Activation::Relu`
pub(super) struct Relu;
/// The derivative itself is what was stored: the notebook tier's `dA`.
pub(super) struct Stored;

impl Function for Sigmoid {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { exp::sigmoid(z).flush_subnormal() }
    }
}

impl Derivative for Sigmoid {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(a: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { a.mul(V::splat(V::Element::ONE).sub(a)).flush_subnormal() }
    }
}

impl Function for Tanh {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { exp::tanh(z).flush_subnormal() }
    }
}

impl Derivative for Tanh {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(a: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { a.neg_mul_add(a, V::splat(V::Element::ONE)).flush_subnormal() }
    }
}

impl Function for Relu {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            // What is below the smallest normal number is below or at zero, or to be flushed; NaN is not below it.
            z.select_less(V::splat(V::Element::MIN_POSITIVE), V::splat(V::Element::ZERO), z)
        }
    }
}

impl Derivative for Relu {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(a: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let (zero, one) = (V::splat(V::Element::ZERO), V::splat(V::Element::ONE));
            zero.select_less(a, one, zero)
        }
    }
}

impl Derivative for Stored {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(derivative: V) -> V {
        derivative
    }
}
