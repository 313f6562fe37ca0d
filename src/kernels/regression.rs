//! The rules of the losses that take predictions: what one output adds to its sample's error, beside its gradient.
//!
//! | loss          | adds, with e = p − y                              | gradient at p                    |
//! |---------------|---------------------------------------------------|----------------------------------|
//! | squared error | e²                                                | e, the 2 is in the scale         |
//! | absolute      | \|e\|                                             | −1, 0 or 1                       |
//! | Huber         | ½ e² if \|e\| ≤ δ, else δ (\|e\| − ½ δ)           | e inside of ± δ                  |
//! | Poisson       | p − y log(p + 1e-8)                               | 1 − y / (p + 1e-8)               |
//! | quantile      | −q e if e < 0, else (1 − q) e                     | −q if e < 0, 0, or 1 − q         |
//!
//! Errors are plain numbers in `f64`, of a difference in the network's type; gradients are registers. A NaN stays one.

use super::vector::{Arithmetic, Element};

/// A rule, forward beside backward.
pub(super) trait Regression<T: Element>: Copy {
    /// The chain of a sample's error, one output further.
    fn add(self, prediction: T, target: T, chain: f64) -> f64;

    /// The gradient for each lane of predictions.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn gradient<V: Arithmetic<Element = T>>(self, prediction: V, target: V) -> V;
}

/// What keeps the logarithm of a prediction of 0 finite.
const POISSON_EPSILON: f64 = 1e-8;

/// Calls `$body` with the rule `$rule` of a `Loss`. The choice is made outside the loops.
macro_rules! with_regression {
    ($loss:expr, $rule:ident => $body:expr) => {
        match $loss {
            $crate::kernels::Loss::HalfSquaredError | $crate::kernels::Loss::SquaredError => {
                let $rule = $crate::kernels::regression::Squared;
                $body
            }
            $crate::kernels::Loss::AbsoluteError => {
                let $rule = $crate::kernels::regression::Absolute;
                $body
            }
            $crate::kernels::Loss::Huber { delta } => {
                let $rule = $crate::kernels::regression::Huber(delta);
                $body
            }
            $crate::kernels::Loss::Poisson => {
                let $rule = $crate::kernels::regression::Poisson;
                $body
            }
            $crate::kernels::Loss::Quantile { quantile } => {
                let $rule = $crate::kernels::regression::Quantile(quantile);
                $body
            }
            loss @ ($crate::kernels::Loss::BinaryCrossEntropy | $crate::kernels::Loss::CategoricalCrossEntropy) => {
                panic!("{loss:?} is taken from pre-activations")
            }
        }
    };
}
pub(super) use with_regression;

/// `Loss::HalfSquaredError` and `Loss::SquaredError`; its gradient is that of both cross-entropies at the pre-activations.
#[derive(Clone, Copy)]
pub(super) struct Squared;
/// `Loss::AbsoluteError`
#[derive(Clone, Copy)]
pub(super) struct Absolute;
/// `Loss::Huber`, with its delta
#[derive(Clone, Copy)]
pub(super) struct Huber(pub(super) f64);
/// `Loss::Poisson`
#[derive(Clone, Copy)]
pub(super) struct Poisson;
/// `Loss::Quantile`, with its quantile
#[derive(Clone, Copy)]
pub(super) struct Quantile(pub(super) f64);

impl<T: Element> Regression<T> for Squared {
    #[inline(always)]
    fn add(self, prediction: T, target: T, chain: f64) -> f64 {
        let error = (prediction - target).to_f64();
        error.mul_add(error, chain)
    }

    #[inline(always)]
    unsafe fn gradient<V: Arithmetic<Element = T>>(self, prediction: V, target: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { prediction.sub(target) }
    }
}

impl<T: Element> Regression<T> for Absolute {
    #[inline(always)]
    fn add(self, prediction: T, target: T, chain: f64) -> f64 {
        chain + (prediction - target).to_f64().abs()
    }

    #[inline(always)]
    unsafe fn gradient<V: Arithmetic<Element = T>>(self, prediction: V, target: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { steps(prediction.sub(target), V::splat(-T::ONE), V::splat(T::ONE)) }
    }
}

impl<T: Element> Regression<T> for Huber {
    #[inline(always)]
    fn add(self, prediction: T, target: T, chain: f64) -> f64 {
        let error = (prediction - target).to_f64();
        let (delta, magnitude) = (self.0, error.abs());
        if magnitude <= delta {
            (0.5 * error).mul_add(error, chain)
        } else {
            delta.mul_add(magnitude - 0.5 * delta, chain)
        }
    }

    #[inline(always)]
    unsafe fn gradient<V: Arithmetic<Element = T>>(self, prediction: V, target: V) -> V {
        let delta = T::from_f64(self.0);
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let (least, most) = (V::splat(-delta), V::splat(delta));
            let error = prediction.sub(target).at_most(most);
            error.select_less(least, least, error)
        }
    }
}

impl<T: Element> Regression<T> for Poisson {
    #[inline(always)]
    fn add(self, prediction: T, target: T, chain: f64) -> f64 {
        let prediction = prediction.to_f64();
        chain + (-target.to_f64()).mul_add(libm::log(prediction + POISSON_EPSILON), prediction)
    }

    #[inline(always)]
    unsafe fn gradient<V: Arithmetic<Element = T>>(self, prediction: V, target: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let epsilon = V::splat(T::from_f64(POISSON_EPSILON));
            V::splat(T::ONE).sub(target.div(prediction.add(epsilon)))
        }
    }
}

impl<T: Element> Regression<T> for Quantile {
    #[inline(always)]
    fn add(self, prediction: T, target: T, chain: f64) -> f64 {
        let error = (prediction - target).to_f64();
        let slope = if error < 0.0 { -self.0 } else { 1.0 - self.0 };
        slope.mul_add(error, chain)
    }

    #[inline(always)]
    unsafe fn gradient<V: Arithmetic<Element = T>>(self, prediction: V, target: V) -> V {
        let (below, above) = (T::from_f64(-self.0), T::from_f64(1.0 - self.0));
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { steps(prediction.sub(target), V::splat(below), V::splat(above)) }
    }
}

/// `below` where the error is negative, `above` where it is positive, else the error itself: zero or NaN.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn steps<V: Arithmetic>(error: V, below: V, above: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let zero = V::splat(V::Element::ZERO);
        error.select_less(zero, below, zero.select_less(error, above, error))
    }
}
