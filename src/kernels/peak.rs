//! The limit of the machine: fused multiply-adds that wait for nothing but each other, for benchmarks to compare with.

use std::marker::PhantomData;

use super::level::{Kernel, Level};
use super::vector::{Element, Vector};

/// Chains beside each other: more than latency times throughput of any multiply-add unit so far, and few enough for the
/// registers of every level.
const CHAINS: usize = 12;

/// Takes `steps` steps in registers only; returns the floating-point operations done.
#[must_use]
pub fn multiply_adds<T: Element>(level: Level, steps: usize) -> usize {
    level.run(Peak { steps, number: PhantomData::<T> })
}

struct Peak<T> {
    steps: usize,
    number: PhantomData<T>,
}

impl<T: Element> Kernel<T> for Peak<T> {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> usize {
        // SAFETY: the CPU has the instructions of `V` (contract of `Kernel`); nothing else is asked for.
        unsafe {
            let (factor, addend) = (V::splat(T::from_f64(0.999)), V::splat(T::from_f64(1e-3)));
            let mut chains = [factor; CHAINS];
            for (chain, start) in chains.iter_mut().zip(1_u8..) {
                // Unknown to the compiler, so that no two chains are one.
                *chain = V::splat(std::hint::black_box(T::from_f64(f64::from(start))));
            }
            for _ in 0..self.steps {
                for chain in &mut chains {
                    *chain = chain.mul_add(factor, addend);
                }
            }
            std::hint::black_box(&chains);
        }
        self.steps * CHAINS * V::LANES * 2
    }
}
