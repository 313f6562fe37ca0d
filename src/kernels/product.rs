//! The one loop nest behind forward pass, input gradient and weight gradient. (`small.rs` and `online.rs` do without blocks.)
//!
//! Each output number is one chain of fused multiply-adds, `k` ascending:
//!
//! ```text
//! out[m, n] = finish( start[n] + Σ_k left(m, k) · right[k, n] )
//! ```
//!
//! The depth is cut into blocks, the rows into blocks that stay in the L2 cache, the columns into panels of two registers.
//! Between two blocks of depth the chains rest in memory, unrounded as they are: neither blocks nor packed copies of the
//! operands ever change a chain. What becomes of a finished chain is the `Finish`.

use std::ops::Range;

use super::ahead::Ahead;
use super::blocks::{Blocks, InPlace, KC, Kind, is_tiny, rest_stride, rest_width};
use super::buffer::{LINE, is_crowded};
use super::few_chains::few_chains;
use super::finish::{AtLevel, AtRest, Finish, FinishAll, Finishes};
use super::level::{Kernel, Level};
use super::matrix::Rows;
use super::micro_kernel::{Left, Panel, Tiles};
use super::pack;
use super::transpose::Transpose;
use super::vector::{Element, Vector};

/// A product of `rows` × `columns` chains, each of `depth` steps.
#[derive(Clone, Copy)]
pub(super) struct Product<T> {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub left: Left<T>,
    pub right: Operand<T>,
    /// The row with which the chains of all rows start: nothing for zeros.
    pub start: Option<Rows<*const T>>,
    /// Where the chains rest between two blocks of depth and until they are finished: in the outputs, or, where there are
    /// none yet or they lie the other way, in the workspace.
    pub rest: Option<Rows<*mut T>>,
    /// Where the first of what `finish` reads beside the chains lies, row by row: it is fetched in time.
    pub beside: Option<Rows<*const T>>,
}

/// The right operand as it comes.
#[derive(Clone, Copy)]
pub(super) enum Operand<T> {
    /// Row `k` holds the numbers of step `k`.
    Rows(Rows<*const T>),
    /// Row `n` holds the numbers of column `n`: its panels are always transposed copies.
    Columns(Rows<*const T>),
}

impl<T> Product<T> {
    /// Rows of the left operand are read number by number, panels of the right one by registers: those begin at cache lines and
    /// take two of them or more, since of a shorter one a line comes for each step all the same (forward at 1024 wide: 3 % lost
    /// at avx2, 3 to 5 % gained at avx512). Neither are to begin in few sets of the L1 cache.
    fn in_place<V: Vector<Element = T>>(&self) -> InPlace {
        let bytes = |stride: usize| stride.wrapping_mul(size_of::<T>());
        let right = match self.right {
            Operand::Columns(_) => false,
            Operand::Rows(Rows { start, stride }) => {
                let is_aligned = start.addr().is_multiple_of(LINE) && bytes(stride).is_multiple_of(LINE);
                is_aligned && !is_crowded::<T>(stride) && bytes(V::PANEL) >= 2 * LINE
            }
        };
        InPlace { left: self.left.step == 1 && !is_crowded::<T>(self.left.row), right }
    }
}

/// Numbers of workspace that a product of `rows` × `columns` chains of `depth` steps takes.
pub(super) fn workspace<V: Vector>(kind: Kind, size: (usize, usize, usize)) -> usize {
    if is_tiny::<V>(kind, size) {
        return 0;
    }
    let blocks = Blocks::of::<V>(kind, size, InPlace::NEITHER);
    blocks.left + blocks.right + blocks.rest
}

/// Runs the whole product.
///
/// # Panics
///
/// If the workspace is smaller than `workspace` says.
///
/// # Safety
///
/// `left` is readable for `rows` × `depth`, `right` for `depth` × `columns`, `start` for `columns` numbers, `rest` writable
/// for `rows` × `columns`, `finish` accepts all outputs of that size, and the CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector, F: Finish<V::Element>>(
    product: &Product<V::Element>,
    finish: &F,
    workspace: &mut [V::Element],
) {
    // SAFETY: the caller's contract.
    unsafe { multiply_and_finish::<V, V, F>(product, finish, workspace) }
}

/// The same at a level whose registers are narrow for short rows: where these lie without gaps, they are finished as one long
/// row, for which the widest registers are the best.
///
/// # Panics
///
/// As for `multiply`.
///
/// # Safety
///
/// As for `multiply`, at this level.
#[inline(always)]
pub(super) unsafe fn multiply_at<V: Vector, F: Finish<V::Element>>(
    level: Level,
    product: &Product<V::Element>,
    finish: &F,
    workspace: &mut [V::Element],
) {
    // SAFETY: the caller's contract; a level that is narrowed comes of AVX-512.
    unsafe {
        if level.is_narrowed() && finish.stride() == Some(product.columns) {
            multiply_and_finish::<V, <V::Element as Element>::Avx512, F>(product, finish, workspace);
        } else {
            multiply::<V, F>(product, finish, workspace);
        }
    }
}

/// # Safety
///
/// As for `multiply`, and the CPU has the instructions of `W`.
#[inline(always)]
unsafe fn multiply_and_finish<V, W, F>(product: &Product<V::Element>, finish: &F, workspace: &mut [V::Element])
where
    V: Vector,
    W: Vector<Element = V::Element>,
    F: Finish<V::Element>,
{
    // SAFETY: the caller's contract.
    unsafe { multiply_with::<V>(product, &AtLevel::<W, F>::new(finish), workspace) }
}

/// The same with what finishes its chains behind a pointer already.
///
/// # Panics
///
/// As for `multiply`.
///
/// # Safety
///
/// As for `multiply`.
#[inline(always)]
pub(super) unsafe fn multiply_with<V: Vector>(
    product: &Product<V::Element>,
    finish: &dyn FinishAll<V::Element>,
    workspace: &mut [V::Element],
) {
    // SAFETY: the caller's contract.
    unsafe { V::enter(Multiply { product, finishes: Finishes { all: finish, sums: None }, workspace }) }
}

/// Runs the whole product, and sums the rows of the right operand, which is the product with a row of ones: one row, of
/// which `finish_sums` is told.
///
/// # Panics
///
/// As for `multiply`; there is also to be room for a product of one row, and for one of a row more.
///
/// # Safety
///
/// As for `multiply`; `finish_sums` accepts one row of outputs.
#[inline(always)]
pub(super) unsafe fn multiply_and_sum<V: Vector, F: Finish<V::Element>>(
    product: &Product<V::Element>,
    (finish, finish_sums): (&F, &F),
    workspace: &mut [V::Element],
) {
    let rows = product.rows + 1;
    // Few columns have few sums, and a chain by itself keeps the units waiting: there it goes along with others.
    if product.columns <= V::PANEL && !is_tiny::<V>(Kind::Update, (rows, product.columns, product.depth)) {
        let [finish, sums] = [finish, finish_sums].map(AtLevel::<V, F>::new);
        let product = &Product { rows, ..*product };
        // SAFETY: the caller's contract; the last row of the left operand is not read: of so few columns no operand is packed.
        unsafe { V::enter(Multiply { product, finishes: Finishes { all: &finish, sums: Some(&sums) }, workspace }) }
    } else {
        let one = V::Element::ONE;
        let sums = Product { rows: 1, left: Left { start: &raw const one, row: 0, step: 0 }, ..*product };
        // SAFETY: the caller's contract, twice.
        unsafe {
            multiply::<V, F>(product, finish, workspace);
            multiply::<V, F>(&sums, finish_sums, workspace);
        }
    }
}

struct Multiply<'a, T> {
    product: &'a Product<T>,
    finishes: Finishes<'a, T>,
    workspace: &'a mut [T],
}

impl<T: Element> Kernel<T> for Multiply<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { product, finishes, workspace } = self;
        let kind = match (product.right, product.rest) {
            (Operand::Columns(_), Some(_)) => Kind::InputGradient,
            (Operand::Columns(_), None) => Kind::InputGradientAcross,
            (_, Some(_)) => Kind::Forward,
            (_, None) => Kind::Update,
        };
        let size = (product.rows, product.columns, product.depth);
        if is_tiny::<V>(kind, size) {
            // SAFETY: the caller's contract.
            return unsafe { few_chains::<V>(product, finishes.all) };
        }
        let blocks = Blocks::of::<V>(kind, size, product.in_place::<V>());
        assert!(workspace.len() >= blocks.left + blocks.right + blocks.rest, "the workspace is too small");
        let workspace = workspace.as_mut_ptr();
        let mut done = 0;
        loop {
            let depth = done..product.depth.min(done + KC);
            let mut first = 0;
            while first < product.rows {
                let rows = first..product.rows.min(first + blocks.rows);
                let finishes = Finishes { sums: finishes.sums.filter(|_| rows.end == product.rows), ..finishes };
                // SAFETY: blocks cover rows below `rows` and steps below `depth`; the workspace has just been measured.
                unsafe { block::<V>(product, finishes, blocks, workspace, rows, depth.clone()) };
                first += blocks.rows;
            }
            done = depth.end;
            if done == product.depth {
                break;
            }
        }
    }
}

/// One block of rows and depth, all its columns.
///
/// # Safety
///
/// As for `multiply`, and the workspace has the numbers that `blocks` says.
#[inline(always)]
unsafe fn block<V: Vector>(
    product: &Product<V::Element>,
    finishes: Finishes<'_, V::Element>,
    blocks: Blocks,
    workspace: *mut V::Element,
    rows: Range<usize>,
    depth: Range<usize>,
) {
    let (columns, width) = (product.columns, V::PANEL);
    let has_copies = blocks.copy_left || blocks.copy_right;
    let mut left = product.left.from(rows.start, depth.start);
    // SAFETY: panels cover columns below `columns`; the copies and the chains at rest have the sizes of `blocks`.
    unsafe {
        if blocks.copy_left {
            V::enter(pack::LeftTiles { rows: rows.len(), depth: depth.len(), left, to: workspace });
            left.start = workspace;
        }
        let copy = workspace.add(blocks.left);
        let at_rest = copy.add(blocks.right);
        let mut column = 0;
        while column < columns {
            // Copies come in panels of two, also where the last block of rows has few.
            let n_rows = if has_copies { usize::MAX } else { rows.len() };
            let panel = Panel::next::<V>(columns - column, n_rows, blocks.copy_left);
            let n = panel.columns::<V>();
            let right = match product.right {
                Operand::Rows(right) if !blocks.copy_right => right.from(depth.start, column),
                from => {
                    let kept = if blocks.rows < product.rows { column / width } else { 0 };
                    let copy = copy.add(kept * width * depth.len());
                    if rows.start == 0 && column.is_multiple_of(width) {
                        pack_panel::<V>(from, depth.clone(), column..columns.min(column + width), copy);
                    }
                    Rows { start: copy.cast_const().add(column % width), stride: width }
                }
            };
            let rest = resting_place::<V>(product, at_rest, (rows.start, column), n);
            let start = match product.start {
                _ if depth.start > 0 => Some(rest.as_const()),
                start => start.map(|start| start.from(0, column)),
            };
            let ahead = ahead::<V>(product, blocks, right, (rows.clone(), column), depth.clone());
            let ones = finishes.sums.is_some();
            let dense = n == columns && rest.stride == n && depth.start == 0;
            let tiles =
                Tiles { rows: rows.len(), depth: depth.len(), left, right, ahead, start, rest, panel, ones, dense };
            tiles.run::<V>(blocks.copy_left);
            if depth.end == product.depth {
                let (mut rows, rest) = (rows.clone(), rest.as_const());
                if let Some(sums) = finishes.sums {
                    rows.end -= 1;
                    let rest = rest.from(rows.len(), 0);
                    sums.finish_all(AtRest { rest, rows: 0..1, column, width: n });
                }
                finishes.all.finish_all(AtRest { rest, rows, column, width: n });
            }
            column += n;
        }
    }
}

/// Where the chains of a panel rest, from its first row and column on: in the outputs; or in the workspace, all of them if there is
/// more than one block of depth.
///
/// # Safety
///
/// These are a row and a column of the product, and `workspace` has the numbers that `Blocks` says.
#[inline(always)]
unsafe fn resting_place<V: Vector>(
    product: &Product<V::Element>,
    workspace: *mut V::Element,
    (row, column): (usize, usize),
    columns: usize,
) -> Rows<*mut V::Element> {
    // SAFETY: the caller's contract.
    unsafe {
        match product.rest {
            Some(outputs) => Rows { start: outputs.at(row, column), ..outputs },
            None if product.depth <= KC => {
                let stride = columns.next_multiple_of(V::LANES);
                debug_assert!(stride <= rest_width::<V>(product.columns), "more than has room");
                Rows { start: workspace, stride }
            }
            None => {
                let all = Rows { start: workspace, stride: rest_stride::<V>(product.columns) };
                Rows { start: all.at(row, column), ..all }
            }
        }
    }
}

/// What the last tile of the panel `right` fetches: what the finish reads beside the chains, where it follows, or else the panel
/// that comes next. None of it for the last panel: behind it may be what another thread writes, and the CPU fetches lines beyond
/// those that it is asked for (784-128-10, 32 in float32 took a quarter more on two threads).
fn ahead<V: Vector>(
    product: &Product<V::Element>,
    blocks: Blocks,
    right: Rows<*const V::Element>,
    (rows, column): (Range<usize>, usize),
    depth: Range<usize>,
) -> Ahead<V::Element> {
    if !blocks.fetch_ahead || column + 2 * V::PANEL >= product.columns {
        return Ahead::NOTHING;
    }
    match (product.right, product.beside) {
        (_, Some(beside)) if depth.end == product.depth => {
            Ahead { rows: beside.from(rows.start, column), n_rows: rows.len() }
        }
        (Operand::Rows(_), _) if !blocks.copy_right => Ahead { rows: right.from(0, V::PANEL), n_rows: depth.len() },
        _ => Ahead::NOTHING,
    }
}

/// Packs one panel of the right operand.
///
/// # Safety
///
/// The operand has these steps and columns, at most two registers of them; `to` is writable for a panel.
#[inline(always)]
unsafe fn pack_panel<V: Vector>(
    from: Operand<V::Element>,
    depth: Range<usize>,
    columns: Range<usize>,
    to: *mut V::Element,
) {
    // SAFETY: the caller's contract.
    unsafe {
        match from {
            Operand::Rows(rows) => {
                let from = rows.from(depth.start, columns.start);
                V::enter(pack::Panel { from, depth: depth.len(), columns: columns.len(), to });
            }
            Operand::Columns(rows) => {
                let (from, size) = (rows.from(columns.start, depth.start), (columns.len(), depth.len()));
                V::enter(Transpose { from, size, to: Rows { start: to, stride: V::PANEL } });
            }
        }
    }
}
