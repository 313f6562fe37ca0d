//! `Plan`: the memory of one training step, laid out once, and the step itself, forward beside backward.
//!
//! For every layer it keeps the activations and the deltas of a batch (B, stride); a step allocates nothing, and its
//! results are those of the notebook's functions, bit for bit.

use crate::error::Error;
use crate::kernels::online::{Place, Places};
use crate::kernels::{Buffer, Element, Matrix, MatrixMut, Slope, loss};
use crate::network::{Dense, Network};

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
    pub const ALL: &'static [(&'static str, Self)] = &[("notebook", Self::Notebook), ("exact", Self::Exact)];
}

/// The memory for steps of up to a given number of samples through networks of one shape.
#[derive(Debug)]
pub struct Plan<T> {
    /// Where each layer's rows begin in `activations` and in `deltas`; one more entry closes the last.
    starts: Vec<usize>,
    activations: Buffer<T>,
    deltas: Buffer<T>,
    workspace: Buffer<T>,
    n_samples: usize,
    /// Samples in the batch that the activations are of.
    rows: usize,
    /// For single samples and small layers: all of a pass in one kernel.
    online: Option<Places>,
}

/// Weights of a layer up to which single samples go through the network in one kernel. Beyond it the products are worth
/// a call each, and the input gradient worth its transposed panels.
const SMALL_LAYER: usize = 2048;

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
        let small = |layer: &Dense| layer.n_inputs().saturating_mul(layer.n_outputs()) <= SMALL_LAYER;
        let online = (n_samples == 1 && network.layers().iter().all(small)).then(|| {
            let places = network.layers().iter().zip(&starts).map(|(layer, &row)| Place {
                n_inputs: layer.n_inputs(),
                n_outputs: layer.n_outputs(),
                stride: layer.stride(),
                parameters: layer.start(),
                row,
            });
            Places::new::<T>(network.level(), places.collect())
        });
        let workspace = network.layers().iter().map(|layer| layer.workspace::<T>(network.level(), n_samples)).max();
        let workspace = Buffer::new(if online.is_some() { 0 } else { workspace.unwrap_or(0) })?;
        Ok(Self { starts, activations, deltas, workspace, n_samples, rows: 0, online })
    }

    /// Runs a batch through the network and returns its loss; `predictions` and `backward_pass` then speak of it.
    ///
    /// # Panics
    ///
    /// If the batch is empty or larger than the plan, or does not fit the network.
    pub fn forward_pass(
        &mut self,
        network: &Network<T>,
        x: Matrix<'_, T>,       // (B, I)
        targets: Matrix<'_, T>, // (B, O)
    ) -> f64 {
        assert!((1..=self.n_samples).contains(&x.rows()), "a batch that its plan is not made for");
        self.rows = x.rows();
        let activations = self.activations.as_mut_slice();
        if let Some(online) = &self.online {
            let (sample, parameters) = ((x.row(0), targets.row(0)), network.buffer().as_slice());
            return online.forward_pass(network.activation(), sample, parameters, activations);
        }
        let parameters = network.buffer().as_slice();
        for (i, layer) in network.layers().iter().enumerate() {
            let (before, out) = activations.split_at_mut(self.starts[i]);
            let input = match i.checked_sub(1) {
                None => x,
                Some(i) => outputs_of(&network.layers()[i], &before[self.starts[i]..], x.rows()),
            };
            let workspace = &mut self.workspace;
            layer.forward_pass(network.level(), network.activation(), parameters, input, out, workspace);
        }
        let predictions = self.predictions(network, x.rows());
        loss::half_squared_error(network.level(), predictions, targets)
    }

    /// The output layer's activations (B, O) of the last `n_samples` that were run.
    #[must_use]
    pub fn predictions(&self, network: &Network<T>, n_samples: usize) -> Matrix<'_, T> {
        let layer = network.layers().len() - 1;
        outputs_of(&network.layers()[layer], &self.activations.as_slice()[self.starts[layer]..], n_samples)
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
        assert_eq!((x.rows(), targets.rows()), (self.rows, self.rows), "the batch of the last forward pass");
        if let Some(online) = &self.online {
            let options = (network.activation(), learning_rate, gradient == Gradient::Exact);
            let sample = (x.row(0), targets.row(0));
            let (_, parameters) = network.layers_and_buffer();
            let (activations, deltas) = (self.activations.as_slice(), self.deltas.as_mut_slice());
            return online.backward_pass(options, sample, parameters.as_mut_slice(), activations, deltas);
        }
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
        let predictions = outputs_of(layer, &self.activations.as_slice()[self.starts[i]..], targets.rows());
        let slope = Slope::Of(network.activation(), predictions);
        let out = &mut self.deltas.as_mut_slice()[self.starts[i]..];
        let out = MatrixMut::new(out, targets.rows(), layer.n_outputs(), layer.stride());
        loss::output_deltas(network.level(), predictions, targets, slope, out);
    }

    /// From the deltas of layer `i` to those of the layer before; the first layer has none before it.
    fn input_gradient(&mut self, network: &Network<T>, i: usize, n_samples: usize) {
        let Some(before) = i.checked_sub(1) else { return };
        let rows = &self.activations.as_slice()[self.starts[before]..];
        let activations = outputs_of(&network.layers()[before], rows, n_samples);
        let slope = Slope::Of(network.activation(), activations);
        let (out, deltas) = self.deltas.as_mut_slice().split_at_mut(self.starts[i]);
        let out =
            MatrixMut::new(&mut out[self.starts[before]..], n_samples, activations.columns(), activations.stride());
        let parameters = network.buffer().as_slice();
        network.layers()[i].input_gradient(network.level(), parameters, deltas, slope, out, &mut self.workspace);
    }

    /// The step of layer `i`.
    fn update(&mut self, network: &mut Network<T>, i: usize, x: Matrix<'_, T>, learning_rate: T) {
        let level = network.level();
        let input = match i {
            0 => x,
            _ => {
                let rows = &self.activations.as_slice()[self.starts[i - 1]..];
                outputs_of(&network.layers()[i - 1], rows, x.rows())
            }
        };
        let deltas = &self.deltas.as_slice()[self.starts[i]..];
        let (layers, parameters) = network.layers_and_buffer();
        layers[i].update(level, parameters.as_mut_slice(), learning_rate, input, deltas, &mut self.workspace);
    }
}

/// The outputs (B, O) of a layer without their padding, from where its rows begin.
fn outputs_of<'a, T>(layer: &Dense, rows: &'a [T], n_samples: usize) -> Matrix<'a, T> {
    Matrix::new(rows, n_samples, layer.n_outputs(), layer.stride())
}
