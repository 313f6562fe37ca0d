//! Functions of each number by itself: an activation, its derivative, a difference. Results are fresh.

use std::marker::PhantomData;

use super::activation::{Activation, Derivative, Function, with_activation};
use super::level::{Kernel, Level};
use super::vector::{Element, Vector};

/// `out[i] = a(z[i])`
///
/// # Panics
///
/// If the lengths differ.
pub fn activate<T: Element>(level: Level, activation: Activation, z: &[T], out: &mut [T]) {
    with_activation!(activation, F => map::<T, Activate<F>>(level, z, out));
}

/// `out[i] = a′` in terms of `a[i]`
///
/// # Panics
///
/// If the lengths differ.
pub fn derive<T: Element>(level: Level, activation: Activation, a: &[T], out: &mut [T]) {
    with_activation!(activation, F => map::<T, Derive<F>>(level, a, out));
}

/// A function of one register.
trait Map {
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn of<V: Vector>(x: V) -> V;
}

struct Activate<F>(PhantomData<F>);
struct Derive<F>(PhantomData<F>);

impl<F: Function> Map for Activate<F> {
    #[inline(always)]
    unsafe fn of<V: Vector>(z: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { F::function(z) }
    }
}

impl<F: Derivative> Map for Derive<F> {
    #[inline(always)]
    unsafe fn of<V: Vector>(a: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { F::derivative(a) }
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
            while i + V::LANES <= length {
                M::of(V::load(x.add(i))).store(out.add(i));
                i += V::LANES;
            }
            if i < length {
                M::of(V::load_first(x.add(i), length - i)).store_first(out.add(i), length - i);
            }
        }
    }
}
