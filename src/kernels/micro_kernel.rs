//! The micro kernel: `ROWS` × `REGISTERS` chains in registers, over one block of depth.
//!
//! The lanes of a register run along the columns, where the rows of the right operand are contiguous; the left operand is
//! read one number at a time and broadcast, so that it may lie in any order: this is how one kernel serves all three
//! products. How outputs are grouped into tiles never changes a chain.

use super::ahead::Ahead;
use super::level::Kernel;
use super::matrix::Rows;
use super::vector::{Element, Vector};

/// The left operand: `left(m, k)` at `start + m * row + k * step`, unless it is packed (`pack.rs`).
#[derive(Clone, Copy)]
pub(super) struct Left<T> {
    pub start: *const T,
    pub row: usize,
    pub step: usize,
}

impl<T> Left<T> {
    /// The same operand from some row and step on, which may be its end.
    pub(super) fn from(self, row: usize, step: usize) -> Self {
        // Where there is nothing to read there may be no numbers to point at.
        let offset = row.wrapping_mul(self.row).wrapping_add(step.wrapping_mul(self.step));
        Self { start: self.start.wrapping_add(offset), ..self }
    }
}

/// Rows of the tile that comes next where so many are left: at most `most`, and all tiles share them equally, since a low
/// tile has too few chains to keep the multiply-add units busy.
#[inline(always)]
pub(super) fn height(most: usize, rows: usize) -> usize {
    rows.div_ceil(rows.div_ceil(most))
}

/// Registers of the panel that comes next where so many whole ones are left: one row has one chain per register, two have two,
/// and more registers keep the units busy.
#[inline(always)]
pub(super) fn registers(left: usize, rows: usize) -> usize {
    match left {
        8.. if rows == 1 => 8,
        4.. if rows <= 2 => 4,
        2.. => 2,
        _ => 1,
    }
}

/// The chains of all rows in some registers of columns.
#[derive(Clone, Copy)]
pub(super) struct Tiles<T> {
    pub rows: usize,
    pub depth: usize,
    pub left: Left<T>,
    pub right: Rows<*const T>,
    /// What comes after the last of two registers' tiles.
    pub ahead: Ahead<T>,
    /// Where the chains start: nothing for zeros.
    pub start: Option<Rows<*const T>>,
    /// Where they rest.
    pub rest: Rows<*mut T>,
    /// The lanes in use, of a single register.
    pub n: usize,
    /// The last row of the left operand is not there: it is ones.
    pub ones: bool,
    /// Rows of fewer numbers than a register rest without gaps, and are written for the first time: what is stored beyond
    /// one of them is overwritten by those that follow.
    pub dense: bool,
}

impl<T: Element> Tiles<T> {
    /// Runs the tiles of so many registers: 1 or 2, the left operand packed or not, or 4 or 8, which is not packed.
    ///
    /// # Safety
    ///
    /// All operands have these rows, steps and columns, 4 registers come with at most two rows and 8 with one, neither with a
    /// packed operand, which has no row of ones, and the CPU has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn run_with<V: Vector<Element = T>>(self, registers: usize, packed: bool) {
        debug_assert!(!self.ones || registers <= 2 && !packed, "ones stand below few columns");
        // SAFETY: the caller's contract.
        unsafe {
            match (registers, self.n == V::LANES, packed, self.ones) {
                (1, false, false, false) => V::enter(Column::<T, 1, false, false, false>(self)),
                (1, false, false, true) => V::enter(Column::<T, 1, false, false, true>(self)),
                (1, false, true, _) => V::enter(Column::<T, 1, false, true, false>(self)),
                (1, true, false, false) => V::enter(Column::<T, 1, true, false, false>(self)),
                (1, true, false, true) => V::enter(Column::<T, 1, true, false, true>(self)),
                (1, true, true, _) => V::enter(Column::<T, 1, true, true, false>(self)),
                (2, _, false, false) => V::enter(Column::<T, 2, true, false, false>(self)),
                (2, _, false, true) => V::enter(Column::<T, 2, true, false, true>(self)),
                (2, _, true, _) => V::enter(Column::<T, 2, true, true, false>(self)),
                (4, _, false, _) => V::enter(Column::<T, 4, true, false, false>(self)),
                (8, _, false, _) => V::enter(Column::<T, 8, true, false, false>(self)),
                _ => unreachable!("a packed operand comes in panels of two registers"),
            }
        }
    }
}

/// Tiles of a known shape: `WHOLE` registers or `n` lanes of one, the left operand `PACKED` or not, with `ONES` below it or not.
struct Column<T, const REGISTERS: usize, const WHOLE: bool, const PACKED: bool, const ONES: bool>(Tiles<T>);

impl<T, const REGISTERS: usize, const WHOLE: bool, const PACKED: bool, const ONES: bool>
    Column<T, REGISTERS, WHOLE, PACKED, ONES>
{
    /// Rows of the highest tile: beside a single register of columns there is room for twice as many.
    const fn most<V: Vector>() -> usize {
        if REGISTERS == 1 && !PACKED && V::MR < 12 { 2 * V::MR } else { V::MR }
    }
}

impl<T: Element, const REGISTERS: usize, const WHOLE: bool, const PACKED: bool, const ONES: bool> Kernel<T>
    for Column<T, REGISTERS, WHOLE, PACKED, ONES>
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let tiles = self.0;
        let mut row = 0;
        macro_rules! tile_of {
            ($rows:expr; $($height:literal)*) => {
                match $rows {
                    $(
                        // SAFETY: rows `row..row + height` are below `rows`; the rest is the caller's contract.
                        $height if $height <= Self::most::<V>() && (REGISTERS <= 2 || $height * REGISTERS <= 8) => unsafe {
                            if ONES && row + $height == tiles.rows {
                                tile::<V, $height, REGISTERS, WHOLE, PACKED, true>(&tiles, row);
                            } else {
                                tile::<V, $height, REGISTERS, WHOLE, PACKED, false>(&tiles, row);
                            }
                        },
                    )*
                    _ => unreachable!("a tile of more rows than the registers hold"),
                }
            };
        }
        while row < tiles.rows {
            let height = height(Self::most::<V>(), tiles.rows - row);
            tile_of!(height; 1 2 3 4 5 6 7 8 9 10 11 12);
            row += height;
        }
    }
}

/// One register tile, of whose last row the factors may be `ONES`.
///
/// # Safety
///
/// As for `Tiles::run_with`, for these rows.
#[inline(always)]
unsafe fn tile<
    V: Vector,
    const ROWS: usize,
    const REGISTERS: usize,
    const WHOLE: bool,
    const PACKED: bool,
    const ONES: bool,
>(
    tiles: &Tiles<V::Element>,
    row: usize,
) {
    let &Tiles { depth, left, right, start, rest, n, dense, .. } = tiles;
    // SAFETY: every index below is a row, a step or a column of the operands, which the caller vouches for.
    unsafe {
        let mut chains = [[V::splat(V::Element::ZERO); REGISTERS]; ROWS];
        if let Some(start) = start.filter(|start| start.stride == 0) {
            let first: [V; REGISTERS] = std::array::from_fn(|j| V::load_some::<WHOLE>(start.at(0, j * V::LANES), n));
            chains = [first; ROWS];
        } else if let Some(start) = start {
            for (i, chains) in chains.iter_mut().enumerate() {
                for (j, chain) in chains.iter_mut().enumerate() {
                    *chain = V::load_some::<WHOLE>(start.at(row + i, j * V::LANES), n);
                }
            }
        }
        let (tile, row_step, step) =
            if PACKED { (row * depth, 1, ROWS) } else { (row.wrapping_mul(left.row), left.row, left.step) };
        let left_start = left.start.wrapping_add(tile);
        // Chains that rest between blocks of depth have left the caches meanwhile, where they are many.
        let ahead = match start {
            _ if REGISTERS != 2 => Ahead::NOTHING,
            _ if row + ROWS == tiles.rows => tiles.ahead,
            Some(start) if start.stride > 0 => {
                Ahead { rows: start.from(row + ROWS, 0), n_rows: ROWS.min(tiles.rows - row - ROWS) }
            }
            _ => Ahead::NOTHING,
        };
        for k in 0..depth {
            ahead.fetch::<V>(k);
            let mut registers = [V::splat(V::Element::ZERO); REGISTERS];
            for (j, register) in registers.iter_mut().enumerate() {
                *register = V::load_some::<WHOLE>(right.at(k, j * V::LANES), n);
            }
            // A row of ones by itself reads nothing.
            let left_column = if ONES && ROWS == 1 { left_start } else { left_start.add(k * step) };
            for (i, chains) in chains.iter_mut().enumerate() {
                if ONES && i == ROWS - 1 {
                    for (chain, register) in chains.iter_mut().zip(registers) {
                        *chain = register.add(*chain); // one product with 1 and the sum are one rounding too
                    }
                    continue;
                }
                let factor = V::splat(*left_column.add(i * row_step));
                for (chain, register) in chains.iter_mut().zip(registers) {
                    *chain = factor.mul_add(register, *chain);
                }
            }
        }
        let has_room = !WHOLE && dense && (tiles.rows - row - ROWS) * n >= V::LANES;
        for (i, chains) in chains.iter().enumerate() {
            for (j, chain) in chains.iter().enumerate() {
                let to = rest.at(row + i, j * V::LANES);
                if has_room { chain.store(to) } else { chain.store_some::<WHOLE>(to, n) }
            }
        }
    }
}
