//! `Passes`: what the jobs of a step compute, forward beside backward, on some samples, or some rows or columns of
//! parameters.

use std::ops::Range;

use super::batches::Batch;
use super::dropout::Dropout;
use super::rounds::Block;
use super::settings::Settings;
use crate::error::Error;
use crate::kernels::update::{self, Parameters};
use crate::kernels::{Activation, Descent, Element, Level, Loss, Matrix, MatrixMut, Slope, dense, loss, stride_of};
use crate::network::{Dense, Network};
use crate::parallel::Parts;

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// The predictions.
    Predictions,
    /// The loss.
    Loss,
    /// A way back that begins with a gradient at the predictions.
    WayBack,
    /// The loss and the way back from it.
    Gradients,
    /// The same in a step of that number, in which outputs are left out.
    Step(u64),
}

impl Aim {
    /// The output layer's activation is left to the loss where both are one.
    fn has_loss(self) -> bool {
        !matches!(self, Self::Predictions | Self::WayBack)
    }

    /// Derivatives are kept.
    pub(super) fn goes_back(self) -> bool {
        !matches!(self, Self::Predictions | Self::Loss)
    }

    /// The way back begins with the loss, and a step may follow.
    pub(super) fn is_for_a_step(self) -> bool {
        self.has_loss() && self.goes_back()
    }
}

/// Registers of a row of outputs up to which a half at its end is one by itself: of more it would be a sixteenth of the work or less.
const MOST_HALVED: usize = 8;

/// What the jobs know of the network.
#[derive(Debug)]
pub(super) struct Passes {
    /// For what is not a layer's product.
    pub(super) level: Level,
    pub(super) layers: Vec<Dense>,
    /// The outputs that products compute for each layer: its own, and padding where that costs less than a partial register.
    pub(super) widths: Vec<usize>,
    /// Numbers from one sample's outputs to the next one's, for each layer.
    pub(super) strides: Vec<usize>,
    /// Where each layer's activations begin in `numbers`; one more entry closes the last.
    pub(super) starts: Vec<usize>,
    /// Where each layer's derivatives begin after all activations and deltas; a layer whose derivatives come from its
    /// activations has none. One more entry closes the last.
    pub(super) derivatives: Vec<usize>,
    pub(super) loss: Loss,
    dropout: Dropout,
    pub(super) n_samples: usize,
}

impl Passes {
    pub(super) fn of<T: Element>(network: &Network<T>, n_samples: usize, settings: &Settings) -> Result<Self, Error> {
        let layers = network.layers().to_vec();
        let widths: Vec<_> = layers.iter().map(|layer| Self::width::<T>(layer, n_samples)).collect();
        let strides: Vec<_> = widths.iter().map(|width| stride_of::<T>(*width, n_samples)).collect();
        let (mut starts, mut derivatives) = (vec![0_usize], vec![0_usize]);
        for (i, (layer, stride)) in layers.iter().zip(&strides).enumerate() {
            let keeps = layer.activation().keeps_derivative() || settings.dropout.rate(i) > 0.0;
            let end = |start: usize| stride.checked_mul(n_samples).and_then(|size| size.checked_add(start));
            let too_large = Error::OutOfMemory { numbers: usize::MAX };
            starts.push(end(starts[i]).ok_or_else(|| too_large.clone())?);
            derivatives.push(if keeps { end(derivatives[i]).ok_or(too_large)? } else { derivatives[i] });
        }
        let (loss, dropout) = (settings.loss, settings.dropout.clone());
        Ok(Self { level: network.level(), layers, widths, strides, starts, derivatives, loss, dropout, n_samples })
    }

    /// The outputs rounded up to whole registers, for a single sample. For many to halves of registers, where these are few, and to a
    /// power of two below half of one: their rows lie without gaps, and are finished as one long row.
    fn width<T: Element>(layer: &Dense, n_samples: usize) -> usize {
        let (n_outputs, whole) = (layer.n_outputs(), layer.width());
        if n_samples == 1 || whole > MOST_HALVED * layer.level().lanes::<T>() {
            return whole;
        }
        let half = layer.level().half_lanes::<T>();
        if n_outputs < half { n_outputs.next_power_of_two() } else { n_outputs.next_multiple_of(half) }
    }

    /// Numbers of all activations, and of all deltas.
    pub(super) fn length(&self) -> usize {
        self.starts[self.layers.len()]
    }

    /// The activations and the deltas of all layers.
    pub(super) fn activations_and_deltas<'a, T>(&self, numbers: &'a mut [T]) -> (&'a mut [T], &'a mut [T]) {
        let (activations, rest) = numbers.split_at_mut(self.length());
        (activations, &mut rest[..self.length()])
    }

    /// Numbers of all activations, deltas and derivatives.
    pub(super) fn all(&self) -> Option<usize> {
        self.length().checked_mul(2)?.checked_add(self.derivatives[self.layers.len()])
    }

    /// Where some samples' numbers lie: each layer's activations, each layer's deltas, each layer's derivatives.
    pub(super) fn parts(&self, rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let n = self.layers.len();
        (0..3 * n).map(move |part| {
            let (kind, layer) = (part / n, part % n);
            let start = match kind {
                0 => self.starts[layer],
                1 => self.length() + self.starts[layer],
                _ => 2 * self.length() + self.derivatives[layer],
            };
            let stride = if kind < 2 || self.keeps_derivatives(layer) { self.strides[layer] } else { 0 };
            start + rows.start * stride..start + rows.end * stride
        })
    }

    fn deltas(&self, layer: usize) -> usize {
        self.layers.len() + layer
    }

    fn derivatives(&self, layer: usize) -> usize {
        2 * self.layers.len() + layer
    }

    pub(super) fn keeps_derivatives(&self, layer: usize) -> bool {
        self.derivatives[layer] < self.derivatives[layer + 1]
    }

    /// The outputs (B, O) of a layer without their padding, from where its rows begin.
    pub(super) fn outputs<'a, T>(&self, layer: usize, rows: &'a [T], n_samples: usize) -> Matrix<'a, T> {
        Matrix::new(rows, n_samples, self.layers[layer].n_outputs(), self.strides[layer])
    }

    /// The same, to be written.
    fn outputs_mut<'a, T>(&self, layer: usize, rows: &'a mut [T], n_samples: usize) -> MatrixMut<'a, T> {
        MatrixMut::new(rows, n_samples, self.layers[layer].n_outputs(), self.strides[layer])
    }

    /// Some of a layer's outputs cannot be computed by themselves: softmax needs all, and what is left out or kept beside the
    /// activations has a place for whole rows.
    pub(super) fn needs_whole_rows(&self, layer: usize) -> bool {
        let has_softmax = self.layers[layer].activation() == Activation::Softmax;
        has_softmax || self.keeps_derivatives(layer) || self.dropout.rate(layer) > 0.0
    }

    /// What is made of a layer's pre-activations before its loss, if it has one, looks at them.
    fn activation(&self, layer: usize, aim: Aim) -> Activation {
        let activation = self.layers[layer].activation();
        let is_last = layer + 1 == self.layers.len();
        let is_fused = is_last && aim.has_loss() && self.loss.fused_with() == Some(activation);
        if is_fused { Activation::Identity } else { activation }
    }

    /// Fills the activations of some layers and samples, from the `first` of the batch on, and what their aim wants of the
    /// derivatives.
    pub(super) fn forward_pass<T: Element>(
        &self,
        (aim, layers): (Aim, Range<usize>),
        parameters: &[T],
        (x, first): (Matrix<'_, T>, usize), // (B, I)
        numbers: &mut Parts<'_, T>,
        workspace: &mut [T],
    ) {
        for i in layers {
            let layer = &self.layers[i];
            let keeps = aim.goes_back() && self.keeps_derivatives(i);
            let write = [i, self.derivatives(i)];
            let (input, [out, derivatives]) = match i.checked_sub(1) {
                None => (x, numbers.get_beside([], write).1),
                Some(before) => {
                    let ([rows], write) = numbers.get_beside([before], write);
                    (self.outputs(before, rows, x.rows()), write)
                }
            };
            let padded = |rows| MatrixMut::new(rows, x.rows(), self.widths[i], self.strides[i]);
            let (out, derivatives) = (padded(out), keeps.then(|| padded(derivatives)));
            let activation = self.activation(i, aim);
            let parameters = layer.padded_parameters(parameters, self.widths[i]);
            dense::forward(layer.level(), activation, input, parameters, out, derivatives, workspace);
            if activation == Activation::Softmax {
                loss::softmax(self.level, self.outputs_mut(i, numbers.get_mut(i), x.rows()));
            }
            if let Aim::Step(step) = aim
                && self.dropout.rate(i) > 0.0
            {
                let ([], [out, derivatives]) = numbers.get_beside([], [i, self.derivatives(i)]);
                let out = self.outputs_mut(i, out, x.rows());
                self.dropout.apply(i, (step, first), out, self.outputs_mut(i, derivatives, x.rows()));
            }
        }
    }

    /// The same of some columns of one layer's outputs, and of all samples.
    pub(super) fn forward_columns<T: Element>(
        &self,
        (aim, layer, columns): (Aim, usize, &Range<usize>),
        parameters: &[T],
        (x, numbers): (Matrix<'_, T>, &[T]), // (B, I)
        out: MatrixMut<'_, T>,               // (B, columns)
        workspace: &mut [T],
    ) {
        let dense = &self.layers[layer];
        let (weights, biases) = dense.padded_parameters(parameters, self.widths[layer]);
        let parameters = (weights.columns_of(columns.start, columns.len()), &biases[columns.clone()]);
        let input = self.input(layer, x, numbers);
        dense::forward(dense.level(), self.activation(layer, aim), input, parameters, out, None, workspace);
    }

    /// What a layer takes of a batch `x`, with the numbers up to those of the layer before.
    fn input<'a, T: Copy>(&self, layer: usize, x: Matrix<'a, T>, numbers: &'a [T]) -> Matrix<'a, T> {
        match layer.checked_sub(1) {
            None => x,
            Some(before) => self.outputs(before, &numbers[self.starts[before]..], x.rows()),
        }
    }

    /// Where a layer's derivatives are to be had.
    fn slope<'a, T: Copy>(
        &self,
        layer: usize,
        (activations, derivatives): (&'a [T], &'a [T]),
        n: usize,
    ) -> Slope<'a, T> {
        if self.keeps_derivatives(layer) {
            Slope::Stored(self.outputs(layer, derivatives, n))
        } else {
            Slope::Of(self.layers[layer].activation(), self.outputs(layer, activations, n))
        }
    }

    /// The samples' errors, and where the way back follows the deltas of the output layer; the batch has `n_samples`. With a loss
    /// that takes predictions comes the sum of the errors.
    pub(super) fn errors<T: Element>(
        &self,
        (aim, n_samples): (Aim, usize),
        batch: Batch<'_, T>,
        numbers: &mut Parts<'_, T>,
        errors: &mut [f64], // (B)
    ) -> Option<f64> {
        let (level, loss, last, n) = (self.level, self.loss, self.layers.len() - 1, batch.x.rows());
        let sum = if loss.fused_with().is_some() {
            let outputs = self.outputs_mut(last, numbers.get_mut(last), n);
            loss::cross_entropy(level, loss, outputs, batch.y, batch.weights, errors);
            None
        } else {
            let predictions = self.outputs(last, numbers.get(last), n);
            Some(loss::errors(level, loss, predictions, batch.y, batch.weights, errors))
        };
        if !aim.goes_back() {
            return sum;
        }
        let ([rows, derivatives], [out]) = numbers.get_beside([last, self.derivatives(last)], [self.deltas(last)]);
        let predictions = self.outputs(last, rows, n);
        let slope = self.slope(last, (rows, derivatives), n);
        let out = self.outputs_mut(last, out, n);
        loss::output_deltas(level, loss, predictions, batch.y, batch.weights, n_samples, slope, out);
        sum
    }

    /// The deltas of the output layer from the gradient (B, O) of some loss at the predictions.
    pub(super) fn output_deltas<T: Element>(&self, gradient: Matrix<'_, T>, numbers: &mut Parts<'_, T>) {
        let (last, n) = (self.layers.len() - 1, gradient.rows());
        let ([rows, derivatives], [out]) = numbers.get_beside([last, self.derivatives(last)], [self.deltas(last)]);
        let (predictions, mut out) = (self.outputs(last, rows, n), self.outputs_mut(last, out, n));
        for row in 0..n {
            out.row_mut(row).copy_from_slice(gradient.row(row));
        }
        if self.layers[last].activation() == Activation::Softmax {
            return loss::softmax_deltas(self.level, predictions, out);
        }
        loss::deltas_of_gradient(self.level, self.slope(last, (rows, derivatives), n), out);
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
        let before = layer - 1;
        let read = [self.deltas(layer), before, self.derivatives(before)];
        let ([deltas, activations, derivatives], [out]) = numbers.get_beside(read, [self.deltas(before)]);
        let slope = self.slope(before, (activations, derivatives), n_samples);
        let deltas = self.outputs(layer, deltas, n_samples);
        let (weights, _) = self.layers[layer].parameters(parameters);
        let out = self.outputs_mut(before, out, n_samples);
        dense::input_gradient(self.layers[before].level(), deltas, weights, slope, out, workspace);
    }

    /// The same of some columns of them, and of all samples; `before` and `after` are the numbers on both sides of the deltas of
    /// the layer before.
    pub(super) fn input_gradient_columns<T: Element>(
        &self,
        (layer, columns): (usize, &Range<usize>),
        parameters: &[T],
        (n_samples, before, after): (usize, &[T], &[T]),
        out: MatrixMut<'_, T>, // (B, columns)
        workspace: &mut [T],
    ) {
        let slope = self.outputs(layer - 1, &before[self.starts[layer - 1]..], n_samples);
        let activation = self.layers[layer - 1].activation();
        let slope = Slope::Of(activation, slope.columns_of(columns.start, columns.len()));
        let deltas = self.outputs(layer, after, n_samples);
        let (weights, _) = self.layers[layer].parameters(parameters);
        let weights = weights.window(columns.start, columns.len());
        dense::input_gradient(self.layers[layer - 1].level(), deltas, weights, slope, out, workspace);
    }

    /// From the samples' deltas of the output layer to those of every layer that such a range of layers takes.
    pub(super) fn way_back<T: Element>(
        &self,
        layers: Range<usize>,
        parameters: &[T],
        n_samples: usize,
        numbers: &mut Parts<'_, T>,
        workspace: &mut [T],
    ) {
        for layer in layers.rev() {
            self.input_gradient(layer, parameters, n_samples, numbers, workspace);
        }
    }

    /// The gradient at the samples themselves, from the deltas of the first layer.
    pub(super) fn sample_gradient<T: Element>(
        &self,
        parameters: &[T],
        (x, first): (Matrix<'_, T>, usize), // (B, I)
        numbers: &[T],
        out: MatrixMut<'_, T>, // (B, I)
        workspace: &mut [T],
    ) {
        let deltas = &numbers[self.length() + first * self.strides[0]..];
        let (weights, _) = self.layers[0].parameters(parameters);
        let slope = Slope::Of(Activation::Identity, x);
        dense::input_gradient(self.level, self.outputs(0, deltas, x.rows()), weights, slope, out, workspace);
    }

    /// The input and the deltas of a block of a layer's weights.
    fn factors<'a, T: Copy>(&self, block: &Block, x: Matrix<'a, T>, numbers: &'a [T]) -> [Matrix<'a, T>; 2] {
        let Block { layer, rows, columns } = block;
        let deltas = &numbers[self.length() + self.starts[*layer]..];
        let deltas = Matrix::new(deltas, x.rows(), self.widths[*layer], self.strides[*layer]);
        let end = rows.end.min(self.layers[*layer].n_inputs());
        let input = self.input(*layer, x, numbers).columns_of(rows.start, end - rows.start);
        [input, deltas.columns_of(columns.start, columns.len())]
    }

    /// The weights and the biases of a block of a layer's parameters, or of what belongs to them.
    fn parameters_of<'a, T>(&self, block: &Block, numbers: MatrixMut<'a, T>) -> Parameters<'a, T> {
        let n_inputs = self.layers[block.layer].n_inputs();
        let n = block.rows.end.min(n_inputs) - block.rows.start;
        let (weights, biases) = numbers.first_columns(block.columns.len()).split_rows(n);
        Parameters { weights, biases: (block.rows.end > n_inputs).then(|| biases.into_data()) }
    }

    /// The step of a block of a layer's `parameters`, with the optimiser's states of it.
    pub(super) fn update<T: Element>(
        &self,
        block: &Block,
        descent: &Descent<T>,
        (x, numbers): (Matrix<'_, T>, &[T]), // (B, I)
        parameters: MatrixMut<'_, T>,
        states: [Option<MatrixMut<'_, T>>; 2],
        workspace: &mut [T],
    ) {
        let [input, deltas] = self.factors(block, x, numbers);
        let of = |numbers| self.parameters_of(block, numbers);
        let (level, states) = (self.layers[block.layer].level(), states.map(|state| state.map(of)));
        update::update(level, descent, input, deltas, of(parameters), states, workspace);
    }

    /// The gradients of a block of a layer's parameters.
    pub(super) fn parameter_gradient<T: Element>(
        &self,
        block: &Block,
        (x, numbers): (Matrix<'_, T>, &[T]), // (B, I)
        out: MatrixMut<'_, T>,
        workspace: &mut [T],
    ) {
        let [input, deltas] = self.factors(block, x, numbers);
        let out = self.parameters_of(block, out);
        update::parameter_gradient(self.layers[block.layer].level(), input, deltas, out, workspace);
    }
}
