//! Packed copies of a product's operands, in the order in which the micro kernel reads them.
//!
//! A panel of the right operand has rows of two registers, one for each step. The left operand is cut into the tiles of
//! `height`: each step's numbers of a tile lie side by side.

use super::level::Kernel;
use super::matrix::Rows;
use super::micro_kernel::{Left, height};
use super::transpose::Transpose;
use super::vector::{Element, Vector};

/// Copies `depth` rows of at most two registers into rows of two registers.
pub(super) struct Panel<T> {
    pub from: Rows<*const T>,
    pub depth: usize,
    pub columns: usize,
    pub to: *mut T,
}

impl<T: Element> Kernel<T> for Panel<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { from, depth, columns, to } = self;
        let to = Rows { start: to, stride: V::PANEL };
        // SAFETY: the maker of the panel vouches for `depth` rows of `columns` numbers, and for as many of two registers to
        // write.
        unsafe {
            for k in 0..depth {
                if columns == V::PANEL {
                    for column in [0, V::LANES] {
                        V::load(from.at(k, column)).store(to.at(k, column));
                    }
                } else {
                    to.at(k, 0).copy_from_nonoverlapping(from.at(k, 0), columns);
                }
            }
        }
    }
}

/// Copies rows of the left operand into tiles.
pub(super) struct LeftTiles<T> {
    pub rows: usize,
    pub depth: usize,
    pub left: Left<T>,
    pub to: *mut T,
}

impl<T: Element> Kernel<T> for LeftTiles<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { rows, depth, left, to } = self;
        let mut row = 0;
        macro_rules! tile_of {
            ($rows:expr; $($height:literal)*) => {
                match $rows {
                    // SAFETY: the maker of the copy vouches for `rows` × `depth` numbers on both sides.
                    $($height if $height <= V::MR => unsafe {
                        tile::<V, $height>(left.from(row, 0), depth, to.add(row * depth));
                    },)*
                    _ => unreachable!("a tile of more rows than the registers hold"),
                }
            };
        }
        while row < rows {
            let height = height(V::MR, rows - row);
            tile_of!(height; 1 2 3 4 5 6 7 8 9 10 11 12);
            row += height;
        }
    }
}

/// Rows of a tile from which on it is copied in blocks: lower ones, those of avx2, took 4 to 15 % more of a forward pass (Zen 4).
const BLOCK: usize = 8;

/// # Safety
///
/// `left` has `HEIGHT` rows of `depth` steps, and `to` is writable for as many numbers.
#[inline(always)]
unsafe fn tile<V: Vector, const HEIGHT: usize>(left: Left<V::Element>, depth: usize, to: *mut V::Element) {
    // SAFETY: the caller's contract.
    unsafe {
        if left.row == 1 {
            for k in 0..depth {
                std::ptr::copy_nonoverlapping(left.start.add(k * left.step), to.add(k * HEIGHT), HEIGHT);
            }
        } else if left.step == 1 && HEIGHT >= BLOCK {
            let rows = Rows { start: left.start, stride: left.row };
            V::enter(Transpose { from: rows, size: (HEIGHT, depth), to: Rows { start: to, stride: HEIGHT } });
        } else {
            for k in 0..depth {
                for i in 0..HEIGHT {
                    *to.add(k * HEIGHT + i) = *left.start.add(i * left.row + k * left.step);
                }
            }
        }
    }
}
