//! The losses: the choice, each sample's error, and the deltas of the output layer.
//!
//! ```text
//! errors         error[b]  = w[b] · Σ_o rule(predictions[b, o], targets[b, o])                   (B)
//! loss           Σ_b error[b], times ½ or divided by what the mean is over
//! output deltas  d[b, o]   = gradient(predictions[b, o], targets[b, o]) · scale · w[b] · derivative[b, o]    (B, O)
//! ```
//!
//! Differences are of the network's type, sums are in `f64` for both types: one chain for each sample, o ascending, and
//! then one over the samples, b ascending. So threads may share the samples, and the bits of the loss stay.
//! `regression.rs` has the rules, each beside its gradient; `cross_entropy.rs` the losses that begin at pre-activations.

use std::marker::PhantomData;

use super::activation::{Activation, Derivative, Identity};
use super::dense::{Slope, with_slope};
use super::elementwise::each_register;
use super::level::{Kernel, Level};
use super::matrix::{Matrix, MatrixMut};
use super::regression::{Regression, Squared, with_regression};
use super::vector::{Arithmetic, Element, Vector};

pub use super::cross_entropy::cross_entropy;
pub use super::softmax::{softmax, softmax_deltas};

/// The choice of a loss. `p` are predictions, `y` targets, `w` the samples' weights (1 where there are none), `e = p − y`;
/// means are over the number of samples, not over the sum of their weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// ½ Σ w e²: a sum over samples and outputs, the notebook's.
    HalfSquaredError,
    /// The mean of w e² over samples and outputs.
    SquaredError,
    /// The mean of w |e| over samples and outputs; its gradient at e = 0 is 0.
    AbsoluteError,
    /// The mean over samples and outputs of w · (½ e² where |e| ≤ delta, else delta · (|e| − ½ delta)).
    Huber {
        /// Where the square ends and the straight line begins, above 0.
        delta: f64,
    },
    /// The mean over samples and outputs of −w · (y log p + (1 − y) log(1 − p)), p = sigmoid z, taken from z.
    BinaryCrossEntropy,
    /// The mean over samples of −w · Σ y log p, p = softmax z, taken from z. The targets of a sample sum to 1: its deltas
    /// p − y are the gradient only then.
    CategoricalCrossEntropy,
    /// The mean over samples and outputs of w · (p − y log(p + 1e-8)), for p ≥ 0.
    Poisson,
    /// The mean over samples and outputs of w · max(q (y − p), (q − 1)(y − p)), q = `quantile`: the pinball loss; its
    /// gradient at y = p is 0.
    Quantile {
        /// Which quantile the predictions become, between 0 and 1.
        quantile: f64,
    },
}

impl Loss {
    /// All of them with their default parameters, and the names under which users know them.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("half_squared_error", Self::HalfSquaredError),
        ("mse", Self::SquaredError),
        ("mae", Self::AbsoluteError),
        ("huber", Self::Huber { delta: 1.0 }),
        ("binary_crossentropy", Self::BinaryCrossEntropy),
        ("categorical_crossentropy", Self::CategoricalCrossEntropy),
        ("poisson", Self::Poisson),
        ("quantile", Self::Quantile { quantile: 0.5 }),
    ];

    /// The activation of the output layer that the loss contains: such a loss is taken from the pre-activations, by
    /// [`cross_entropy`]. None for the losses that take predictions, by [`errors`].
    #[must_use]
    pub fn fused_with(self) -> Option<Activation> {
        match self {
            Self::BinaryCrossEntropy => Some(Activation::Sigmoid),
            Self::CategoricalCrossEntropy => Some(Activation::Softmax),
            _ => None,
        }
    }

    /// Whether it is a mean over samples, and not a sum.
    #[must_use]
    pub fn is_mean(self) -> bool {
        self != Self::HalfSquaredError
    }

    /// The loss of a batch from its samples' errors: one chain, samples ascending. That of no numbers is 0.
    #[must_use]
    pub fn of_batch(self, errors: &[f64], n_outputs: usize) -> f64 {
        self.of_sum(sum_of(errors), (errors.len(), n_outputs))
    }

    /// The same from the sum of the errors and the size of the batch (B, O).
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // a count that is not exact in f64 has no memory to be in
    pub fn of_sum(self, sum: f64, (n_samples, n_outputs): (usize, usize)) -> f64 {
        match self {
            Self::HalfSquaredError => 0.5 * sum,
            _ if n_samples == 0 || n_outputs == 0 => 0.0,
            Self::CategoricalCrossEntropy => sum / n_samples as f64,
            _ => sum / (n_samples as f64 * n_outputs as f64),
        }
    }

    /// What the gradient of one sample's error is multiplied by.
    #[allow(clippy::cast_precision_loss)] // as above
    pub(super) fn scale(self, n_samples: usize, n_outputs: usize) -> f64 {
        let (n_samples, n_outputs) = (n_samples as f64, n_outputs as f64);
        match self {
            Self::HalfSquaredError => 1.0, // half of the 2 that the square gives
            Self::SquaredError => 2.0 / (n_samples * n_outputs),
            Self::CategoricalCrossEntropy => 1.0 / n_samples,
            _ => 1.0 / (n_samples * n_outputs),
        }
    }
}

/// The loss of a batch of the notebook.
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
    assert_same_size(predictions, targets);
    if predictions.columns() == 0 {
        return 0.0; // however many rows there are
    }
    let mut rows = [0.0; 64];
    let mut sum = 0.0;
    for start in (0..predictions.rows()).step_by(rows.len()) {
        let n = rows.len().min(predictions.rows() - start);
        let (predictions, targets) = (predictions.window(start, n), targets.window(start, n));
        errors(level, Loss::HalfSquaredError, predictions, targets, None, &mut rows[..n]);
        sum = rows[..n].iter().fold(sum, |sum, row| sum + row);
    }
    0.5 * sum
}

pub(super) fn assert_same_size<T: Copy>(predictions: Matrix<'_, T>, targets: Matrix<'_, T>) {
    assert_eq!(
        (predictions.rows(), predictions.columns()),
        (targets.rows(), targets.columns()),
        "sizes of predictions and targets"
    );
}

/// The error of each sample, times its weight where there are weights, and their sum: one chain, samples ascending.
///
/// # Panics
///
/// If the sizes do not fit, or if the loss is taken from pre-activations: see [`cross_entropy`].
pub fn errors<T: Element>(
    level: Level,
    loss: Loss,
    predictions: Matrix<'_, T>, // (B, O)
    targets: Matrix<'_, T>,     // (B, O)
    weights: Option<&[T]>,      // (B)
    out: &mut [f64],            // (B)
) -> f64 {
    assert_same_size(predictions, targets);
    assert_eq!(predictions.rows(), out.len(), "rows of predictions, number of errors");
    let sum = with_regression!(loss, rule => level.run(Errors { rule, predictions, targets, out: &mut *out }));
    if weights.is_none() {
        return sum;
    }
    weigh(weights, out);
    sum_of(out)
}

/// One chain, samples ascending.
fn sum_of(errors: &[f64]) -> f64 {
    errors.iter().fold(0.0, |sum, error| sum + error)
}

/// Multiplies each sample's error by its weight.
pub(super) fn weigh<T: Element>(weights: Option<&[T]>, errors: &mut [f64]) {
    let Some(weights) = weights else { return };
    assert_eq!(weights.len(), errors.len(), "number of weights");
    for (error, weight) in errors.iter_mut().zip(weights) {
        *error *= weight.to_f64();
    }
}

struct Errors<'a, T, R> {
    rule: R,
    predictions: Matrix<'a, T>,
    targets: Matrix<'a, T>,
    out: &'a mut [f64],
}

impl<T: Element, R: Regression<T>> Kernel<T> for Errors<'_, T, R> {
    /// The sum of the errors, whose chain is no longer than what lies beside it.
    type Output = f64;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> f64 {
        let Self { rule, predictions, targets, out } = self;
        let mut sum = 0.0;
        if predictions.columns() == 0 {
            out.fill(0.0);
            return sum;
        }
        let (columns, predictions, targets) = (predictions.columns(), predictions.pointer(), targets.pointer());
        // Plain numbers, but compiled with the level's fused multiply-add; the rows' chains overlap in the CPU.
        for (row, out) in out.iter_mut().enumerate() {
            *out = (0..columns).fold(0.0, |chain, column| {
                // SAFETY: `errors` has checked that both have these rows and columns.
                let (prediction, target) = unsafe { (*predictions.at(row, column), *targets.at(row, column)) };
                rule.add(prediction, target, chain)
            });
            sum += *out;
        }
        sum
    }
}

/// The loss's gradient at the output layer's pre-activations: that at the predictions, times the derivative there.
///
/// The rows may be a part of a batch, which has `n_samples` altogether. A loss that is fused with its activation knows the
/// derivative and does not look at `slope`. Softmax, whose derivative is no number for each output, is gone back through too.
///
/// # Panics
///
/// If the sizes do not fit.
#[allow(clippy::too_many_arguments)] // a loss, its four inputs, the batch they are of, the level and the result
pub fn output_deltas<T: Element>(
    level: Level,
    loss: Loss,
    predictions: Matrix<'_, T>, // (B, O)
    targets: Matrix<'_, T>,     // (B, O)
    weights: Option<&[T]>,      // (B)
    n_samples: usize,
    slope: Slope<'_, T>,       // (B, O)
    mut out: MatrixMut<'_, T>, // (B, O)
) {
    assert_same_size(predictions, targets);
    assert_same_size(predictions, out.as_matrix());
    assert!(weights.is_none_or(|weights| weights.len() == out.rows()), "number of weights");
    assert!(out.rows() <= n_samples, "{} rows of a batch of {n_samples} samples", out.rows());
    let stored = if loss.fused_with().is_some() { predictions } else { slope.matrix() };
    assert_eq!((stored.rows(), stored.columns()), (out.rows(), out.columns()), "size of the derivatives");
    if out.columns() == 0 {
        return;
    }
    let scaled = Scaled { scale: T::from_f64(loss.scale(n_samples, out.columns())), weights };
    match loss {
        Loss::BinaryCrossEntropy | Loss::CategoricalCrossEntropy => {
            let derivative = PhantomData::<Identity>;
            level.run(Deltas { rule: Squared, factors: scaled, derivative, predictions, targets, stored, out });
            return;
        }
        Loss::HalfSquaredError | Loss::SquaredError => with_slope!(slope, D => {
            let (rule, derivative, out) = (Squared, PhantomData::<D>, out.reborrow());
            if loss == Loss::HalfSquaredError && weights.is_none() {
                level.run(Deltas { rule, factors: One, derivative, predictions, targets, stored, out });
            } else {
                level.run(Deltas { rule, factors: scaled, derivative, predictions, targets, stored, out });
            }
        }),
        // In two passes: one kernel for each pair of a loss and an activation would be some hundred kernels.
        _ => {
            let derivative = PhantomData::<Identity>;
            with_regression!(loss, rule => {
                let out = out.reborrow();
                level.run(Deltas { rule, factors: scaled, derivative, predictions, targets, stored, out });
            });
            deltas_of_gradient(level, slope, out.reborrow());
        }
    }
    if matches!(slope, Slope::Of(Activation::Softmax, _)) {
        softmax_deltas(level, predictions, out);
    }
}

/// Makes deltas of the gradients at the predictions, in place: times the derivatives there.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn deltas_of_gradient<T: Element>(
    level: Level,
    slope: Slope<'_, T>,   // (B, O)
    out: MatrixMut<'_, T>, // (B, O)
) {
    let stored = slope.matrix();
    assert_same_size(stored, out.as_matrix());
    with_slope!(slope, D => level.run(TimesDerivative { derivative: PhantomData::<D>, stored, out }));
}

/// What the gradients of a row are multiplied by.
trait Factors<T: Element>: Copy {
    fn of_row(self, row: usize) -> T;

    /// All rows have the same.
    fn is_one_for_all(self) -> bool;

    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn times<V: Arithmetic<Element = T>>(gradients: V, factor: T) -> V;
}

/// Nothing: the notebook's loss.
#[derive(Clone, Copy)]
struct One;

/// The scale of the mean, times the sample's weight.
#[derive(Clone, Copy)]
struct Scaled<'a, T> {
    scale: T,
    weights: Option<&'a [T]>,
}

impl<T: Element> Factors<T> for One {
    #[inline(always)]
    fn of_row(self, _: usize) -> T {
        T::ONE
    }

    fn is_one_for_all(self) -> bool {
        true
    }

    #[inline(always)]
    unsafe fn times<V: Arithmetic<Element = T>>(gradients: V, _: T) -> V {
        gradients
    }
}

impl<T: Element> Factors<T> for Scaled<'_, T> {
    #[inline(always)]
    fn of_row(self, row: usize) -> T {
        self.weights.map_or(self.scale, |weights| self.scale * weights[row])
    }

    fn is_one_for_all(self) -> bool {
        self.weights.is_none()
    }

    #[inline(always)]
    unsafe fn times<V: Arithmetic<Element = T>>(gradients: V, factor: T) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { gradients.mul(V::splat(factor)) }
    }
}

struct Deltas<'a, T, R, F, D> {
    rule: R,
    factors: F,
    derivative: PhantomData<D>,
    predictions: Matrix<'a, T>,
    targets: Matrix<'a, T>,
    stored: Matrix<'a, T>,
    out: MatrixMut<'a, T>,
}

impl<T: Element, R: Regression<T>, F: Factors<T>, D: Derivative> Kernel<T> for Deltas<'_, T, R, F, D> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { rule, factors, derivative: _, predictions, targets, stored, mut out } = self;
        let (mut rows, mut columns, out) = (out.rows(), out.columns(), out.pointer());
        let (predictions, targets, stored) = (predictions.pointer(), targets.pointer(), stored.pointer());
        let strides = [predictions.stride, targets.stride, stored.stride, out.stride];
        if factors.is_one_for_all() && strides == [columns; 4] {
            (rows, columns) = (1, rows * columns); // rows without gaps are one long row
        }
        for row in 0..rows {
            let factor = factors.of_row(row);
            // SAFETY: the entry has checked that all four have these rows and columns, inside which the registers lie.
            unsafe {
                each_register!(V, columns, |column, n, WHOLE| {
                    let prediction = V::load_some::<WHOLE>(predictions.at(row, column), n);
                    let target = V::load_some::<WHOLE>(targets.at(row, column), n);
                    let slope = D::derivative(V::load_some::<WHOLE>(stored.at(row, column), n));
                    let delta = F::times(rule.gradient(prediction, target), factor).mul(slope);
                    delta.flush_subnormal().store_some::<WHOLE>(out.at(row, column), n);
                });
            }
        }
    }
}

/// The second pass: gradients at the activations become deltas, in place.
struct TimesDerivative<'a, T, D> {
    derivative: PhantomData<D>,
    stored: Matrix<'a, T>,
    out: MatrixMut<'a, T>,
}

impl<T: Element, D: Derivative> Kernel<T> for TimesDerivative<'_, T, D> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { derivative: _, stored, mut out } = self;
        let (rows, columns, stored, out) = (out.rows(), out.columns(), stored.pointer(), out.pointer());
        for row in 0..rows {
            // SAFETY: the entry has checked that both have these rows and columns, inside which the registers lie.
            unsafe {
                each_register!(V, columns, |column, n, WHOLE| {
                    let slope = D::derivative(V::load_some::<WHOLE>(stored.at(row, column), n));
                    let delta = V::load_some::<WHOLE>(out.at(row, column), n).mul(slope);
                    delta.flush_subnormal().store_some::<WHOLE>(out.at(row, column), n);
                });
            }
        }
    }
}
