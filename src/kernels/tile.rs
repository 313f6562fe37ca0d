//! The one loop nest behind forward pass, input gradient and weight gradient.
//!
//! Each output number is one chain of fused multiply-adds, `k` ascending:
//!
//! ```text
//! out[m, n] = finish( start(m, n) + Σ_k left(m, k) · right[k, n] )
//! ```
//!
//! The lanes of a register run along `n`, where the rows of `right` are contiguous; `left` is read one number at a
//! time and broadcast, so that it may lie in any order: this is how one kernel serves all three products without a
//! transposed copy. A register tile keeps `ROWS` × `REGISTERS` chains in registers for the whole of `k`; how outputs
//! are grouped into tiles never changes a chain. What starts a chain and what becomes of it is the `Tile`.

use super::level::Kernel;
use super::vector::{Element, Vector};

/// The left operand: `left(m, k)` at `start + m * row + k * step`.
#[derive(Clone, Copy)]
pub(super) struct Left<T> {
    pub start: *const T,
    pub row: usize,
    pub step: usize,
}

/// The right operand: row `k` at `start + k * stride`.
#[derive(Clone, Copy)]
pub(super) struct Right<T> {
    pub start: *const T,
    pub stride: usize,
}

/// How the chains of a product start and finish: bias and activation, derivative, or the update of the weights.
pub(super) trait Tile<T: Element> {
    /// The chains' first values for the `n` outputs from `(row, column)` on (`n` is `LANES` where `WHOLE`).
    ///
    /// # Safety
    ///
    /// These outputs lie inside the product, and the CPU has the instructions of `V`.
    unsafe fn start<V: Vector<Element = T>, const WHOLE: bool>(&self, row: usize, column: usize, n: usize) -> V;

    /// Takes the chains' last values.
    ///
    /// # Safety
    ///
    /// As for `start`.
    unsafe fn finish<V: Vector<Element = T>, const WHOLE: bool>(&self, chains: V, row: usize, column: usize, n: usize);
}

/// The whole product of `rows` × `columns` outputs, each a chain of `depth` steps.
///
/// # Safety
///
/// `left` is readable for `rows` × `depth`, `right` for `depth` rows of `columns` numbers, the tile accepts all
/// outputs of that size, and the CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector, C: Tile<V::Element>>(
    (rows, columns, depth): (usize, usize, usize),
    left: Left<V::Element>,
    right: Right<V::Element>,
    tile: &C,
) {
    let mut column = 0;
    // SAFETY: each panel covers columns below `columns`, all rows and the whole depth.
    unsafe {
        // One row has only one chain per register: four registers keep the multiply-add units busy.
        while rows == 1 && column + 4 * V::LANES <= columns {
            let (row, n) = (0, V::LANES);
            let tile = MicroKernel::<_, C, 1, 4, true> { depth, left, right, tile, row, column, n };
            V::enter(tile);
            column += 4 * V::LANES;
        }
        while column + 2 * V::LANES <= columns {
            panel::<V, C, 2, true>((rows, depth), left, right, tile, column, V::LANES);
            column += 2 * V::LANES;
        }
        if column + V::LANES <= columns {
            panel::<V, C, 1, true>((rows, depth), left, right, tile, column, V::LANES);
            column += V::LANES;
        }
        if column < columns {
            panel::<V, C, 1, false>((rows, depth), left, right, tile, column, columns - column);
        }
    }
}

/// All rows of `REGISTERS` registers of columns, in tiles as high as the register file allows.
///
/// # Safety
///
/// As for `multiply`, for the columns of this panel.
#[inline(always)]
unsafe fn panel<V: Vector, C: Tile<V::Element>, const REGISTERS: usize, const WHOLE: bool>(
    (rows, depth): (usize, usize),
    left: Left<V::Element>,
    right: Right<V::Element>,
    tile: &C,
    column: usize,
    n: usize,
) {
    let mut row = 0;
    macro_rules! tiles_of {
        ($($height:literal),*) => {$(
            while V::MR >= $height && rows - row >= $height {
                let tile = MicroKernel::<_, C, $height, REGISTERS, WHOLE> {
                    depth, left, right, tile, row, column, n,
                };
                // SAFETY: rows `row..row + height` are below `rows`; the columns are the caller's.
                unsafe { V::enter(tile) };
                row += $height;
            }
        )*};
    }
    tiles_of!(12, 6, 4, 2, 1);
}

/// One register tile: `ROWS` × `REGISTERS` chains over the whole depth.
struct MicroKernel<'a, T, C, const ROWS: usize, const REGISTERS: usize, const WHOLE: bool> {
    depth: usize,
    left: Left<T>,
    right: Right<T>,
    tile: &'a C,
    row: usize,
    column: usize,
    n: usize,
}

impl<T: Element, C: Tile<T>, const ROWS: usize, const REGISTERS: usize, const WHOLE: bool> Kernel<T>
    for MicroKernel<'_, T, C, ROWS, REGISTERS, WHOLE>
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { depth, left, right, tile, row, column, n } = self;
        // SAFETY: every index below stays inside the tile, which `multiply`'s caller vouches for.
        unsafe {
            let mut chains = [[V::splat(T::ZERO); REGISTERS]; ROWS];
            for (i, chains) in chains.iter_mut().enumerate() {
                for (j, chain) in chains.iter_mut().enumerate() {
                    *chain = tile.start::<V, WHOLE>(row + i, column + j * V::LANES, n);
                }
            }
            // Where the depth is 0 there may be no numbers to point at.
            let left_start = left.start.wrapping_add(row.wrapping_mul(left.row));
            let right_start = right.start.wrapping_add(column);
            for k in 0..depth {
                let right_row = right_start.add(k * right.stride);
                let mut registers = [V::splat(T::ZERO); REGISTERS];
                for (j, register) in registers.iter_mut().enumerate() {
                    *register = V::load_some::<WHOLE>(right_row.add(j * V::LANES), n);
                }
                let left_column = left_start.add(k * left.step);
                for (i, chains) in chains.iter_mut().enumerate() {
                    let factor = V::splat(*left_column.add(i * left.row));
                    for (chain, register) in chains.iter_mut().zip(registers) {
                        *chain = factor.mul_add(register, *chain);
                    }
                }
            }
            // A tall tile is finished one register after the other from memory: unrolled, the activation would stand
            // here ROWS × REGISTERS times. The copy leaves `chains` itself in registers.
            let finished = chains;
            if ROWS * REGISTERS > 2 {
                std::hint::black_box(&finished);
            }
            for (i, chains) in finished.iter().enumerate() {
                for (j, &chain) in chains.iter().enumerate() {
                    tile.finish::<V, WHOLE>(chain, row + i, column + j * V::LANES, n);
                }
            }
        }
    }
}
