//! Products of so few steps that blocks, tiles and copies would cost more than they bring.

use std::mem::MaybeUninit;

use super::blocks::FEW_STEPS;
use super::finish::{AtRest, FinishAll};
use super::matrix::Rows;
use super::product::{Operand, Product};
use super::vector::{Arithmetic, Element, Pair, Vector};

/// Chains of single numbers beside each other: as many as keep the multiply-add units busy.
const CHAINS: usize = 8;

/// The numbers of the most chains that are few: as many registers as steps, of a level's widest.
const FEW_NUMBERS: usize = FEW_STEPS * 16;

/// A tiny product of contiguous rows, one or four registers after the other, or number by number where the right operand comes as columns.
///
/// # Safety
///
/// As for `multiply`; the product is tiny.
#[inline(always)]
pub(super) unsafe fn few_chains<V: Vector>(product: &Product<V::Element>, finish: &dyn FinishAll<V::Element>) {
    let &Product { rows, columns, depth, left, right, start, .. } = product;
    let left = |row: usize, k: usize| left.start.wrapping_add(row.wrapping_mul(left.row) + k.wrapping_mul(left.step));
    const { assert!(V::LANES <= FEW_NUMBERS / FEW_STEPS, "a register for each step") };
    let mut numbers = [MaybeUninit::<V::Element>::uninit(); FEW_NUMBERS];
    let rest = product.rest.unwrap_or(Rows { start: numbers.as_mut_ptr().cast(), stride: columns });
    macro_rules! chain {
        ($Registers:ty, $whole:literal, $right:expr, $row:expr, $column:expr, $n:expr) => {{
            type Registers<V> = $Registers;
            let mut chain = match start {
                Some(start) => Registers::<V>::load_some::<$whole>(start.at(0, $column), $n),
                None => Registers::<V>::splat(V::Element::ZERO),
            };
            for k in 0..depth {
                let right = Registers::<V>::load_some::<$whole>($right.at(k, $column), $n);
                chain = Registers::<V>::splat(*left($row, k)).mul_add(right, chain);
            }
            chain.store_some::<$whole>(rest.at($row, $column), $n);
        }};
    }
    // SAFETY: rows, columns and steps are those of the product, which the caller vouches for. It is tiny, so that its chains
    // have room among `numbers`: a register of them takes at least one step.
    unsafe {
        for row in 0..rows {
            match right {
                Operand::Rows(right) => {
                    let mut column = 0;
                    while column + 4 * V::LANES <= columns {
                        chain!(Pair<Pair<V>>, true, right, row, column, 4 * V::LANES);
                        column += 4 * V::LANES;
                    }
                    while column + V::LANES <= columns {
                        chain!(V, true, right, row, column, V::LANES);
                        column += V::LANES;
                    }
                    if column < columns {
                        chain!(V, false, right, row, column, columns - column);
                    }
                }
                Operand::Columns(right) => {
                    for column in (0..columns).step_by(CHAINS) {
                        let mut chains = [V::Element::ZERO; CHAINS];
                        let n = CHAINS.min(columns - column);
                        // Whole columns are taken for those that are missing, which are the first one again.
                        let rights: [_; CHAINS] =
                            std::array::from_fn(|i| right.at(column + if i < n { i } else { 0 }, 0));
                        for k in 0..depth {
                            let factor = *left(row, k);
                            for (chain, right) in chains.iter_mut().zip(rights) {
                                *chain = factor.mul_add(*right.add(k), *chain);
                            }
                        }
                        rest.at(row, column).copy_from_nonoverlapping(chains.as_ptr(), n);
                    }
                }
            }
        }
        finish.finish_all(AtRest { rest: rest.as_const(), rows: 0..rows, column: 0, width: columns });
    }
}
