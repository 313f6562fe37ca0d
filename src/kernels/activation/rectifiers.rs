//! The activations in pieces, most of them lines: relu, leaky relu, elu, selu, identity.

use super::{Derivative, Function};
use crate::kernels::exp;
use crate::kernels::vector::{Arithmetic, Element};

/// `Activation::Relu`
pub(in crate::kernels) struct Relu;
/// `Activation::LeakyRelu`
pub(in crate::kernels) struct LeakyRelu;
/// `Activation::Elu`
pub(in crate::kernels) struct Elu;
/// `Activation::Selu`
pub(in crate::kernels) struct Selu;
/// `Activation::Identity`
pub(in crate::kernels) struct Identity;

/// The slope of leaky relu where z is negative.
pub(in crate::kernels) const LEAK: f64 = 0.01;
/// λ of selu.
pub(in crate::kernels) const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
/// λα of selu; α = 1.673 263 242 354 377 2…
pub(in crate::kernels) const SELU_ALPHA_SCALE: f64 = 1.758_099_340_847_376_8;

/// `yes` where x > 0, otherwise `no`, also for NaN.
#[inline(always)]
unsafe fn where_positive<V: Arithmetic>(x: V, yes: V, no: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe { V::splat(V::Element::ZERO).select_less(x, yes, no) }
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
        unsafe { where_positive(a, V::splat(V::Element::ONE), V::splat(V::Element::ZERO)) }
    }
}

impl Function for LeakyRelu {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { where_positive(z, z, z.mul(V::splat(V::Element::from_f64(LEAK)))).flush_subnormal() }
    }
}

impl Derivative for LeakyRelu {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(a: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { where_positive(a, V::splat(V::Element::ONE), V::splat(V::Element::from_f64(LEAK))) }
    }
}

impl Function for Elu {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let below = V::splat(V::Element::ZERO).sub(exp::one_minus_exp_of_minus(z.abs()));
            where_positive(z, z, below).flush_subnormal()
        }
    }
}

impl Derivative for Elu {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(a: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let one = V::splat(V::Element::ONE);
            where_positive(a, one, a.add(one)).flush_subnormal()
        }
    }
}

impl Function for Selu {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let (scale, alpha_scale) = (V::Element::from_f64(SELU_SCALE), V::Element::from_f64(SELU_ALPHA_SCALE));
            let below = exp::one_minus_exp_of_minus(z.abs()).mul(V::splat(-alpha_scale));
            where_positive(z, z.mul(V::splat(scale)), below).flush_subnormal()
        }
    }
}

impl Derivative for Selu {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(a: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let (scale, alpha_scale) = (V::Element::from_f64(SELU_SCALE), V::Element::from_f64(SELU_ALPHA_SCALE));
            where_positive(a, V::splat(scale), a.add(V::splat(alpha_scale))).flush_subnormal()
        }
    }
}

impl Function for Identity {
    #[inline(always)]
    unsafe fn function<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { z.flush_subnormal() }
    }
}

impl Derivative for Identity {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(_: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { V::splat(V::Element::ONE) }
    }
}
