//! Mirrors: for each layer but the first its weights transposed, in rows as wide as those of the layer before.
//!
//! Here the chains of an input gradient lie in lanes, as those of the forward pass do in the weights themselves. A mirror takes
//! the steps of its weights, whose gradients are single products: the same numbers come out.

use crate::kernels::activation::Derivative;
use crate::kernels::layout::Place;
use crate::kernels::registers::{Chains, down_the_rows, for_each_register};
use crate::kernels::transpose::transpose_weights;
use crate::kernels::vector::{Arithmetic, Element, Pair, Vector};

/// The mirror of one layer's weights.
pub(super) struct Mirror<T> {
    pub(super) start: *mut T,
    /// The row after the last: ones, with zeros for the padding.
    pub(super) mask: *mut T,
    /// The width of a row: that of the layer before.
    pub(super) width: usize,
}

impl<T: Element> Mirror<T> {
    /// That of weights with so many outputs, of which each is a row of some width, from `start` on.
    ///
    /// # Safety
    ///
    /// There is room for these rows and one more.
    #[inline(always)]
    pub(super) unsafe fn of(start: *mut T, n_outputs: usize, width: usize) -> Self {
        // SAFETY: the caller's contract.
        Self { start, mask: unsafe { start.add(n_outputs * width) }, width }
    }

    /// Copies the weights.
    ///
    /// # Safety
    ///
    /// The pointers are those of the layer, and the CPU has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn fill<V: Vector<Element = T>>(&self, weights: *const T, layer: &Place) {
        // SAFETY: the caller's contract.
        unsafe {
            transpose_weights::<V>(weights, layer, self.start, self.width);
            for input in 0..self.width {
                self.mask.add(input).write(if input < layer.n_inputs { T::ONE } else { T::ZERO });
            }
        }
    }

    /// The deltas of the layer before. Those of its padding are no numbers of it (`Place::width`).
    ///
    /// # Safety
    ///
    /// The pointers are those of the layer, and the CPU has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn input_gradient<V: Vector<Element = T>, D: Derivative>(
        &self,
        deltas: *const T,
        input: *const T,
        out: *mut T,
    ) {
        // SAFETY: rows are whole registers, one for each delta.
        unsafe {
            for_each_register!(V, self.width, |Registers, column| {
                let mut chain = Registers::<V>::splat(T::ZERO);
                let (start, end) = (self.start.add(column), self.mask.add(column));
                down_the_rows!(start, end, self.width, deltas, |row, delta| {
                    chain = Registers::<V>::splat(*delta).mul_add(Registers::<V>::load(row), chain);
                });
                let slope = Registers::<V>::load(input.add(column)).slope::<D>();
                chain.mul(slope).flush_subnormal().store(out.add(column));
            });
        }
    }

    /// The step of the weights once more; its padding too.
    ///
    /// # Safety
    ///
    /// As for `input_gradient`.
    #[inline(always)]
    pub(super) unsafe fn update<V: Vector<Element = T>>(&self, learning_rate: T, input: *const T, deltas: *const T) {
        // SAFETY: as above.
        unsafe {
            for_each_register!(V, self.width, |Registers, column| {
                let (zero, learning_rate) = (Registers::<V>::splat(T::ZERO), Registers::<V>::splat(learning_rate));
                let (start, end) = (self.start.add(column), self.mask.add(column));
                let input = Registers::<V>::load(input.add(column)).mul(Registers::<V>::load(end));
                down_the_rows!(start, end, self.width, deltas, |row, delta| {
                    let gradient = input.mul_add(Registers::<V>::splat(*delta), zero).flush_subnormal();
                    gradient.neg_mul_add(learning_rate, Registers::<V>::load(row)).store(row);
                });
            });
        }
    }
}
