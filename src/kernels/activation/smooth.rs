//! The smooth activations: sigmoid, tanh, softplus, with derivatives from their results, and gelu, silu, sin, which keep them.

use super::{Derivative, Function};
use crate::kernels::vector::{Arithmetic, Element};
use crate::kernels::{exp, log1p, normal, sigmoid, sin};

/// `Activation::Sigmoid`
pub(in crate::kernels) struct Sigmoid;
/// `Activation::Tanh`
pub(in crate::kernels) struct Tanh;
/// `Activation::Softplus`
pub(in crate::kernels) struct Softplus;
/// `Activation::Gelu`
pub(in crate::kernels) struct Gelu;
/// `Activation::Silu`
pub(in crate::kernels) struct Silu;
/// `Activation::Sin`
pub(in crate::kernels) struct Sin;

impl Function for Sigmoid {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { sigmoid::sigmoid(z).flush_subnormal() }
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
        unsafe { sigmoid::tanh(z).flush_subnormal() }
    }
}

impl Derivative for Tanh {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(a: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { a.neg_mul_add(a, V::splat(V::Element::ONE)).flush_subnormal() }
    }
}

impl Function for Softplus {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { log1p::softplus(z).flush_subnormal() }
    }
}

impl Derivative for Softplus {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(a: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { exp::one_minus_exp_of_minus(a.abs()).flush_subnormal() }
    }
}

impl Function for Gelu {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { normal::gelu(z).flush_subnormal() }
    }

    #[inline(always)]
    unsafe fn function_and_derivative<V: Arithmetic>(z: V) -> (V, V) {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let (a, derivative) = normal::gelu_and_derivative(z);
            (a.flush_subnormal(), derivative.flush_subnormal())
        }
    }
}

impl Derivative for Gelu {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(derivative: V) -> V {
        derivative
    }
}

impl Function for Silu {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { sigmoid::silu(z).flush_subnormal() }
    }

    #[inline(always)]
    unsafe fn function_and_derivative<V: Arithmetic>(z: V) -> (V, V) {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let (a, derivative) = sigmoid::silu_and_derivative(z);
            (a.flush_subnormal(), derivative.flush_subnormal())
        }
    }
}

impl Derivative for Silu {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(derivative: V) -> V {
        derivative
    }
}

impl Function for Sin {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { sin::sin(z).flush_subnormal() }
    }

    #[inline(always)]
    unsafe fn function_and_derivative<V: Arithmetic>(z: V) -> (V, V) {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let (a, derivative) = sin::sin_cos(z);
            (a.flush_subnormal(), derivative.flush_subnormal())
        }
    }
}

impl Derivative for Sin {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(derivative: V) -> V {
        derivative
    }
}
