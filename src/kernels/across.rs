//! Input gradients with the inputs as rows and the samples as columns, where the weights are many for the samples.
//!
//! ```text
//! d[b, i]  = ( Σ_o weights[i, o] · deltas[b, o] ) · derivative[b, i]
//! ```
//!
//! The lanes run along the samples: the deltas are transposed, and so are the results, instead of the weights, which are read number
//! by number where they lie. The chains are the same.

use std::marker::PhantomData;

use super::buffer::is_crowded;
use super::finish::{AtRest, Finish, FinishAll, Finishes, Finishing};
use super::matrix::Rows;
use super::product::{Multiply, Product};
use super::transpose::Transpose;
use super::vector::Vector;

/// The most samples for which this is done: deltas and results are at most half as many as the weights.
pub(super) fn most_samples((n_inputs, n_outputs): (usize, usize)) -> usize {
    n_inputs.saturating_mul(n_outputs) / n_inputs.saturating_add(n_outputs).saturating_mul(2).max(1)
}

/// Whether it is done for so many samples, through weights whose rows are `stride` numbers apart: they are not to begin in few sets
/// of the cache, and the samples are to fill their registers.
pub(super) fn pays<V: Vector>(n_samples: usize, widths: (usize, usize), stride: usize) -> bool {
    let empty = n_samples.next_multiple_of(V::LANES) - n_samples;
    n_samples <= most_samples(widths) && 8 * empty <= n_samples && !is_crowded::<V::Element>(stride)
}

/// Runs the whole product, of which blocks of chains are transposed into `out` before they are finished.
///
/// # Panics
///
/// If the workspace is smaller than `workspace` says.
///
/// # Safety
///
/// As for `product::multiply`, with a right operand that comes as columns and chains that rest in the workspace; `out` is writable
/// for `columns` × `rows`, and `finish` accepts all outputs of that size.
#[inline(always)]
pub(super) unsafe fn multiply_across<V: Vector, F: Finish<V::Element>>(
    product: &Product<V::Element>,
    finish: &F,
    out: Rows<*mut V::Element>,
    workspace: &mut [V::Element],
) {
    let finish = &Across::<V, F> { finish, out, level: PhantomData };
    // SAFETY: the caller's contract.
    unsafe { V::enter(Multiply { product, finishes: Finishes { all: finish, sums: None }, workspace }) }
}

/// A `Finish` of chains that lie across.
struct Across<'a, V: Vector, F> {
    finish: &'a F,
    out: Rows<*mut V::Element>,
    level: PhantomData<V>,
}

impl<V: Vector, F: Finish<V::Element>> FinishAll<V::Element> for Across<'_, V, F> {
    unsafe fn finish_all(&self, AtRest { rest, rows, column, width }: AtRest<V::Element>) {
        // SAFETY: the caller's contract: these are outputs of the product, whose rows and columns are columns and rows of `out`.
        unsafe {
            let out = Rows { start: self.out.at(column, rows.start), ..self.out };
            V::enter(Transpose { from: rest, size: (rows.len(), width), to: out });
            let chains =
                AtRest { rest: out.as_const(), rows: column..column + width, column: rows.start, width: rows.len() };
            V::enter(Finishing { finish: self.finish, chains });
        }
    }
}
