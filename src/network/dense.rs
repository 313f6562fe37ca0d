//! `Dense`: one layer's place in the network's parameters.
//!
//! A layer's parameters are its weights, row by row, then its biases. Rows are padded to whole registers: the padding
//! is zero at first and is never read by a chain of another output (an infinite input makes NaN of it, harmlessly).

use std::ops::Range;

use crate::kernels::{Activation, Level, Matrix, MatrixMut};

/// One layer: `activation(x · weights + biases)`.
#[derive(Clone, Debug)]
pub struct Dense {
    n_inputs: usize,
    n_outputs: usize,
    activation: Activation,
    /// The instructions that suit its rows.
    level: Level,
    /// `n_outputs`, rounded up to whole registers.
    width: usize,
    /// Numbers from one row to the next.
    stride: usize,
    /// Where the layer's parameters begin in the network's.
    start: usize,
}

impl Dense {
    /// A layer whose rows have `width` numbers, `stride` apart, from `start` on.
    pub(super) fn new(
        (n_inputs, n_outputs): (usize, usize),
        activation: Activation,
        level: Level,
        (width, stride): (usize, usize),
        start: usize,
    ) -> Self {
        Self { n_inputs, n_outputs, activation, level, width, stride, start }
    }

    /// Width of the layer's input.
    #[must_use]
    pub fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    /// Width of the layer's output.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    /// What makes activations of the pre-activations.
    #[must_use]
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// The instructions for products whose rows are as wide as its outputs.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// The outputs, rounded up to whole registers.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Numbers from one row of parameters to the next.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Where some rows lie in the network's parameters; the biases are the row after the weights.
    #[must_use]
    pub fn rows(&self, rows: Range<usize>) -> Range<usize> {
        self.start + rows.start * self.stride..self.start + rows.end * self.stride
    }

    /// Weights (I, O) and biases (O) in the network's `parameters`.
    #[must_use]
    pub fn parameters<'a, T>(&self, parameters: &'a [T]) -> (Matrix<'a, T>, &'a [T]) {
        self.split(parameters, self.n_outputs)
    }

    /// The same rows with their padding up to a `width`.
    ///
    /// # Panics
    ///
    /// If the padding ends before it.
    #[must_use]
    pub fn padded_parameters<'a, T>(&self, parameters: &'a [T], width: usize) -> (Matrix<'a, T>, &'a [T]) {
        assert!(width <= self.width, "the padding ends before the width");
        self.split(parameters, width)
    }

    fn split<'a, T>(&self, parameters: &'a [T], columns: usize) -> (Matrix<'a, T>, &'a [T]) {
        let (weights, biases) = parameters[self.rows(0..self.n_inputs + 1)].split_at(self.n_inputs * self.stride);
        (Matrix::new(weights, self.n_inputs, columns, self.stride), &biases[..columns])
    }

    /// Weights (I, O) and biases (O) in the network's `parameters`, to be written.
    #[must_use]
    pub fn parameters_mut<'a, T>(&self, parameters: &'a mut [T]) -> (MatrixMut<'a, T>, &'a mut [T]) {
        let (weights, biases) = parameters[self.rows(0..self.n_inputs + 1)].split_at_mut(self.n_inputs * self.stride);
        (MatrixMut::new(weights, self.n_inputs, self.n_outputs, self.stride), &mut biases[..self.n_outputs])
    }
}
