//! Functions of each number by itself: an activation, its derivative, an exponential. Results are fresh.

use std::marker::PhantomData;

use super::activation::{Activation, Derivative, Function, with_activation};
use super::exp;
use super::level::{Kernel, Level};
use super::vector::{Arithmetic, Element, Pair, Vector};

/// Runs `$body` for the registers of a row of `$columns` numbers: whole ones, then the partial one that is left, of `$n`
/// numbers from `$column` on. `$WHOLE` is for `load_some` and `store_some`.
macro_rules! each_register {
    ($V:ty, $columns:expr, |$column:ident, $n:ident, $WHOLE:ident| $body:block) => {{
        let (columns, lanes) = ($columns, <$V as $crate::kernels::vector::Arithmetic>::LANES);
        let mut $column = 0;
        while $column + lanes <= columns {
            const $WHOLE: bool = true;
            let $n = lanes;
            $body
            $column += lanes;
        }
        if $column < columns {
            const $WHOLE: bool = false;
            let $n = columns - $column;
            $body
        }
    }};
}
pub(super) use each_register;

/// `out[i] = a(z[i])`
///
/// # Panics
///
/// If the lengths differ.
pub fn activate<T: Element>(level: Level, activation: Activation, z: &[T], out: &mut [T]) {
    with_activation!(activation, F => map::<T, Activate<F>>(level, z, out));
}

/// `out[i] = a′` in terms of what is kept of the forward pass: `a[i]`, or the derivative itself
///
/// # Panics
///
/// If the lengths differ.
pub fn derive<T: Element>(level: Level, activation: Activation, a: &[T], out: &mut [T]) {
    with_activation!(activation, F => map::<T, Derive<F>>(level, a, out));
}

/// `out[i] = exp y[i]` for numbers that are not above 0; below the smallest normal number it is 0.
///
/// # Panics
///
/// If the lengths differ.
pub fn exp_of_negative<T: Element>(level: Level, y: &[T], out: &mut [T]) {
    map::<T, ExpOfNegative>(level, y, out);
}

/// A function of the numbers in registers.
trait Map {
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn of<V: Arithmetic>(x: V) -> V;
}

struct Activate<F>(PhantomData<F>);
struct Derive<F>(PhantomData<F>);
struct ExpOfNegative;

impl<F: Function> Map for Activate<F> {
    #[inline(always)]
    unsafe fn of<V: Arithmetic>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { F::function(z) }
    }
}

impl<F: Derivative> Map for Derive<F> {
    #[inline(always)]
    unsafe fn of<V: Arithmetic>(a: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { F::derivative(a) }
    }
}

impl Map for ExpOfNegative {
    #[inline(always)]
    unsafe fn of<V: Arithmetic>(y: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { exp::exp_of_negative(y) }
    }
}

fn map<T: Element, M: Map>(level: Level, x: &[T], out: &mut [T]) {
    assert_eq!(x.len(), out.len(), "lengths of input and result");
    level.run(Apply::<T, M> { x, out, map: PhantomData });
}

struct Apply<'a, T, M> {
    x: &'a [T],
    out: &'a mut [T],
    map: PhantomData<M>,
}

impl<T: Element, M: Map> Kernel<T> for Apply<'_, T, M> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let (x, out, length) = (self.x.as_ptr(), self.out.as_mut_ptr(), self.x.len());
        // SAFETY: both slices have `length` numbers; whole registers end at or before it, a partial one ends there.
        unsafe {
            let mut i = 0;
            while i + V::PANEL <= length {
                M::of(Pair::<V>::load(x.add(i))).store(out.add(i));
                i += V::PANEL;
            }
            if i < length {
                M::of(Pair::<V>::load_first(x.add(i), length - i)).store_first(out.add(i), length - i);
            }
        }
    }
}
