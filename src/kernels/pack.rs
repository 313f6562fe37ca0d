//! Packed copies of a product's operands, in the order in which the micro kernel reads them.
//!
//! A panel of the right operand has rows of two registers, one for each step. The left operand is cut into the tiles of
//! `height`: each step's numbers of a tile lie side by side.

use super::level::Kernel;
use super::micro_kernel::{Left, height};
use super::vector::{Element, Vector};

/// Copies `depth` rows of at most two registers into rows of two registers, of which the rest becomes zero.
pub(super) struct Panel<T> {
    pub from: *const T,
    pub stride: usize,
    pub depth: usize,
    pub columns: usize,
    pub to: *mut T,
}

impl<T: Element> Kernel<T> for Panel<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { from, stride, depth, columns, to } = self;
        let width = V::PANEL;
        // SAFETY: the maker of the panel vouches for `depth` rows of `columns` numbers, and for as many of `width` to
        // write.
        unsafe {
            if columns == width {
                for k in 0..depth {
                    let (from, to) = (from.add(k * stride), to.add(k * width));
                    let (a, b) = (V::load(from), V::load(from.add(V::LANES)));
                    a.store(to);
                    b.store(to.add(V::LANES));
                }
            } else {
                for k in 0..depth {
                    for column in 0..width {
                        let number = if column < columns { *from.add(k * stride + column) } else { T::ZERO };
                        to.add(k * width + column).write(number);
                    }
                }
            }
        }
    }
}

/// Copies `columns` rows (at most two registers of them) of `depth` numbers, transposed, into rows of two registers, of
/// which the rest becomes zero.
pub(super) struct TransposedPanel<T> {
    pub from: *const T,
    pub stride: usize,
    pub depth: usize,
    pub columns: usize,
    pub to: *mut T,
}

impl<T: Element> Kernel<T> for TransposedPanel<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { from, stride, depth, columns, to } = self;
        let (lanes, width) = (V::LANES, V::PANEL);
        // SAFETY: whole blocks are used only where both sides have them; the rest goes number by number.
        unsafe {
            for column in [0, lanes] {
                let mut k = 0;
                while column + lanes <= columns && k + lanes <= depth {
                    V::transpose(from.add(column * stride + k), stride, to.add(k * width + column), width);
                    k += lanes;
                }
                while k < depth {
                    for i in column..column + lanes {
                        let number = if i < columns { *from.add(i * stride + k) } else { T::ZERO };
                        to.add(k * width + i).write(number);
                    }
                    k += 1;
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
        } else {
            for k in 0..depth {
                for i in 0..HEIGHT {
                    *to.add(k * HEIGHT + i) = *left.start.add(i * left.row + k * left.step);
                }
            }
        }
    }
}
