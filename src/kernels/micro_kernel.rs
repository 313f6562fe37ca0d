//! The micro kernel: some rows of chains in registers, over one block of depth.
//!
//! The lanes of a register run along the columns, where the rows of the right operand are contiguous; the left operand is
//! read one number at a time and broadcast, so that it may lie in any order: this is how one kernel serves all three
//! products. How outputs are grouped into tiles never changes a chain.

use std::marker::PhantomData;

use super::ahead::Ahead;
use super::level::Kernel;
use super::matrix::Rows;
use super::vector::{Arithmetic, Element, Pair, Vector};

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

/// The columns that tiles take at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Panel {
    /// So many registers: 1, 2, 4 or 8.
    Whole(usize),
    /// A register, and half of one.
    OneAndHalf,
    /// Half of a register.
    Half,
    /// So many lanes of one.
    Lanes(usize),
}

impl Panel {
    /// The one that comes next where so many columns are left: one row has one chain per register, two have two, and more registers
    /// keep the units busy. Halves go with an operand that is not packed, at a level that has them.
    #[inline(always)]
    pub(super) fn next<V: Vector>(columns: usize, rows: usize, packed: bool) -> Self {
        let half = V::Half::LANES < V::LANES && columns % V::LANES == V::Half::LANES && !packed;
        match columns / V::LANES {
            8.. if rows == 1 => Self::Whole(8),
            4.. if rows <= 2 => Self::Whole(4),
            2.. => Self::Whole(2),
            1 if half => Self::OneAndHalf,
            1 => Self::Whole(1),
            _ if half => Self::Half,
            _ => Self::Lanes(columns),
        }
    }

    /// Its columns.
    #[inline(always)]
    pub(super) fn columns<V: Vector>(self) -> usize {
        match self {
            Self::Whole(registers) => registers * V::LANES,
            Self::OneAndHalf => V::LANES + V::Half::LANES,
            Self::Half => V::Half::LANES,
            Self::Lanes(n) => n,
        }
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
    /// Their columns.
    pub panel: Panel,
    /// The last row of the left operand is not there: it is ones.
    pub ones: bool,
    /// Rows of fewer numbers than a register rest without gaps, and are written for the first time: what is stored beyond
    /// one of them is overwritten by those that follow.
    pub dense: bool,
}

impl<T: Element> Tiles<T> {
    /// Runs the tiles, the left operand packed or not.
    ///
    /// # Safety
    ///
    /// All operands have these rows, steps and columns, 4 registers come with at most two rows and 8 with one, neither they nor halves
    /// with a packed operand, which has no row of ones, and the CPU has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn run<V: Vector<Element = T>>(self, packed: bool) {
        debug_assert!(!(self.ones && packed), "ones stand below few columns");
        // SAFETY: the caller's contract; a CPU of this level has the halves' instructions.
        unsafe {
            match (self.panel, packed, self.ones) {
                (Panel::Lanes(_), false, false) => V::enter(Column::<T, One, false, false, false>::of(self)),
                (Panel::Lanes(_), false, true) => V::enter(Column::<T, One, false, false, true>::of(self)),
                (Panel::Lanes(_), true, _) => V::enter(Column::<T, One, false, true, false>::of(self)),
                (Panel::Whole(1), false, false) => V::enter(Column::<T, One, true, false, false>::of(self)),
                (Panel::Whole(1), false, true) => V::enter(Column::<T, One, true, false, true>::of(self)),
                (Panel::Whole(1), true, _) => V::enter(Column::<T, One, true, true, false>::of(self)),
                (Panel::Whole(2), false, false) => V::enter(Column::<T, Two, true, false, false>::of(self)),
                (Panel::Whole(2), false, true) => V::enter(Column::<T, Two, true, false, true>::of(self)),
                (Panel::Whole(2), true, _) => V::enter(Column::<T, Two, true, true, false>::of(self)),
                (Panel::Whole(4), false, false) => V::enter(Column::<T, Four, true, false, false>::of(self)),
                (Panel::Whole(8), false, false) => V::enter(Column::<T, Eight, true, false, false>::of(self)),
                (Panel::OneAndHalf, false, false) => V::enter(Column::<T, OneAndHalf, true, false, false>::of(self)),
                (Panel::OneAndHalf, false, true) => V::enter(Column::<T, OneAndHalf, true, false, true>::of(self)),
                (Panel::Half, false, false) => V::Half::enter(Column::<T, One, true, false, false>::of(self)),
                (Panel::Half, false, true) => V::Half::enter(Column::<T, One, true, false, true>::of(self)),
                _ => unreachable!("a packed operand comes in panels of at most two registers"),
            }
        }
    }
}

/// The registers of a row of chains in a panel.
trait Shape {
    type Of<V: Vector>: Arithmetic<Element = V::Element>;
}

macro_rules! shapes {
    ($($Name:ident: $Registers:ty;)*) => {$(
        struct $Name;

        impl Shape for $Name {
            type Of<V: Vector> = $Registers;
        }
    )*};
}
shapes! {
    One: V;
    OneAndHalf: Pair<V, V::Half>;
    Two: Pair<V>;
    Four: Pair<Pair<V>>;
    Eight: Pair<Pair<Pair<V>>>;
}

/// Tiles of a known shape: `WHOLE` registers or some lanes of one, the left operand `PACKED` or not, with `ONES` below it or not.
struct Column<T, S, const WHOLE: bool, const PACKED: bool, const ONES: bool> {
    tiles: Tiles<T>,
    shape: PhantomData<S>,
}

impl<T, S: Shape, const WHOLE: bool, const PACKED: bool, const ONES: bool> Column<T, S, WHOLE, PACKED, ONES> {
    fn of(tiles: Tiles<T>) -> Self {
        Self { tiles, shape: PhantomData }
    }

    /// Rows of the highest tile: those of a tile of two registers, of one of more as many as have eight, and beside a single one there
    /// is room for twice as many.
    const fn most<V: Vector>() -> usize {
        let registers = S::Of::<V>::LANES.div_ceil(V::LANES);
        match registers {
            1 if !PACKED && V::MR < 12 => 2 * V::MR,
            1 | 2 => V::MR,
            _ => 8 / registers,
        }
    }
}

impl<T: Element, S: Shape, const WHOLE: bool, const PACKED: bool, const ONES: bool> Kernel<T>
    for Column<T, S, WHOLE, PACKED, ONES>
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let tiles = self.tiles;
        let mut row = 0;
        macro_rules! tile_of {
            ($rows:expr; $($height:literal)*) => {
                match $rows {
                    $(
                        // SAFETY: rows `row..row + height` are below `rows`; the rest is the caller's contract.
                        $height if $height <= Self::most::<V>() => unsafe {
                            if ONES && row + $height == tiles.rows {
                                tile::<V, S::Of<V>, $height, WHOLE, PACKED, true>(&tiles, row);
                            } else {
                                tile::<V, S::Of<V>, $height, WHOLE, PACKED, false>(&tiles, row);
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
/// As for `Tiles::run`, for these rows, with the registers `R` of the panel.
#[inline(always)]
unsafe fn tile<
    V: Vector,
    R: Arithmetic<Element = V::Element>,
    const ROWS: usize,
    const WHOLE: bool,
    const PACKED: bool,
    const ONES: bool,
>(
    tiles: &Tiles<V::Element>,
    row: usize,
) {
    let &Tiles { depth, left, right, start, rest, panel, dense, .. } = tiles;
    let n = if WHOLE { R::LANES } else { panel.columns::<V>() };
    // SAFETY: every index below is a row, a step or a column of the operands, which the caller vouches for.
    unsafe {
        let mut chains = [R::splat(V::Element::ZERO); ROWS];
        if let Some(start) = start.filter(|start| start.stride == 0) {
            chains = [R::load_some::<WHOLE>(start.at(0, 0), n); ROWS];
        } else if let Some(start) = start {
            for (i, chain) in chains.iter_mut().enumerate() {
                *chain = R::load_some::<WHOLE>(start.at(row + i, 0), n);
            }
        }
        let (tile, row_step, step) =
            if PACKED { (row * depth, 1, ROWS) } else { (row.wrapping_mul(left.row), left.row, left.step) };
        let left_start = left.start.wrapping_add(tile);
        // Chains that rest between blocks of depth have left the caches meanwhile, where they are many.
        let ahead = match start {
            _ if R::LANES != V::PANEL => Ahead::NOTHING,
            _ if row + ROWS == tiles.rows => tiles.ahead,
            Some(start) if start.stride > 0 => {
                Ahead { rows: start.from(row + ROWS, 0), n_rows: ROWS.min(tiles.rows - row - ROWS) }
            }
            _ => Ahead::NOTHING,
        };
        for k in 0..depth {
            ahead.fetch::<V>(k);
            let registers = R::load_some::<WHOLE>(right.at(k, 0), n);
            // A row of ones by itself reads nothing.
            let left_column = if ONES && ROWS == 1 { left_start } else { left_start.add(k * step) };
            for (i, chain) in chains.iter_mut().enumerate() {
                *chain = if ONES && i == ROWS - 1 {
                    registers.add(*chain) // one product with 1 and the sum are one rounding too
                } else {
                    R::splat(*left_column.add(i * row_step)).mul_add(registers, *chain)
                };
            }
        }
        let has_room = !WHOLE && dense && (tiles.rows - row - ROWS) * n >= V::LANES;
        for (i, chain) in chains.iter().enumerate() {
            let to = rest.at(row + i, 0);
            if has_room { chain.store(to) } else { chain.store_some::<WHOLE>(to, n) }
        }
    }
}
