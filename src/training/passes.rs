//! `Passes`: what the jobs of a step compute, forward beside backward, on some samples or some rows of parameters.

use std::ops::Range;

use crate::error::Error;
use crate::kernels::online::{Place, Places};
use crate::kernels::{Element, Level, Matrix, MatrixMut, Slope, dense, loss};
use crate::network::{Dense, Network, stride_of};
use crate::parallel::Parts;

/// What the jobs know of the network.
#[derive(Debug)]
pub(super) struct Passes {
    pub(super) level: Level,
    pub(super) layers: Vec<Dense>,
    /// Numbers from one sample's outputs to the next one's, for each layer.
    pub(super) strides: Vec<usize>,
    /// Where each layer's activations begin in `numbers`; one more entry closes the last.
    pub(super) starts: Vec<usize>,
}

/// Weights of a layer up to which single samples go through the network in one kernel. Beyond it the products are worth
/// a call each, and the input gradient worth its transposed panels.
const SMALL_LAYER: usize = 2048;

impl Passes {
    pub(super) fn of<T: Element>(network: &Network<T>, n_samples: usize) -> Result<Self, Error> {
        let layers = network.layers().to_vec();
        let strides: Vec<_> = layers.iter().map(|layer| stride_of::<T>(layer.width(), n_samples)).collect();
        let mut starts = vec![0_usize];
        for (stride, start) in strides.iter().zip(0..) {
            let size = stride.checked_mul(n_samples).and_then(|size| size.checked_add(starts[start]));
            starts.push(size.ok_or(Error::OutOfMemory { numbers: usize::MAX })?);
        }
        Ok(Self { level: network.level(), layers, strides, starts })
    }

    /// Numbers of all activations, and of all deltas.
    pub(super) fn length(&self) -> usize {
        self.starts[self.layers.len()]
    }

    /// The layers for single samples, if they are small.
    pub(super) fn places<T: Element>(&self, n_samples: usize) -> Option<Places> {
        let small = |layer: &Dense| {
            layer.n_inputs().saturating_mul(layer.n_outputs()) <= SMALL_LAYER && layer.stride() == layer.width()
        };
        (n_samples == 1 && self.layers.iter().all(small)).then(|| {
            let places = self.layers.iter().zip(&self.starts).map(|(layer, &row)| Place {
                n_inputs: layer.n_inputs(),
                n_outputs: layer.n_outputs(),
                activation: layer.activation(),
                stride: layer.stride(),
                parameters: layer.rows(0..0).start,
                row,
            });
            Places::new::<T>(self.level, places.collect())
        })
    }

    /// The outputs (B, O) of a layer without their padding, from where its rows begin.
    pub(super) fn outputs<'a, T>(&self, layer: usize, rows: &'a [T], n_samples: usize) -> Matrix<'a, T> {
        Matrix::new(rows, n_samples, self.layers[layer].n_outputs(), self.strides[layer])
    }

    /// The same, to be written.
    fn outputs_mut<'a, T>(&self, layer: usize, rows: &'a mut [T], n_samples: usize) -> MatrixMut<'a, T> {
        MatrixMut::new(rows, n_samples, self.layers[layer].n_outputs(), self.strides[layer])
    }

    /// Fills the activations of some samples; their parts of the numbers are the layers' activations, then their deltas.
    pub(super) fn forward_pass<T: Element>(
        &self,
        parameters: &[T],
        x: Matrix<'_, T>, // (B, I)
        numbers: &mut Parts<'_, T>,
        workspace: &mut [T],
    ) {
        for (i, layer) in self.layers.iter().enumerate() {
            let (input, out) = match i.checked_sub(1) {
                None => (x, numbers.get_mut(0)),
                Some(before) => {
                    let ([rows], out) = numbers.get_beside([before], i);
                    (self.outputs(before, rows, x.rows()), out)
                }
            };
            let out = MatrixMut::new(out, x.rows(), layer.width(), self.strides[i]);
            let parameters = layer.padded_parameters(parameters);
            dense::forward(self.level, layer.activation(), input, parameters, out, None, workspace);
        }
    }

    /// The samples' errors, and the deltas of the output layer.
    pub(super) fn errors<T: Element>(
        &self,
        targets: Matrix<'_, T>, // (B, O)
        numbers: &mut Parts<'_, T>,
        errors: &mut [f64], // (B)
    ) {
        let last = self.layers.len() - 1;
        let ([rows], out) = numbers.get_beside([last], 2 * last + 1);
        let predictions = self.outputs(last, rows, targets.rows());
        loss::squared_errors(self.level, predictions, targets, errors);
        let slope = Slope::Of(self.layers[last].activation(), predictions);
        let out = self.outputs_mut(last, out, targets.rows());
        loss::output_deltas(self.level, predictions, targets, slope, out);
    }

    /// From the samples' deltas of `layer` to those of the layer before.
    pub(super) fn input_gradient<T: Element>(
        &self,
        layer: usize,
        parameters: &[T],
        n_samples: usize,
        numbers: &mut Parts<'_, T>,
        workspace: &mut [T],
    ) {
        let (deltas, before) = (self.layers.len() + layer, layer - 1);
        let ([deltas, activations], out) = numbers.get_beside([deltas, before], deltas - 1);
        let slope = Slope::Of(self.layers[before].activation(), self.outputs(before, activations, n_samples));
        let deltas = self.outputs(layer, deltas, n_samples);
        let (weights, _) = self.layers[layer].parameters(parameters);
        let out = self.outputs_mut(before, out, n_samples);
        dense::input_gradient(self.level, deltas, weights, slope, out, workspace);
    }

    /// The step of some rows of a layer's `parameters`; the last row is the biases.
    pub(super) fn update<T: Element>(
        &self,
        (i, rows): (usize, Range<usize>),
        learning_rate: T,
        x: Matrix<'_, T>, // (B, I)
        numbers: &[T],
        parameters: &mut [T],
        workspace: &mut [T],
    ) {
        let layer = &self.layers[i];
        let input = match i.checked_sub(1) {
            None => x,
            Some(before) => self.outputs(before, &numbers[self.starts[before]..], x.rows()),
        };
        let deltas = &numbers[self.length() + self.starts[i]..];
        let deltas = Matrix::new(deltas, x.rows(), layer.width(), self.strides[i]);
        let weights = rows.start..rows.end.min(layer.n_inputs());
        let (of_weights, of_biases) = parameters.split_at_mut(weights.len() * layer.stride());
        let of_weights = MatrixMut::new(of_weights, weights.len(), layer.width(), layer.stride());
        let of_biases = (rows.end > layer.n_inputs()).then(|| &mut of_biases[..layer.width()]);
        let input = input.columns_of(weights.start, weights.len());
        dense::update(self.level, learning_rate, input, deltas, (of_weights, of_biases), workspace);
    }
}
