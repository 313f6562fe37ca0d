//! Input gradients with the inputs as rows and the samples as columns, where the weights are many for the samples.
//!
//! ```text
//! d[b, i]  = ( Σ_o weights[i, o] · deltas[b, o] ) · derivative[b, i]
//! ```
//!
//! The lanes run along the samples: the deltas are transposed, and so are the results, instead of the weights, which are read number
//! by number where they lie. The chains are the same.

use super::buffer::is_crowded;
use super::finish::{AtLevel, AtRest, Finish, FinishAll};
use super::matrix::Rows;
use super::product::{Product, multiply_with};
use super::transpose::Transpose;
use super::vector::Vector;

/// The most samples for which this is done, through weights whose rows are `stride` numbers apart: deltas and results are at most half
/// as many as the weights, whose rows are not to begin in few sets of the cache. (With half as many, 128 samples at 512 wide, it brings
/// nothing yet, with 16 or 32 of them 2 to 5 % of a step; Zen 4.)
pub(super) fn most_samples<T>((n_inputs, n_outputs): (usize, usize), stride: usize) -> usize {
    if is_crowded::<T>(stride) {
        return 0;
    }
    n_inputs.saturating_mul(n_outputs) / n_inputs.saturating_add(n_outputs).saturating_mul(2).max(1)
}

/// Whether it is done for so many samples: they are to fill their registers (15 for one of 16 cost a third more at 64 wide).
pub(super) fn pays<V: Vector>(n_samples: usize, widths: (usize, usize), stride: usize) -> bool {
    let is_whole = n_samples > 0 && n_samples.is_multiple_of(V::LANES);
    is_whole && n_samples <= most_samples::<V::Element>(widths, stride)
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
    let finish = &Across { finish: AtLevel::<V, F>::new(finish), out };
    // SAFETY: the caller's contract.
    unsafe { multiply_with::<V>(product, finish, workspace) }
}

/// A `Finish` of chains that lie across.
struct Across<'a, V: Vector, F> {
    finish: AtLevel<'a, V, F>,
    out: Rows<*mut V::Element>,
}

impl<V: Vector, F: Finish<V::Element>> FinishAll<V::Element> for Across<'_, V, F> {
    unsafe fn finish_all(&self, AtRest { rest, rows, column, width }: AtRest<V::Element>) {
        // SAFETY: the caller's contract: these are outputs of the product, whose rows and columns are columns and rows of `out`.
        unsafe {
            let out = Rows { start: self.out.at(column, rows.start), ..self.out };
            V::enter(Transpose { from: rest, size: (rows.len(), width), to: out });
            let chains =
                AtRest { rest: out.as_const(), rows: column..column + width, column: rows.start, width: rows.len() };
            self.finish.finish_all(chains);
        }
    }
}
