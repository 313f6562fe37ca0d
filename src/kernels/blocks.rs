//! How a product is cut for the caches: blocks of depth and of rows, the operands that are copied into panels, and those that are
//! read where they lie.
//!
//! Nothing here changes a chain (`product.rs`).

use super::buffer::is_crowded;
use super::vector::Vector;

/// Steps of a chain between two rests. A panel of the right operand then has 16 KiB at avx2, half of an L1 cache; at avx512, with
/// all of it, 128, 192, 384 and 512 were slower all the same (1 to 8 % at 1024 wide, Zen 4).
pub(super) const KC: usize = 256;

/// What a block of rows of the left operand may take of the L2 cache.
const LEFT_BYTES: usize = 320 * 1024;

/// Products with so much in memory find too little of it in the L2 cache (half of 1 MiB on Zen 4): what comes next is fetched before it
/// is needed, which takes 2 to 5 % of a step at 784-512-512-10, 128 and 1024 wide, 256, and nothing below.
const FAR_BYTES: usize = 512 * 1024;

/// The three products, one of them in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Chains rest in the outputs.
    Forward,
    /// Chains rest in the outputs; the right operand comes as columns.
    InputGradient,
    /// The same with rows and columns exchanged (`across.rs`): chains rest in the workspace.
    InputGradientAcross,
    /// Chains rest in the workspace.
    Update,
}

impl Kind {
    /// Whether the right operand comes as columns.
    pub(super) fn is_of_columns(self) -> bool {
        matches!(self, Self::InputGradient | Self::InputGradientAcross)
    }
}

/// How a product is cut and what it copies, decided by its size and by how its operands lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// Rows in a block.
    pub rows: usize,
    pub copy_left: bool,
    pub copy_right: bool,
    pub fetch_ahead: bool,
    /// Numbers of workspace: for the copy of the left operand, of the right one, and for chains at rest.
    pub left: usize,
    pub right: usize,
    pub rest: usize,
}

/// The operands whose rows can be read well where they lie.
#[derive(Clone, Copy)]
pub(super) struct InPlace {
    pub left: bool,
    pub right: bool,
}

impl InPlace {
    /// What a product takes the most workspace for.
    pub(super) const NEITHER: Self = Self { left: false, right: false };
}

impl Blocks {
    pub(super) fn of<V: Vector>(kind: Kind, (rows, columns, depth): (usize, usize, usize), in_place: InPlace) -> Self {
        let (size, width) = (size_of::<V::Element>(), V::PANEL);
        let most = (LEFT_BYTES / (KC * size) / V::MR * V::MR).max(V::MR);
        let block = if rows <= most { rows } else { rows.div_ceil(rows.div_ceil(most)).next_multiple_of(V::MR) };
        let step = depth.min(KC);
        // A copy costs about as much as two to four steps of its numbers: it is made where they serve often (rows of the left
        // operand that lie well: beyond 32 panels, at 512 to 1024 wide on Zen 4), and where the operand does not lie in the L1 cache anyhow.
        let often = if in_place.left { 33 * width } else { 8 * width };
        let copy_left = rows > 2 && columns >= often && rows.saturating_mul(step) * size > 32 * 1024;
        let has_three_tiles = rows >= 3 * V::MR;
        let serves = has_three_tiles && columns > width && depth.saturating_mul(columns) * size > 16 * 1024;
        let copy_right = kind.is_of_columns() || serves && !in_place.right;
        let fetch_ahead = has_three_tiles && depth.max(rows).saturating_mul(columns).saturating_mul(size) > FAR_BYTES;
        // The workspace is that of the largest block, so that fewer rows or steps never take more of it.
        let largest = rows.min(most);
        let left = if copy_left { (largest * step).next_multiple_of(width) } else { 0 };
        let panels = if block < rows { columns.div_ceil(width) } else { 1 };
        let right = if copy_right { panels * width * step } else { 0 };
        let rest = match kind {
            Kind::Forward | Kind::InputGradient => 0,
            Kind::InputGradientAcross | Kind::Update if depth <= KC => largest * rest_width::<V>(columns),
            Kind::InputGradientAcross | Kind::Update => rows * rest_stride::<V>(columns),
        };
        Self { rows: block, copy_left, copy_right, fetch_ahead, left, right, rest }
    }
}

/// The most numbers in a row of chains that rest until their panel is finished: eight registers.
pub(super) fn rest_width<V: Vector>(columns: usize) -> usize {
    (8 * V::LANES).min(columns.next_multiple_of(V::LANES))
}

/// Numbers from one row to the next of chains that rest in the workspace between blocks of depth: a register more where rows would
/// begin in few sets of the cache (not a line, so that fewer columns never take more).
pub(super) fn rest_stride<V: Vector>(columns: usize) -> usize {
    let width = columns.next_multiple_of(V::LANES);
    if is_crowded::<V::Element>(width) { width + V::LANES } else { width }
}

/// Steps of all chains of a product up to which blocks, tiles and copies cost more than they bring: a step takes a fraction
/// of a nanosecond, and they take some 50 ns (measured at 1 to 16 rows of 8 to 32 numbers).
pub(super) const FEW_STEPS: usize = 128;

/// Rows of such a product: what tiles spare in each of them is little, but it adds up.
const FEW_ROWS: usize = 16;

/// Whether a product is one, which `few_chains.rs` runs.
pub(super) fn is_tiny<V: Vector>(kind: Kind, (rows, columns, depth): (usize, usize, usize)) -> bool {
    let lanes = if kind.is_of_columns() { 2 } else { V::LANES };
    let steps = rows.saturating_mul(columns.div_ceil(lanes)).saturating_mul(depth);
    rows <= FEW_ROWS && (1..=FEW_STEPS).contains(&steps)
}
