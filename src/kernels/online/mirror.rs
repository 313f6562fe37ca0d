//! Mirrors: for each layer but the first its weights transposed, in rows as wide as those of the layer before.
//!
//! Here the chains of an input gradient lie in lanes, as those of the forward pass do in the weights themselves. A mirror takes
//! the steps of its weights, whose gradients are single products: the same numbers come out. It takes each when it is next gone
//! through: with the exact gradient it is a step behind until then.

use super::passes::Factors;
use crate::kernels::activation::{Activation, with_activation};
use crate::kernels::buffer::stride_of;
use crate::kernels::layout::Place;
use crate::kernels::matrix::Rows;
use crate::kernels::registers::{Chains, down_the_rows, for_each_register, step};
use crate::kernels::transpose::transpose_weights;
use crate::kernels::vector::{Arithmetic, Element, Pair, Vector};

/// The mirror of one layer's weights: where it lies among all mirrors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mirror {
    start: usize,
    n_rows: usize,
    /// The width of a row: that of the layer before.
    width: usize,
    stride: usize,
}

impl Mirror {
    /// Those of each layer but the first, and the numbers of all, if they can be counted.
    pub(super) fn all<T>(layers: &[Place]) -> Option<(Vec<Self>, usize)> {
        let (mut mirrors, mut start) = (Vec::with_capacity(layers.len()), 0_usize);
        for pair in layers.windows(2) {
            let (n_rows, width) = (pair[1].n_outputs, pair[0].width);
            let stride = stride_of::<T>(width, n_rows);
            mirrors.push(Self { start, n_rows, width, stride });
            start = n_rows.checked_add(1)?.checked_mul(stride)?.checked_add(start)?;
        }
        Some((mirrors, start))
    }

    /// Its first row, and the one after the last, which holds ones, and zeros for the padding.
    ///
    /// # Safety
    ///
    /// It lies among them.
    #[inline(always)]
    unsafe fn rows<T>(&self, mirrored: *mut T) -> (*mut T, *mut T) {
        // SAFETY: the caller's contract.
        unsafe {
            let start = mirrored.add(self.start);
            (start, start.add(self.n_rows * self.stride))
        }
    }

    /// Copies the weights.
    ///
    /// # Safety
    ///
    /// The pointers are those of the layer, it lies among the mirrors, and the CPU has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn fill<V: Vector>(&self, layer: &Place, weights: *const V::Element, mirrored: *mut V::Element) {
        // SAFETY: the caller's contract.
        unsafe {
            let (start, mask) = self.rows(mirrored);
            transpose_weights::<V>(weights, layer, Rows { start, stride: self.stride }, self.width);
            for input in 0..self.width {
                mask.add(input).write(if input < layer.n_inputs { V::Element::ONE } else { V::Element::ZERO });
            }
        }
    }

    /// The deltas of the layer before, from its activations and the deltas of this one; those of its padding are no numbers of it
    /// (`Place::width`). If the weights still have to take a step, they do so on the way, and the padding of the mirror too.
    ///
    /// # Safety
    ///
    /// As for `fill`.
    #[inline(always)]
    pub(super) unsafe fn input_gradient<V: Vector>(
        &self,
        owed: Option<Factors<V::Element>>,
        activation: Activation,
        (input, deltas): (*const V::Element, *const V::Element),
        out: *mut V::Element,
        mirrored: *mut V::Element,
    ) {
        // SAFETY: rows are whole registers, one for each delta.
        unsafe {
            let (first, mask) = self.rows(mirrored);
            for_each_register!(V, self.width, |Registers, column| {
                let mut chain = Registers::<V>::splat(V::Element::ZERO);
                let (start, end) = (first.add(column), mask.add(column));
                if let Some(owed) = owed {
                    let learning_rate = Registers::<V>::splat(owed.learning_rate);
                    let factor = Registers::<V>::load(owed.input.add(column)).mul(Registers::<V>::load(end));
                    down_the_rows!(start, end, self.stride, (deltas, owed.deltas), |row, delta, delta_before| {
                        let factors = (factor, Registers::<V>::splat(*delta_before));
                        let weights = step(Registers::<V>::load(row), factors, learning_rate);
                        weights.store(row);
                        chain = Registers::<V>::splat(*delta).mul_add(weights, chain);
                    });
                } else {
                    down_the_rows!(start, end, self.stride, (deltas), |row, delta| {
                        chain = Registers::<V>::splat(*delta).mul_add(Registers::<V>::load(row), chain);
                    });
                }
                let input = Registers::<V>::load(input.add(column));
                let slope = with_activation!(activation, D => input.slope::<D>());
                chain.mul(slope).flush_subnormal().store(out.add(column));
            });
        }
    }
}
