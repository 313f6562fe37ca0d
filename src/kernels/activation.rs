//! The activations: the choice, and what a kernel asks of one. The functions are in this folder.
//!
//! | name       | a(z)                            | a′, from a or from z                |
//! |------------|---------------------------------|-------------------------------------|
//! | sigmoid    | 1 / (1 + exp −z)                | a · (1 − a)                         |
//! | tanh       | tanh z                          | 1 − a²                              |
//! | relu       | max(z, 0)                       | 1 if a > 0 else 0                   |
//! | leaky relu | z if z > 0 else 0.01 z          | 1 if a > 0 else 0.01                |
//! | elu        | z if z > 0 else exp z − 1       | 1 if a > 0 else a + 1               |
//! | selu       | λ z if z > 0 else λα (exp z − 1) | λ if a > 0 else a + λα             |
//! | gelu       | z · Φ(z)                        | Φ(z) + z · φ(z), *kept*             |
//! | silu       | z · σ(z)                        | σ(z) + z · σ(z) · (1 − σ(z)), *kept* |
//! | softplus   | log(1 + exp z)                  | 1 − exp −a                          |
//! | sin        | sin z                           | cos z, *kept*                       |
//! | identity   | z                               | 1                                   |
//!
//! (σ is sigmoid; Φ and φ are the normal distribution and its density; λ, α are constants of Klambauer et al. 2017.)
//!
//! What the forward pass keeps for the backward pass is the result a, from which the derivative is had, or, where that
//! is not possible (`Activation::keeps_derivative`), the derivative. Results are stored flushed
//! (`Arithmetic::flush_subnormal`), a derivative from the result is that of the stored one, and all are flushed as well. A
//! NaN stays one, except in derivatives that only ask whether `a > 0`: there NaN is not.

mod rectifiers;
mod smooth;

pub(super) use rectifiers::{Elu, Identity, LeakyRelu, Relu, Selu};
pub(super) use rectifiers::{LEAK, SELU_ALPHA_SCALE, SELU_SCALE};
pub(super) use smooth::{Gelu, Sigmoid, Silu, Sin, Softplus, Tanh};

use super::vector::Arithmetic;

/// The choice of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// 1 / (1 + exp −z)
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// max(z, 0)
    Relu,
    /// z where it is positive, else 0.01 z
    LeakyRelu,
    /// z where it is positive, else exp z − 1
    Elu,
    /// The scaled elu that keeps mean 0 and variance 1 (Klambauer et al. 2017).
    Selu,
    /// z · Φ(z), Φ the cumulative normal distribution.
    Gelu,
    /// z · sigmoid z, also called swish.
    Silu,
    /// log(1 + exp z)
    Softplus,
    /// The sine.
    Sin,
    /// z itself.
    Identity,
    /// exp z of each number of a row, divided by their sum: for an output layer only, and not one number by itself.
    Softmax,
}

impl Activation {
    /// Those of each number by itself, with the names under which users know them.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("sigmoid", Self::Sigmoid),
        ("tanh", Self::Tanh),
        ("relu", Self::Relu),
        ("leaky_relu", Self::LeakyRelu),
        ("elu", Self::Elu),
        ("selu", Self::Selu),
        ("gelu", Self::Gelu),
        ("silu", Self::Silu),
        ("softplus", Self::Softplus),
        ("sin", Self::Sin),
        ("identity", Self::Identity),
    ];

    /// Those that only an output layer may have.
    pub const OUTPUT: &'static [(&'static str, Self)] = &[("softmax", Self::Softmax)];

    /// Whether the derivative is not to be had from the result, so that the forward pass must keep it.
    #[must_use]
    pub const fn keeps_derivative(self) -> bool {
        matches!(self, Self::Gelu | Self::Silu | Self::Sin)
    }
}

/// Calls `$body` with the type `$Function` that stands for an `Activation` at run time. The choice is made outside
/// the innermost loops: made inside, it costs registers in them. Softmax has the type `Identity`: what makes probabilities of a row of
/// pre-activations comes after.
macro_rules! with_activation {
    ($activation:expr, $Function:ident => $body:expr) => {
        $crate::kernels::activation::with_activation!(
            @arms $activation, $Function, $body;
            Sigmoid => Sigmoid,
            Tanh => Tanh,
            Relu => Relu,
            LeakyRelu => LeakyRelu,
            Elu => Elu,
            Selu => Selu,
            Gelu => Gelu,
            Silu => Silu,
            Softplus => Softplus,
            Sin => Sin,
            Identity | Softmax => Identity,
        )
    };
    (@arms $activation:expr, $Function:ident, $body:expr; $($($Variant:ident)|+ => $Type:ident,)*) => {
        match $activation {
            $($(|$crate::kernels::activation::Activation::$Variant)+ => {
                type $Function = $crate::kernels::activation::$Type;
                $body
            })*
        }
    };
}
pub(super) use with_activation;

/// A derivative, from what is kept of the forward pass.
pub(super) trait Derivative {
    /// a′ for each lane of kept values, flushed: from the result a, or what is kept is a′ itself.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn derivative<V: Arithmetic>(kept: V) -> V;
}

/// An activation's function, whose `Derivative` takes what it keeps.
pub(super) trait Function: Derivative {
    /// a(z) for each lane, flushed.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn function<V: Arithmetic>(z: V) -> V;

    /// a(z), the same, and a′(z) for each lane, flushed.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    #[inline(always)]
    unsafe fn function_and_derivative<V: Arithmetic>(z: V) -> (V, V) {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let a = Self::function(z);
            (a, Self::derivative(a))
        }
    }
}

/// The derivative itself is what was kept: the notebook tier's `dA`.
pub(super) struct Stored;

impl Derivative for Stored {
    #[inline(always)]
    unsafe fn derivative<V: Arithmetic>(derivative: V) -> V {
        derivative
    }
}
