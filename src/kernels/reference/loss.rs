//! The definition of the losses: of their errors, predictions and deltas. All matrices are packed, (B, O).

use super::super::activation::Activation;
use super::super::loss::Loss;
use super::super::vector::Element;
use super::{activate, exp_of_negative};

/// What a batch's loss is built from: `predictions`, or the pre-activations of a loss that is fused with its activation.
#[must_use]
pub fn errors<T: Element>(
    loss: Loss,
    n_outputs: usize,
    outputs: &[T],
    targets: &[T],
    weights: Option<&[T]>,
) -> Vec<f64> {
    let rows = outputs.chunks(n_outputs).zip(targets.chunks(n_outputs));
    let errors = rows.map(|(outputs, targets)| match loss {
        Loss::BinaryCrossEntropy => binary_cross_entropy(outputs, targets),
        Loss::CategoricalCrossEntropy => categorical_cross_entropy(outputs, targets),
        _ => regression(loss, outputs, targets),
    });
    errors.enumerate().map(|(b, error)| weights.map_or(error, |weights| error * weights[b].to_f64())).collect()
}

/// The predictions of a loss that is fused with its activation.
#[must_use]
pub fn predictions<T: Element>(loss: Loss, n_outputs: usize, z: &[T]) -> Vec<T> {
    match loss.fused_with() {
        Some(Activation::Softmax) => softmax(n_outputs, z),
        Some(activation) => z.iter().map(|&z| activate(activation, z)).collect(),
        None => z.to_vec(),
    }
}

fn regression<T: Element>(loss: Loss, predictions: &[T], targets: &[T]) -> f64 {
    let mut chain = 0.0;
    for (&prediction, &target) in predictions.iter().zip(targets) {
        let error = (prediction - target).to_f64();
        chain = match loss {
            Loss::AbsoluteError => chain + error.abs(),
            Loss::Huber { delta } if error.abs() <= delta => (0.5 * error).mul_add(error, chain),
            Loss::Huber { delta } => delta.mul_add(error.abs() - 0.5 * delta, chain),
            Loss::Poisson => {
                let prediction = prediction.to_f64();
                chain + (-target.to_f64()).mul_add(libm::log(prediction + 1e-8), prediction)
            }
            Loss::Quantile { quantile } if error < 0.0 => (-quantile).mul_add(error, chain),
            Loss::Quantile { quantile } => (1.0 - quantile).mul_add(error, chain),
            _ => error.mul_add(error, chain),
        };
    }
    chain
}

/// One logarithm for 512 outputs: that of the product of their 1 + exp −|z|.
fn binary_cross_entropy<T: Element>(z: &[T], targets: &[T]) -> f64 {
    let mut chain = 0.0;
    for (z, targets) in z.chunks(512).zip(targets.chunks(512)) {
        let mut product = 0.0; // without 1
        for (&z, &target) in z.iter().zip(targets) {
            let positive = if z < T::ZERO { 0.0 } else { z.to_f64() };
            chain += (-z.to_f64()).mul_add(target.to_f64(), positive);
            product = exp_of_negative(T::ZERO - z.abs()).to_f64().mul_add(1.0 + product, product);
        }
        chain += libm::log1p(product);
    }
    chain
}

fn categorical_cross_entropy<T: Element>(z: &[T], targets: &[T]) -> f64 {
    let (mut of_targets, mut of_outputs) = (0.0, 0.0);
    let shifted = without_largest(z);
    for (z, y) in shifted.iter().zip(targets) {
        of_targets += y.to_f64();
        of_outputs = y.to_f64().mul_add(z.to_f64(), of_outputs);
    }
    let sum = shifted.iter().fold(0.0, |sum, &z| sum + exp_of_negative(z).to_f64());
    libm::log(sum).mul_add(of_targets, -of_outputs)
}

/// z − max z
fn without_largest<T: Element>(z: &[T]) -> Vec<T> {
    let largest = z.iter().fold(z[0], |largest, &z| if largest < z { z } else { largest });
    z.iter().map(|&z| z - largest).collect()
}

/// The softmax of each row.
#[must_use]
pub fn softmax<T: Element>(n_outputs: usize, z: &[T]) -> Vec<T> {
    let mut result = Vec::new();
    for row in z.chunks(n_outputs) {
        let exponentials: Vec<T> = without_largest(row).into_iter().map(exp_of_negative).collect();
        let sum = T::from_f64(exponentials.iter().fold(0.0, |sum, e| sum + e.to_f64()));
        result.extend(exponentials.into_iter().map(|e| (e / sum).flush_subnormal()));
    }
    result
}

/// From the gradients at the activations of a softmax to those at its pre-activations.
#[must_use]
pub fn softmax_deltas<T: Element>(n_outputs: usize, activations: &[T], gradients: &[T]) -> Vec<T> {
    let mut result = Vec::new();
    for (a, g) in activations.chunks(n_outputs).zip(gradients.chunks(n_outputs)) {
        let sum = a.iter().zip(g).fold(0.0, |chain, (a, g)| g.to_f64().mul_add(a.to_f64(), chain));
        result.extend(a.iter().zip(g).map(|(&a, &g)| (a * (g - T::from_f64(sum))).flush_subnormal()));
    }
    result
}

/// The gradient of one error at a prediction, without the scale.
fn gradient<T: Element>(loss: Loss, prediction: T, target: T) -> T {
    let error = prediction - target;
    let steps = |below, above| match error {
        error if error < T::ZERO => below,
        error if error > T::ZERO => above,
        zero_or_nan => zero_or_nan,
    };
    match loss {
        Loss::AbsoluteError => steps(-T::ONE, T::ONE),
        Loss::Huber { delta } if error > T::from_f64(delta) => T::from_f64(delta),
        Loss::Huber { delta } if error < T::from_f64(-delta) => T::from_f64(-delta),
        Loss::Poisson => T::ONE - target / (prediction + T::from_f64(1e-8)),
        Loss::Quantile { quantile } => steps(T::from_f64(-quantile), T::from_f64(1.0 - quantile)),
        _ => error,
    }
}

/// The loss's gradient at the output layer's pre-activations, for the rows of a batch of `n_samples`. `derivatives` are
/// those at the predictions; a fused loss has none to ask for.
#[must_use]
pub fn output_deltas<T: Element>(
    loss: Loss,
    (n_samples, n_outputs): (usize, usize),
    (predictions, targets): (&[T], &[T]),
    weights: Option<&[T]>,
    derivatives: &[T],
) -> Vec<T> {
    let scale = T::from_f64(loss.scale(n_samples, n_outputs));
    let delta = |i: usize| {
        let factor = weights.map_or(scale, |weights| scale * weights[i / n_outputs]);
        let delta = gradient(loss, predictions[i], targets[i]) * factor;
        match loss {
            Loss::BinaryCrossEntropy | Loss::CategoricalCrossEntropy => delta,
            Loss::HalfSquaredError | Loss::SquaredError => delta * derivatives[i],
            // Stored, and so flushed, before the derivative.
            _ => delta.flush_subnormal() * derivatives[i],
        }
        .flush_subnormal()
    };
    (0..predictions.len()).map(delta).collect()
}
