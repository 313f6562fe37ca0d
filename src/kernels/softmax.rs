//! Softmax of each row, forward beside backward, in place.
//!
//! ```text
//! softmax   a[o] = exp(z[o] − max z) / S      S = Σ_o exp(z[o] − max z)       (B, O)
//! deltas    d[o] = a[o] · (g[o] − Σ_o g[o] · a[o])       g the gradient at a  (B, O)
//! ```
//!
//! Both sums are one chain in `f64`, o ascending, and are rounded once to the network's type. The largest exponent is 0,
//! so that nothing overflows and S is at least 1. A row with a NaN or a positive infinity is NaN throughout.

use super::elementwise::each_register;
use super::exp::exp_of_negative;
use super::level::{Kernel, Level};
use super::loss::assert_same_size;
use super::matrix::{Matrix, MatrixMut};
use super::vector::{Arithmetic, Element, Pair, Vector};

/// Numbers in the longest register.
const MOST_LANES: usize = 16;

/// The softmax of each row, in place.
pub fn softmax<T: Element>(level: Level, rows: MatrixMut<'_, T> /* (B, O) */) {
    if rows.columns() > 0 {
        level.run(Softmax { rows });
    }
}

struct Softmax<'a, T> {
    rows: MatrixMut<'a, T>,
}

impl<T: Element> Kernel<T> for Softmax<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(mut self) {
        for row in 0..self.rows.rows() {
            let row = self.rows.row_mut(row);
            // SAFETY: this kernel runs on a CPU of V's level.
            unsafe {
                subtract_largest::<V>(row);
                let sum = exponentials::<V>(row);
                divide::<V>(row, sum);
            }
        }
    }
}

/// `z[o] −= max z`
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn subtract_largest<V: Vector>(row: &mut [V::Element]) {
    // SAFETY: the registers lie inside the row; the CPU is of V's level.
    unsafe {
        let largest = V::splat(largest::<V>(row));
        let (columns, row) = (row.len(), row.as_mut_ptr());
        each_register!(V, columns, |column, n, WHOLE| {
            let z = V::load_some::<WHOLE>(row.add(column), n);
            z.sub(largest).store_some::<WHOLE>(row.add(column), n);
        });
    }
}

/// The largest number of a row that is not empty. In which order they are compared does not matter: a NaN makes the whole
/// row NaN whatever comes out here, and which zero it is shows nowhere.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn largest<V: Vector>(row: &[V::Element]) -> V::Element {
    let larger = |largest, &z| if largest < z { z } else { largest };
    if row.len() < 2 * V::LANES {
        return row.iter().fold(row[0], larger);
    }
    let mut lanes = [V::Element::ZERO; MOST_LANES];
    const { assert!(V::LANES <= MOST_LANES) };
    // SAFETY: whole registers inside the row, the last one ends with it and may overlap the one before; `lanes` has room.
    unsafe {
        let (start, last) = (row.as_ptr(), row.len() - V::LANES);
        let mut most = V::load(start.add(last));
        for column in (0..last).step_by(V::LANES) {
            let z = V::load(start.add(column));
            most = most.select_less(z, z, most);
        }
        most.store(lanes.as_mut_ptr());
    }
    lanes[..V::LANES].iter().fold(lanes[0], larger)
}

/// Numbers that are not positive become their exponentials, whose sum is returned.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn exponentials<V: Vector>(row: &mut [V::Element]) -> f64 {
    let (columns, start) = (row.len(), row.as_mut_ptr());
    // SAFETY: the registers lie inside the row; the CPU is of V's level.
    unsafe {
        each_register!(Pair<V>, columns, |column, n, WHOLE| {
            let y = Pair::<V>::load_some::<WHOLE>(start.add(column), n);
            exp_of_negative(y).store_some::<WHOLE>(start.add(column), n);
        });
    }
    row.iter().fold(0.0, |sum, e| sum + e.to_f64())
}

/// Exponentials become activations.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn divide<V: Vector>(row: &mut [V::Element], sum: f64) {
    let (columns, row) = (row.len(), row.as_mut_ptr());
    // SAFETY: the registers lie inside the row; the CPU is of V's level.
    unsafe {
        let sum = V::splat(V::Element::from_f64(sum));
        each_register!(V, columns, |column, n, WHOLE| {
            let a = V::load_some::<WHOLE>(row.add(column), n).div(sum);
            a.flush_subnormal().store_some::<WHOLE>(row.add(column), n);
        });
    }
}

/// From the gradient at the activations of a softmax to that at its pre-activations, in place.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn softmax_deltas<T: Element>(
    level: Level,
    predictions: Matrix<'_, T>, // (B, O)
    deltas: MatrixMut<'_, T>,   // (B, O)
) {
    assert_same_size(predictions, deltas.as_matrix());
    if deltas.columns() > 0 {
        level.run(SoftmaxDeltas { predictions, deltas });
    }
}

struct SoftmaxDeltas<'a, T> {
    predictions: Matrix<'a, T>,
    deltas: MatrixMut<'a, T>,
}

impl<T: Element> Kernel<T> for SoftmaxDeltas<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { predictions, mut deltas } = self;
        for row in 0..deltas.rows() {
            let (activations, deltas) = (predictions.row(row), deltas.row_mut(row));
            let pairs = deltas.iter().zip(activations);
            let sum = pairs.fold(0.0, |chain: f64, (g, a)| g.to_f64().mul_add(a.to_f64(), chain));
            let (columns, activations, deltas) = (deltas.len(), activations.as_ptr(), deltas.as_mut_ptr());
            // SAFETY: the entry has checked that both have the same columns, inside which the registers lie.
            unsafe {
                let sum = V::splat(T::from_f64(sum));
                each_register!(V, columns, |column, n, WHOLE| {
                    let a = V::load_some::<WHOLE>(activations.add(column), n);
                    let g = V::load_some::<WHOLE>(deltas.add(column), n);
                    a.mul(g.sub(sum)).flush_subnormal().store_some::<WHOLE>(deltas.add(column), n);
                });
            }
        }
    }
}
