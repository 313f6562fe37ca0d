//! The definition of every kernel, in naive loops: slow, obvious, and never optimised.
//!
//! The tests compare each level with these functions bit for bit (any NaN is equal to any NaN). All matrices are packed:
//! `x` (B, I), `weights` (I, O), `activations` and `deltas` (B, O). Nothing here is used by the package itself.

mod functions;
pub mod loss;
pub mod optimizer;

pub use functions::{activate, derivative_at, derive, exp_of_negative};

use super::activation::Activation;
use super::vector::Element;

/// The activations (B, O) of one layer.
#[must_use]
pub fn forward<T: Element>(activation: Activation, x: &[T], weights: &[T], biases: &[T]) -> Vec<T> {
    pre_activations(x, weights, biases).into_iter().map(|z| activate(activation, z)).collect()
}

/// The pre-activations (B, O) of one layer.
#[must_use]
pub fn pre_activations<T: Element>(x: &[T], weights: &[T], biases: &[T]) -> Vec<T> {
    let n_outputs = biases.len();
    let n_inputs = weights.len() / n_outputs;
    let mut pre_activations = Vec::new();
    for b in 0..x.len() / n_inputs {
        for o in 0..n_outputs {
            let mut chain = biases[o];
            for i in 0..n_inputs {
                chain = x[b * n_inputs + i].mul_add(weights[i * n_outputs + o], chain);
            }
            pre_activations.push(chain);
        }
    }
    pre_activations
}

/// The deltas (B, I) of the layer before, from `derivatives` (B, I) there.
#[must_use]
pub fn input_gradient<T: Element>(n_outputs: usize, deltas: &[T], weights: &[T], derivatives: &[T]) -> Vec<T> {
    let n_inputs = weights.len() / n_outputs;
    let mut result = Vec::new();
    for b in 0..deltas.len() / n_outputs {
        for i in 0..n_inputs {
            let mut chain = T::ZERO;
            for o in 0..n_outputs {
                chain = deltas[b * n_outputs + o].mul_add(weights[i * n_outputs + o], chain);
            }
            result.push((chain * derivatives[b * n_inputs + i]).flush_subnormal());
        }
    }
    result
}

/// One step of gradient descent on `weights` and `biases`.
pub fn update<T: Element>(learning_rate: T, x: &[T], deltas: &[T], weights: &mut [T], biases: &mut [T]) {
    let n_outputs = biases.len();
    let n_inputs = weights.len() / n_outputs;
    let n_samples = deltas.len() / n_outputs;
    for o in 0..n_outputs {
        for i in 0..n_inputs {
            let mut gradient = T::ZERO;
            for b in 0..n_samples {
                gradient = x[b * n_inputs + i].mul_add(deltas[b * n_outputs + o], gradient);
            }
            let weight = &mut weights[i * n_outputs + o];
            *weight = (-gradient.flush_subnormal()).mul_add(learning_rate, *weight);
        }
        let mut gradient = T::ZERO;
        for b in 0..n_samples {
            gradient = T::ONE.mul_add(deltas[b * n_outputs + o], gradient);
        }
        biases[o] = (-gradient.flush_subnormal()).mul_add(learning_rate, biases[o]);
    }
}

/// Half the sum of squared errors, by rows of `n_outputs`.
#[must_use]
pub fn half_squared_error<T: Element>(n_outputs: usize, predictions: &[T], targets: &[T]) -> f64 {
    let mut sum = 0.0;
    for (predictions, targets) in predictions.chunks(n_outputs).zip(targets.chunks(n_outputs)) {
        let mut chain = 0.0;
        for o in 0..predictions.len() {
            let error = (predictions[o] - targets[o]).to_f64();
            chain = error.mul_add(error, chain);
        }
        sum += chain;
    }
    0.5 * sum
}

/// The loss's gradient at the output layer's pre-activations.
#[must_use]
pub fn output_deltas<T: Element>(predictions: &[T], targets: &[T], derivatives: &[T]) -> Vec<T> {
    (0..predictions.len()).map(|i| ((predictions[i] - targets[i]) * derivatives[i]).flush_subnormal()).collect()
}
