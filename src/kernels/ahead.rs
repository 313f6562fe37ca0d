//! `Ahead`: rows that are fetched into the caches, one with each step of a tile, for what comes after it.
//!
//! What a panel needs lies in rows far from each other, which the CPU does not foresee: the chains with which the next tile goes on, the
//! panel that comes next, or what its finish reads beside the chains. Fetching changes no number, and may name memory that is not there.

use super::buffer::LINE;
use super::matrix::Rows;
use super::vector::Vector;

/// So many rows of two registers, of which a tile fetches as many as it has steps.
#[derive(Clone, Copy)]
pub(super) struct Ahead<T> {
    pub rows: Rows<*const T>,
    pub n_rows: usize,
}

impl<T> Ahead<T> {
    pub(super) const NOTHING: Self = Self { rows: Rows { start: std::ptr::null(), stride: 0 }, n_rows: 0 };

    /// Fetches the lines that begin in a row, if there is such a row.
    #[inline(always)]
    pub(super) fn fetch<V: Vector<Element = T>>(&self, row: usize) {
        if row < self.n_rows {
            let start = self.rows.from(row, 0).start.cast::<u8>();
            for line in 0..(V::PANEL * size_of::<T>()).div_ceil(LINE) {
                fetch_line(start.wrapping_add(line * LINE));
            }
        }
    }
}

#[inline(always)]
fn fetch_line(from: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which every CPU of this target has and which never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}
