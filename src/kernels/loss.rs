//! Half the sum of squared errors, forward beside backward.
//!
//! ```text
//! loss          ½ · Σ_b Σ_o (predictions[b, o] − targets[b, o])²
//! output deltas (predictions[b, o] − targets[b, o]) · derivative[b, o]        (B, O)
//! ```
//!
//! The differences are of the network's type, the sums are in `f64` for both types: one chain of fused multiply-adds
//! for each sample, o ascending, and then one chain over the samples, b ascending.

use super::activation::Derivative;
use super::dense::{Slope, with_slope};
use super::level::{Kernel, Level};
use super::matrix::{Matrix, MatrixMut};
use super::vector::{Element, Vector};

/// The loss of a batch.
///
/// # Panics
///
/// If the sizes do not fit.
#[must_use]
pub fn half_squared_error<T: Element>(
    level: Level,
    predictions: Matrix<'_, T>, // (B, O)
    targets: Matrix<'_, T>,     // (B, O)
) -> f64 {
    assert_eq!(
        (predictions.rows(), predictions.columns()),
        (targets.rows(), targets.columns()),
        "sizes of predictions and targets"
    );
    if predictions.columns() == 0 {
        return 0.0; // however many rows there are
    }
    let mut rows = [0.0; 64];
    let mut sum = 0.0;
    for start in (0..predictions.rows()).step_by(rows.len()) {
        let n = rows.len().min(predictions.rows() - start);
        squared_errors(level, predictions.window(start, n), targets.window(start, n), &mut rows[..n]);
        sum = rows[..n].iter().fold(sum, |sum, row| sum + row);
    }
    0.5 * sum
}

/// Half the sum of the rows' squared errors: the loss of a batch.
#[must_use]
pub fn half_of_sum(rows: &[f64]) -> f64 {
    0.5 * rows.iter().fold(0.0, |sum, row| sum + row)
}

/// The sum of squared errors of each row.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn squared_errors<T: Element>(
    level: Level,
    predictions: Matrix<'_, T>, // (B, O)
    targets: Matrix<'_, T>,     // (B, O)
    out: &mut [f64],            // (B)
) {
    assert_eq!(predictions.columns(), targets.columns(), "columns of predictions and targets");
    assert_eq!((predictions.rows(), targets.rows()), (out.len(), out.len()), "rows of predictions and targets");
    level.run(SquaredErrors { predictions, targets, out });
}

struct SquaredErrors<'a, T> {
    predictions: Matrix<'a, T>,
    targets: Matrix<'a, T>,
    out: &'a mut [f64],
}

impl<T: Element> Kernel<T> for SquaredErrors<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        // Plain numbers, but compiled with the level's fused multiply-add; the rows' chains overlap in the CPU.
        for (row, out) in self.out.iter_mut().enumerate() {
            let mut chain = 0.0;
            for (&prediction, &target) in self.predictions.row(row).iter().zip(self.targets.row(row)) {
                let error = (prediction - target).to_f64();
                chain = error.mul_add(error, chain);
            }
            *out = chain;
        }
    }
}

/// The loss's gradient at the output layer's pre-activations.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn output_deltas<T: Element>(
    level: Level,
    predictions: Matrix<'_, T>, // (B, O)
    targets: Matrix<'_, T>,     // (B, O)
    slope: Slope<'_, T>,        // (B, O)
    out: MatrixMut<'_, T>,      // (B, O)
) {
    let size = (out.rows(), out.columns());
    assert_eq!((predictions.rows(), predictions.columns()), size, "size of the predictions");
    assert_eq!((targets.rows(), targets.columns()), size, "size of the targets");
    assert_eq!((slope.matrix().rows(), slope.matrix().columns()), size, "size of the derivatives");
    level.run(OutputDeltas { predictions, targets, slope, out });
}

struct OutputDeltas<'a, T> {
    predictions: Matrix<'a, T>,
    targets: Matrix<'a, T>,
    slope: Slope<'a, T>,
    out: MatrixMut<'a, T>,
}

impl<T: Element> Kernel<T> for OutputDeltas<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { predictions, targets, slope, mut out } = self;
        let stored = slope.matrix();
        with_slope!(slope, D => for row in 0..out.rows() {
            // SAFETY: the entry has checked that all four have this row and the same columns.
            unsafe {
                deltas_of_row::<V, D>(
                    predictions.row(row),
                    targets.row(row),
                    stored.row(row),
                    out.row_mut(row),
                );
            }
        });
    }
}

/// One row of output deltas.
///
/// # Safety
///
/// The four slices have the same length, and the CPU has the instructions of `V`.
#[inline(always)]
unsafe fn deltas_of_row<V: Vector, D: Derivative>(
    predictions: &[V::Element],
    targets: &[V::Element],
    stored: &[V::Element],
    out: &mut [V::Element],
) {
    let columns = out.len();
    let (predictions, targets, stored) = (predictions.as_ptr(), targets.as_ptr(), stored.as_ptr());
    let out = out.as_mut_ptr();
    macro_rules! registers {
        ($whole:literal, $column:expr, $n:expr) => {{
            let (prediction, target) = (
                V::load_some::<$whole>(predictions.add($column), $n),
                V::load_some::<$whole>(targets.add($column), $n),
            );
            let slope = D::derivative(V::load_some::<$whole>(stored.add($column), $n));
            let delta = prediction.sub(target).mul(slope).flush_subnormal();
            delta.store_some::<$whole>(out.add($column), $n);
        }};
    }
    // SAFETY: whole registers end at or before `columns`, and the last, partial one ends there.
    unsafe {
        let mut column = 0;
        while column + V::LANES <= columns {
            registers!(true, column, V::LANES);
            column += V::LANES;
        }
        if column < columns {
            registers!(false, column, columns - column);
        }
    }
}
