//! The chains of one row: loops over its registers and down the rows of what they are multiplied with, and the step of those rows.

use super::activation::{Derivative, Function};
use super::vector::{Arithmetic, Element, Pair, Vector};

/// Runs the body for the columns of a row, four registers at a time, two or one. (A range with a step costs more than the body.)
macro_rules! for_each_register {
    ($V:ident, $width:expr, |$Registers:ident, $column:ident| $body:expr) => {{
        let mut $column = 0;
        while $column + 4 * $V::LANES <= $width {
            type $Registers<V> = Pair<Pair<V>>;
            $body;
            $column += 4 * $V::LANES;
        }
        if $column + 2 * $V::LANES <= $width {
            type $Registers<V> = Pair<V>;
            $body;
            $column += 2 * $V::LANES;
        }
        if $column < $width {
            type $Registers<V> = V;
            $body;
        }
    }};
}
pub(super) use for_each_register;

/// Runs the body for each row from one place up to another, and for the numbers that belong to it. (Such a loop is not unrolled,
/// which would cost more than its few turns.)
macro_rules! down_the_rows {
    ($first:expr, $end:expr, $stride:expr, ($($numbers:expr),+), |$row:ident, $($number:ident),+| $body:expr) => {{
        let (mut $row, end) = ($first, $end);
        $(let mut $number = $numbers;)+
        while $row != end {
            $body;
            $row = $row.add($stride);
            $($number = $number.add(1);)+
        }
    }};
}
pub(super) use down_the_rows;

/// The registers of some chains: one, or two or four whose chains overlap. A function of all four would keep more numbers at hand
/// than there are registers, so it takes two at a time.
pub(super) trait Chains: Arithmetic {
    /// The activations of pre-activations.
    ///
    /// # Safety
    ///
    /// As for `Arithmetic`.
    unsafe fn activate<F: Function>(self) -> Self;

    /// The derivatives there, from the activations.
    ///
    /// # Safety
    ///
    /// As for `Arithmetic`.
    unsafe fn slope<D: Derivative>(self) -> Self;
}

/// Weights after a step of plain descent. Their gradient is one product: that of an input and a delta.
///
/// # Safety
///
/// As for `Arithmetic`.
#[inline(always)]
pub(super) unsafe fn step<R: Arithmetic>(weights: R, (input, delta): (R, R), learning_rate: R) -> R {
    // SAFETY: the caller's contract.
    unsafe {
        let gradient = input.mul_add(delta, R::splat(R::Element::ZERO)).flush_subnormal();
        gradient.neg_mul_add(learning_rate, weights)
    }
}

macro_rules! whole {
    ($($Registers:ty),*) => {$(
        impl<V: Vector> Chains for $Registers {
            #[inline(always)]
            unsafe fn activate<F: Function>(self) -> Self {
                // SAFETY: the caller's contract.
                unsafe { F::function(self) }
            }

            #[inline(always)]
            unsafe fn slope<D: Derivative>(self) -> Self {
                // SAFETY: the caller's contract.
                unsafe { D::derivative(self) }
            }
        }
    )*};
}
whole!(V, Pair<V>);

impl<V: Vector> Chains for Pair<Pair<V>> {
    #[inline(always)]
    unsafe fn activate<F: Function>(self) -> Self {
        // SAFETY: the caller's contract.
        unsafe { Self(F::function(self.0), F::function(self.1)) }
    }

    #[inline(always)]
    unsafe fn slope<D: Derivative>(self) -> Self {
        // SAFETY: the caller's contract.
        unsafe { Self(D::derivative(self.0), D::derivative(self.1)) }
    }
}
