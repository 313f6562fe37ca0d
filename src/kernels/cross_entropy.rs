//! The losses that are fused with the activation of the output layer: from its pre-activations come both the errors and,
//! in place, the predictions.
//!
//! ```text
//! binary        error[b] = Σ_o ( max(z, 0) − z · y + log(1 + exp −|z|) )             a = sigmoid z
//! categorical   error[b] = log S · Σ_o y[o] − Σ_o y[o] · (z[o] − max z)              a = softmax z, S as in `softmax.rs`
//! ```
//!
//! Neither takes the logarithm of a prediction, which could be 0, nor one for each output, which would cost more than all
//! else: the binary logarithms are those of a product, `Π (1 + exp −|z|) − 1`, which is built without the 1 so that no
//! digit of a small one is lost. The gradient at the pre-activations is a − y for both: `loss.rs` has it.

use super::activation::{Function, Sigmoid};
use super::elementwise::each_register;
use super::exp::exp_of_negative;
use super::level::{Kernel, Level};
use super::loss::{Loss, assert_same_size, weigh};
use super::matrix::{Matrix, MatrixMut};
use super::softmax::{divide, exponentials, subtract_largest};
use super::vector::{Element, Vector};

/// Outputs whose logarithms are taken as one: a product of as many factors up to 2 is far from overflowing.
pub(super) const FACTORS: usize = 512;

/// The error of each sample, times its weight where there are weights. `outputs` come as pre-activations and become the
/// predictions.
///
/// # Panics
///
/// If the sizes do not fit, or if the loss takes predictions: see [`errors`](super::loss::errors).
pub fn cross_entropy<T: Element>(
    level: Level,
    loss: Loss,
    outputs: MatrixMut<'_, T>, // (B, O)
    targets: Matrix<'_, T>,    // (B, O)
    weights: Option<&[T]>,     // (B)
    out: &mut [f64],           // (B)
) {
    assert_same_size(outputs.as_matrix(), targets);
    assert_eq!(outputs.rows(), out.len(), "rows of the outputs, number of errors");
    assert!(weights.is_none_or(|weights| weights.len() == out.len()), "number of weights");
    assert!(loss.fused_with().is_some(), "{loss:?} is taken from predictions");
    if outputs.columns() == 0 {
        out.fill(0.0);
    } else if loss == Loss::BinaryCrossEntropy {
        level.run(Binary { outputs, targets, out: &mut *out });
    } else {
        level.run(Categorical { outputs, targets, out: &mut *out });
    }
    weigh(weights, out);
}

struct Binary<'a, T> {
    outputs: MatrixMut<'a, T>,
    targets: Matrix<'a, T>,
    out: &'a mut [f64],
}

impl<T: Element> Kernel<T> for Binary<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { mut outputs, targets, out } = self;
        let mut exponentials = [T::ZERO; FACTORS];
        for (row, out) in out.iter_mut().enumerate() {
            let (outputs, targets) = (outputs.row_mut(row), targets.row(row));
            *out = 0.0;
            for (z, y) in outputs.chunks_mut(FACTORS).zip(targets.chunks(FACTORS)) {
                let exponentials = &mut exponentials[..z.len()];
                *out = z.iter().zip(y).fold(*out, |chain, (z, y)| {
                    let z = z.to_f64();
                    chain + (-z).mul_add(y.to_f64(), if z < 0.0 { 0.0 } else { z })
                });
                // SAFETY: both slices have the same length; this kernel runs on a CPU of V's level.
                unsafe { sigmoids::<V>(z, exponentials) };
                // (1 + product) (1 + e) − 1 = product + e (1 + product)
                let product =
                    exponentials.iter().fold(0.0, |product: f64, e| e.to_f64().mul_add(1.0 + product, product));
                *out += libm::log1p(product);
            }
        }
    }
}

/// Pre-activations become sigmoids, and `exponentials` become exp −|z|.
///
/// # Safety
///
/// Both have the same length, and the CPU has the instructions of `V`.
#[inline(always)]
unsafe fn sigmoids<V: Vector>(outputs: &mut [V::Element], exponentials: &mut [V::Element]) {
    let (columns, outputs, exponentials) = (outputs.len(), outputs.as_mut_ptr(), exponentials.as_mut_ptr());
    // SAFETY: the registers lie inside both slices; the CPU is of V's level.
    unsafe {
        each_register!(V, columns, |column, n, WHOLE| {
            let z = V::load_some::<WHOLE>(outputs.add(column), n);
            let e = exp_of_negative(V::splat(V::Element::ZERO).sub(z.abs()));
            e.store_some::<WHOLE>(exponentials.add(column), n);
            Sigmoid::function(z).store_some::<WHOLE>(outputs.add(column), n);
        });
    }
}

/// Rows that go through the steps of the categorical loss together. Row by row, each one's chains and its logarithm wait for
/// each other: 7.0 µs instead of 3.5 for 128 rows of 3 `f32`, 7.3 instead of 5.2 for rows of 10 (AMD EPYC, avx2).
const BLOCK: usize = 16;

struct Categorical<'a, T> {
    outputs: MatrixMut<'a, T>,
    targets: Matrix<'a, T>,
    out: &'a mut [f64],
}

impl<T: Element> Kernel<T> for Categorical<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { mut outputs, targets, out } = self;
        let mut of_targets = [0.0; BLOCK];
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            for (row, (out, of_targets)) in out.iter_mut().zip(&mut of_targets).enumerate() {
                let (outputs, targets) = (outputs.row_mut(first + row), targets.row(first + row));
                // SAFETY: this kernel runs on a CPU of V's level.
                unsafe { subtract_largest::<V>(outputs) };
                (*out, *of_targets) = (0.0, 0.0);
                for (z, y) in outputs.iter().zip(targets) {
                    let y = y.to_f64();
                    *of_targets += y;
                    *out = y.mul_add(z.to_f64(), *out);
                }
            }
            let mut sums = [0.0; BLOCK];
            for (row, sum) in sums[..out.len()].iter_mut().enumerate() {
                // SAFETY: this kernel runs on a CPU of V's level.
                *sum = unsafe { exponentials::<V>(outputs.row_mut(first + row)) };
            }
            for (row, (out, (of_targets, sum))) in out.iter_mut().zip(of_targets.iter().zip(sums)).enumerate() {
                // SAFETY: this kernel runs on a CPU of V's level.
                unsafe { divide::<V>(outputs.row_mut(first + row), sum) };
                *out = libm::log(sum).mul_add(*of_targets, -*out);
            }
        }
    }
}
