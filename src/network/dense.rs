//! `Dense`: one layer's place in the network's parameters, and its passes, forward beside backward.
//!
//! A layer's parameters are its weights, row by row, then its biases. Rows are padded to whole registers: the padding
//! is zero at first and is never read by a chain of another output (an infinite input makes NaN of it, harmlessly).

use crate::kernels::{Activation, Buffer, Element, Level, Matrix, MatrixMut, Slope, dense};

/// One layer: `activation(x · weights + biases)`.
#[derive(Clone, Debug)]
pub struct Dense {
    n_inputs: usize,
    n_outputs: usize,
    /// `n_outputs`, rounded up to whole registers.
    stride: usize,
    /// Where the layer's parameters begin in the network's.
    start: usize,
}

impl Dense {
    pub(super) fn new(n_inputs: usize, n_outputs: usize, stride: usize, start: usize) -> Self {
        Self { n_inputs, n_outputs, stride, start }
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

    /// Numbers from one sample's outputs to the next's.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Where the layer's parameters begin in the network's.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Parameters and padding.
    fn length(&self) -> usize {
        (self.n_inputs + 1) * self.stride
    }

    /// Weights (I, O) and biases (O), or their rows with the padding where `columns` is the stride.
    fn split<'a, T>(&self, parameters: &'a [T], columns: usize) -> (Matrix<'a, T>, &'a [T]) {
        let (weights, biases) = parameters[self.start..][..self.length()].split_at(self.n_inputs * self.stride);
        (Matrix::new(weights, self.n_inputs, columns, self.stride), &biases[..columns])
    }

    fn split_mut<'a, T>(&self, parameters: &'a mut [T], columns: usize) -> (MatrixMut<'a, T>, &'a mut [T]) {
        let (weights, biases) = parameters[self.start..][..self.length()].split_at_mut(self.n_inputs * self.stride);
        (MatrixMut::new(weights, self.n_inputs, columns, self.stride), &mut biases[..columns])
    }

    /// The layer's weights (I, O) and biases (O) in the network's `parameters`.
    #[must_use]
    pub fn parameters<'a, T>(&self, parameters: &'a [T]) -> (Matrix<'a, T>, &'a [T]) {
        self.split(parameters, self.n_outputs)
    }

    /// The same, to be written.
    #[must_use]
    pub fn parameters_mut<'a, T>(&self, parameters: &'a mut [T]) -> (MatrixMut<'a, T>, &'a mut [T]) {
        self.split_mut(parameters, self.n_outputs)
    }

    /// Numbers of workspace that the passes of `n_samples` take.
    #[must_use]
    pub fn workspace<T: Element>(&self, level: Level, n_samples: usize) -> usize {
        dense::workspace::<T>(level, n_samples, (self.n_inputs, self.stride))
    }

    /// The activations of `x`, padding included.
    pub fn forward_pass<T: Element>(
        &self,
        level: Level,
        activation: Activation,
        parameters: &[T],
        x: Matrix<'_, T>,      // (B, I)
        activations: &mut [T], // (B, stride)
        workspace: &mut Buffer<T>,
    ) {
        let out = MatrixMut::packed(activations, x.rows(), self.stride);
        dense::forward(level, activation, x, self.split(parameters, self.stride), out, None, workspace.as_mut_slice());
    }

    /// The deltas (B, I) of the layer before, whose `activations` are this layer's input.
    pub fn input_gradient<T: Element>(
        &self,
        level: Level,
        parameters: &[T],
        deltas: &[T],          // (B, stride)
        slope: Slope<'_, T>,   // (B, I)
        out: MatrixMut<'_, T>, // (B, I)
        workspace: &mut Buffer<T>,
    ) {
        let deltas = Matrix::new(deltas, out.rows(), self.n_outputs, self.stride);
        let (weights, _) = self.parameters(parameters);
        dense::input_gradient(level, deltas, weights, slope, out, workspace.as_mut_slice());
    }

    /// One step of gradient descent on the layer's parameters.
    pub fn update<T: Element>(
        &self,
        level: Level,
        parameters: &mut [T],
        learning_rate: T,
        x: Matrix<'_, T>, // (B, I)
        deltas: &[T],     // (B, stride)
        workspace: &mut Buffer<T>,
    ) {
        let deltas = Matrix::packed(deltas, x.rows(), self.stride);
        let parameters = self.split_mut(parameters, self.stride);
        dense::update(level, learning_rate, x, deltas, parameters, workspace.as_mut_slice());
    }
}
