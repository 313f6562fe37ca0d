//! `Network`: the layers and all their parameters in one buffer.
//!
//! It knows its shape and its numbers; a `training::Plan` runs it.

use super::Dense;
use crate::error::Error;
use crate::kernels::{Activation, Buffer, Element, Level, Matrix, MatrixMut, stride_of};

/// A chain of dense layers.
#[derive(Debug)]
pub struct Network<T> {
    layers: Vec<Dense>,
    parameters: Buffer<T>,
    level: Level,
}

impl<T: Element> Network<T> {
    /// A network of these widths, features first, with an activation for each layer; all parameters are 0.
    ///
    /// # Errors
    ///
    /// `Error::OutOfRange` for fewer than two widths, `Error::EmptyLayer` for a width of 0, `Error::OutOfMemory`.
    ///
    /// # Panics
    ///
    /// If there are not as many activations as layers.
    pub fn new(sizes: &[usize], activations: &[Activation], level: Level) -> Result<Self, Error> {
        if sizes.len() < 2 {
            return Err(Error::OutOfRange {
                option: "sizes",
                expected: "at least two widths, of the features and of each layer's outputs".to_owned(),
                value: format!("{sizes:?}"),
            });
        }
        assert_eq!(activations.len(), sizes.len() - 1, "activations, layers");
        let too_large = Error::OutOfMemory { numbers: usize::MAX };
        let mut layers = Vec::new();
        let mut length = 0_usize;
        for (i, pair) in sizes.windows(2).enumerate() {
            let &[n_inputs, n_outputs] = pair else { unreachable!("windows of two") };
            if n_inputs == 0 || n_outputs == 0 {
                let (argument, shape) = (format!("layer {i}"), vec![n_inputs, n_outputs]);
                return Err(Error::EmptyLayer { argument, shape });
            }
            let level = level.for_rows_of::<T>(n_outputs);
            let width = n_outputs.checked_next_multiple_of(level.lanes::<T>()).ok_or_else(|| too_large.clone())?;
            let stride = stride_of::<T>(width, n_inputs);
            layers.push(Dense::new((n_inputs, n_outputs), activations[i], level, (width, stride), length));
            length = n_inputs
                .checked_add(1)
                .and_then(|rows| rows.checked_mul(stride))
                .and_then(|size| size.checked_add(length))
                .ok_or_else(|| too_large.clone())?;
        }
        Ok(Self { layers, parameters: Buffer::new(length)?, level })
    }

    /// The layers, first to last.
    #[must_use]
    pub fn layers(&self) -> &[Dense] {
        &self.layers
    }

    /// The instructions that it runs with.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Weights (I, O) and biases (O) of one layer.
    ///
    /// # Panics
    ///
    /// If there is no such layer.
    #[must_use]
    pub fn parameters(&self, layer: usize) -> (Matrix<'_, T>, &[T]) {
        self.layers[layer].parameters(self.parameters.as_slice())
    }

    /// Weights (I, O) and biases (O) of one layer, to be written.
    ///
    /// # Panics
    ///
    /// If there is no such layer.
    #[must_use]
    pub fn parameters_mut(&mut self, layer: usize) -> (MatrixMut<'_, T>, &mut [T]) {
        self.layers[layer].parameters_mut(self.parameters.as_mut_slice())
    }

    /// The number of weights and biases.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        self.layers.iter().map(|layer| (layer.n_inputs() + 1) * layer.n_outputs()).sum()
    }

    /// Copies the weights (I, O), row by row, and the biases (O) of one layer.
    ///
    /// # Panics
    ///
    /// If there is no such layer, or the lengths are not the layer's.
    pub fn set_parameters(&mut self, layer: usize, weights: &[T], biases: &[T]) {
        let (mut own_weights, own_biases) = self.parameters_mut(layer);
        assert_eq!(weights.len(), own_weights.rows() * own_weights.columns(), "number of weights");
        own_biases.copy_from_slice(biases);
        for (i, row) in weights.chunks_exact(own_biases.len()).enumerate() {
            own_weights.row_mut(i).copy_from_slice(row);
        }
    }

    /// Copies numbers that are laid out as the parameters without their padding: layer by layer the weights, row by row, then
    /// the biases.
    ///
    /// # Panics
    ///
    /// If a length is not that of the network.
    pub fn pack(&self, buffer: &[T], out: &mut [T]) {
        assert_eq!((buffer.len(), out.len()), (self.parameters.as_slice().len(), self.n_parameters()), "lengths");
        let mut rest = out;
        for row in self.rows() {
            let (out, after) = rest.split_at_mut(row.len());
            out.copy_from_slice(&buffer[row]);
            rest = after;
        }
    }

    /// The reverse.
    ///
    /// # Panics
    ///
    /// If a length is not that of the network.
    pub fn unpack(&self, numbers: &[T], buffer: &mut [T]) {
        assert_eq!((buffer.len(), numbers.len()), (self.parameters.as_slice().len(), self.n_parameters()), "lengths");
        let mut rest = numbers;
        for row in self.rows() {
            let (numbers, after) = rest.split_at(row.len());
            buffer[row].copy_from_slice(numbers);
            rest = after;
        }
    }

    /// Where the rows of all layers lie in a buffer, without their padding.
    fn rows(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.layers.iter().flat_map(|layer| {
            (0..=layer.n_inputs()).map(|row| {
                let start = layer.rows(row..row).start;
                start..start + layer.n_outputs()
            })
        })
    }

    /// All parameters with their padding, as the layers' passes take them.
    #[must_use]
    pub fn buffer(&self) -> &Buffer<T> {
        &self.parameters
    }

    /// The same, to be written.
    #[must_use]
    pub fn buffer_mut(&mut self) -> &mut Buffer<T> {
        &mut self.parameters
    }

    /// No parameter is infinite or NaN.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        // Rows are looked at whole: a loop that ends early takes one number at a time.
        let is_finite = |row: &[T]| row.iter().fold(true, |all, number| all & number.is_finite());
        self.rows().all(|row| is_finite(&self.parameters.as_slice()[row]))
    }
}
