//! `Plan`: the memory of one training step, laid out once, and the step itself, forward beside backward.
//!
//! For every layer it keeps the activations and the deltas of a batch (B, stride); nothing is allocated afterwards. A
//! step allocates nothing, and its results are those of the notebook's functions, bit for bit.

use crate::error::Error;
use crate::kernels::{Element, Matrix, MatrixMut, Slope, loss};
use crate::network::{Buffer, Network};

/// Through which weights the error goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// Those just updated, as in the notebook.
    Notebook,
    /// The old ones: the gradient of the loss.
    Exact,
}

impl Gradient {
    /// Both, with the names under which users know them.
    pub const ALL: &'static [(&'static str, Self)] =
        &[("notebook", Self::Notebook), ("exact", Self::Exact)];
}

/// The memory for steps of up to a given number of samples through networks of one shape.
#[derive(Debug)]
pub struct Plan<T> {
    /// Where each layer's rows begin in `activations` and in `deltas`; one more entry closes the last.
    starts: Vec<usize>,
    activations: Buffer<T>,
    deltas: Buffer<T>,
    n_samples: usize,
}

impl<T: Element> Plan<T> {
    /// A plan for batches of at most `n_samples`.
    ///
    /// # Errors
    ///
    /// `Error::OutOfMemory`
    pub fn new(network: &Network<T>, n_samples: usize) -> Result<Self, Error> {
        let mut starts = vec![0_usize];
        for layer in network.layers() {
            let end = layer
                .stride()
                .checked_mul(n_samples)
                .and_then(|size| size.checked_add(starts[starts.len() - 1]))
                .ok_or(Error::OutOfMemory { numbers: usize::MAX })?;
            starts.push(end);
        }
        let length = starts[starts.len() - 1];
        let (activations, deltas) = (Buffer::new(length)?, Buffer::new(length)?);
        Ok(Self { starts, activations, deltas, n_samples })
    }

    /// Runs a batch through the network; `predictions` and `backward_pass` then speak of it.
    ///
    /// # Panics
    ///
    /// If the batch is larger than the plan, or the network has another shape.
    pub fn forward_pass(&mut self, network: &Network<T>, x: Matrix<'_, T>) {
        assert!(x.rows() <= self.n_samples, "the batch is larger than its plan");
        let parameters = network.buffer().as_slice();
        let mut n_inputs = x.columns();
        let mut stride = x.stride();
        for (i, layer) in network.layers().iter().enumerate() {
            let (before, out) = self.activations.as_mut_slice().split_at_mut(self.starts[i]);
            let input = match i {
                0 => x,
                _ => Matrix::new(&before[self.starts[i - 1]..], x.rows(), n_inputs, stride),
            };
            layer.forward_pass(network.level(), network.activation(), parameters, input, out);
            (n_inputs, stride) = (layer.n_outputs(), layer.stride());
        }
    }

    /// The output layer's activations (B, O) of the last `n_samples` that were run.
    #[must_use]
    pub fn predictions(&self, network: &Network<T>, n_samples: usize) -> Matrix<'_, T> {
        self.activations_of(network, network.layers().len() - 1, n_samples)
    }

    /// One layer's activations (B, O).
    fn activations_of(&self, network: &Network<T>, layer: usize, n_samples: usize) -> Matrix<'_, T> {
        let rows = &self.activations.as_slice()[self.starts[layer]..];
        let layer = &network.layers()[layer];
        Matrix::new(rows, n_samples, layer.n_outputs(), layer.stride())
    }

    /// The loss of the last batch.
    #[must_use]
    pub fn loss(&self, network: &Network<T>, targets: Matrix<'_, T>) -> f64 {
        let predictions = self.predictions(network, targets.rows());
        loss::half_squared_error(network.level(), predictions, targets)
    }

    /// Goes back through the network and takes one step of gradient descent.
    ///
    /// # Panics
    ///
    /// If `x` and `targets` are not of the last batch's size.
    pub fn backward_pass(
        &mut self,
        network: &mut Network<T>,
        x: Matrix<'_, T>,       // (B, I)
        targets: Matrix<'_, T>, // (B, O)
        learning_rate: T,
        gradient: Gradient,
    ) {
        self.output_deltas(network, targets);
        for i in (0..network.layers().len()).rev() {
            match gradient {
                Gradient::Notebook => {
                    self.update(network, i, x, learning_rate);
                    self.input_gradient(network, i, x.rows());
                }
                Gradient::Exact => {
                    self.input_gradient(network, i, x.rows());
                    self.update(network, i, x, learning_rate);
                }
            }
        }
    }

    fn output_deltas(&mut self, network: &Network<T>, targets: Matrix<'_, T>) {
        let i = network.layers().len() - 1;
        let layer = &network.layers()[i];
        let predictions = Matrix::new(
            &self.activations.as_slice()[self.starts[i]..],
            targets.rows(),
            layer.n_outputs(),
            layer.stride(),
        );
        let slope = Slope::Of(network.activation(), predictions);
        let out = &mut self.deltas.as_mut_slice()[self.starts[i]..];
        let out = MatrixMut::new(out, targets.rows(), layer.n_outputs(), layer.stride());
        loss::output_deltas(network.level(), predictions, targets, slope, out);
    }

    /// From the deltas of layer `i` to those of the layer before; the first layer has none before it.
    fn input_gradient(&mut self, network: &Network<T>, i: usize, n_samples: usize) {
        let Some(before) = i.checked_sub(1) else { return };
        let activations = Matrix::new(
            &self.activations.as_slice()[self.starts[before]..],
            n_samples,
            network.layers()[before].n_outputs(),
            network.layers()[before].stride(),
        );
        let slope = Slope::Of(network.activation(), activations);
        let (out, deltas) = self.deltas.as_mut_slice().split_at_mut(self.starts[i]);
        let out = MatrixMut::new(
            &mut out[self.starts[before]..],
            n_samples,
            activations.columns(),
            activations.stride(),
        );
        let parameters = network.buffer().as_slice();
        network.layers()[i].input_gradient(network.level(), parameters, deltas, slope, out);
    }

    /// The step of layer `i`.
    fn update(&self, network: &mut Network<T>, i: usize, x: Matrix<'_, T>, learning_rate: T) {
        let level = network.level();
        let input = match i {
            0 => x,
            _ => self.activations_of(network, i - 1, x.rows()),
        };
        let deltas = &self.deltas.as_slice()[self.starts[i]..];
        let (layers, parameters) = network.layers_and_buffer();
        layers[i].update(level, parameters.as_mut_slice(), learning_rate, input, deltas);
    }
}
