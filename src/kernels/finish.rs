//! What becomes of a product's chains once they are complete: a `Finish`, run at a level over chains at rest.

use std::marker::PhantomData;
use std::ops::Range;

use super::level::Kernel;
use super::matrix::Rows;
use super::vector::{Arithmetic, Element, Pair, Vector};

/// What becomes of the chains of a product: activation, derivative, or the update of the weights.
pub(super) trait Finish<T: Element> {
    /// Takes the last values of the `n` chains from `(row, column)` on (`n` is `LANES` where `WHOLE`).
    ///
    /// # Safety
    ///
    /// These outputs lie inside the product, and the CPU has the instructions of `V`.
    unsafe fn finish<V: Arithmetic<Element = T>, const WHOLE: bool>(
        &self,
        chains: V,
        row: usize,
        column: usize,
        n: usize,
    );

    /// Numbers from each row to the next, if they are as many wherever `finish` reads and writes.
    fn stride(&self) -> Option<usize>;
}

/// Some chains at rest: those of `rows` and of `width` columns from `column` on, from `rest` on.
pub(super) struct AtRest<T> {
    pub rest: Rows<*const T>,
    pub rows: Range<usize>,
    pub column: usize,
    pub width: usize,
}

impl<T> AtRest<T> {
    /// All of a product, or of a panel that is finished as one.
    pub(super) fn all(rest: Rows<*const T>, rows: usize, width: usize) -> Self {
        Self { rest, rows: 0..rows, column: 0, width }
    }
}

/// A `Finish` at a level, behind a pointer: the loop nest is compiled once, whatever becomes of its chains.
pub(super) trait FinishAll<T> {
    /// Finishes them.
    ///
    /// # Safety
    ///
    /// They are readable, their outputs lie inside the product, and the CPU has the level's instructions.
    unsafe fn finish_all(&self, chains: AtRest<T>);
}

/// At the level of the registers `V`.
pub(super) struct AtLevel<'a, V, F> {
    finish: &'a F,
    level: PhantomData<V>,
}

impl<'a, V, F> AtLevel<'a, V, F> {
    pub(super) fn new(finish: &'a F) -> Self {
        Self { finish, level: PhantomData }
    }
}

impl<V: Vector, F: Finish<V::Element>> FinishAll<V::Element> for AtLevel<'_, V, F> {
    unsafe fn finish_all(&self, chains: AtRest<V::Element>) {
        // SAFETY: the caller's contract.
        unsafe { V::enter(Finishing { finish: self.finish, chains }) }
    }
}

/// A function of its own for each way to finish.
pub(super) struct Finishing<'a, T, F> {
    pub(super) finish: &'a F,
    pub(super) chains: AtRest<T>,
}

impl<T: Element, F: Finish<T>> Kernel<T> for Finishing<'_, T, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { finish, chains: AtRest { rest, mut rows, column, mut width } } = self;
        // Whole rows without gaps are one long row, more of which is finished at a time.
        if rest.stride == width && finish.stride() == Some(width) {
            width *= rows.len();
            rows.end = rows.start + 1;
        }
        let mut j = 0;
        macro_rules! down_the_rows {
            ($Registers:ty, $whole:literal, $n:expr) => {{
                for row in rows.clone() {
                    let chains = <$Registers>::load_some::<$whole>(rest.at(row - rows.start, j), $n);
                    finish.finish::<$Registers, $whole>(chains, row, column + j, $n);
                }
            }};
        }
        // SAFETY: these are outputs of the product, as whoever runs it vouches.
        unsafe {
            while j + V::PANEL <= width {
                down_the_rows!(Pair<V>, true, V::PANEL);
                j += V::PANEL;
            }
            if j + V::LANES <= width {
                down_the_rows!(V, true, V::LANES);
                j += V::LANES;
            }
            if j < width {
                down_the_rows!(V, false, width - j);
            }
        }
    }
}

/// What becomes of the chains.
#[derive(Clone, Copy)]
pub(super) struct Finishes<'a, T> {
    pub all: &'a dyn FinishAll<T>,
    /// Where the last row of the left operand is not there but is ones: those of that row.
    pub sums: Option<&'a dyn FinishAll<T>>,
}
