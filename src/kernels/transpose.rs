//! Rows that become columns: blocks of registers where both sides have them, number by number what is left. Panels and tiles of
//! products (`product.rs`, `pack.rs`) and the results of `across.rs` are made so, and the weights of whole networks through which
//! `small.rs` and `online.rs` go back.
//!
//! What becomes of numbers that are not copied, the padding of rows say, is the caller's to know.

use std::ops::Range;

use super::layout::Place;
use super::level::Kernel;
use super::matrix::Rows;
use super::vector::{Element, Vector};

/// Copies so many rows and columns: a row for each column, in blocks of whole registers of columns, and of rows whole ones and then
/// halves, as far as they go. Its maker vouches that `from` has these rows and columns, that `to` is writable for as many columns and
/// rows, and that they do not overlap.
pub(super) struct Transpose<T> {
    pub from: Rows<*const T>,
    /// Rows and columns.
    pub size: (usize, usize),
    pub to: Rows<*mut T>,
}

impl<T: Element> Kernel<T> for Transpose<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { from, size: (rows, columns), to } = self;
        // SAFETY: the maker vouches for rows and columns of both sides; a CPU of this level has the halves' instructions.
        unsafe {
            let whole = columns / V::LANES * V::LANES;
            let row = transpose_blocks::<V>(from, (0..rows, whole), to);
            let row = transpose_blocks::<V::Half>(from, (row..rows, whole), to);
            let first = if row < rows { 0 } else { whole };
            for column in first..columns {
                for row in if column < whole { row } else { 0 }..rows {
                    to.at(column, row).write(*from.at(row, column));
                }
            }
        }
    }
}

/// The rows of which there are whole blocks; returns the one after them.
///
/// # Safety
///
/// These are rows and columns of both sides, the columns those of whole blocks, and the CPU has the instructions of `V`.
#[inline(always)]
unsafe fn transpose_blocks<V: Vector>(
    from: Rows<*const V::Element>,
    (rows, columns): (Range<usize>, usize),
    to: Rows<*mut V::Element>,
) -> usize {
    let end = rows.end - rows.len() % V::LANES;
    for row in (rows.start..end).step_by(V::LANES) {
        for column in (0..columns).step_by(V::LANES) {
            // SAFETY: the caller's contract.
            unsafe { V::transpose(from.at(row, column), from.stride, to.at(column, row), to.stride) };
        }
    }
    end
}

/// Copies the weights of a layer: a row of some width for each output, with zeros for the padding, so that lanes run along the
/// inputs in the input gradients of whole networks.
///
/// # Safety
///
/// The weights are those of the layer, there is room for these rows, the width is no less than the layer's inputs, and the CPU
/// has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn transpose_weights<V: Vector>(
    weights: *const V::Element,
    layer: &Place,
    to: Rows<*mut V::Element>,
    width: usize,
) {
    let &Place { n_inputs, n_outputs, stride, .. } = layer;
    // SAFETY: rows and columns are those of the weights, and of the copy.
    unsafe {
        V::enter(Transpose { from: Rows { start: weights, stride }, size: (n_inputs, n_outputs), to });
        for output in 0..n_outputs {
            for padding in n_inputs..width {
                to.at(output, padding).write(V::Element::ZERO);
            }
        }
    }
}
