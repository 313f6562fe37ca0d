//! `Plan`: one training step, laid out once: its memory, its jobs, and how many threads they are worth.
//!
//! A step has two rounds of jobs. In `pass` each job takes some samples all the way: forward through every layer, their
//! errors, and with the exact gradient back to the deltas of every layer, since samples need nothing of each other while the
//! parameters stand still. In `update` each job takes some rows of parameters and sums their gradients over all samples. The
//! notebook's gradient needs the new weights on the way back: there a layer's update and its input gradient are rounds of
//! their own. A step allocates nothing, and its results are those of the notebook's functions, bit for bit.

use std::ops::Range;

use super::passes::Passes;
use super::rounds::{Rounds, Update};
use crate::error::{Error, zeros};
use crate::kernels::online::Places;
use crate::kernels::{Buffer, Element, Matrix, loss};
use crate::network::Network;
use crate::parallel::{self, Threads};

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

/// How steps are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Through which weights the error goes back.
    pub gradient: Gradient,
    /// How many threads take part.
    pub threads: Threads,
}

/// Steps of up to a given number of samples through networks of one shape.
#[derive(Debug)]
pub struct Plan<T> {
    settings: Settings,
    n_samples: usize,
    /// Samples in the batch of the last pass.
    rows: usize,
    passes: Passes,
    /// The activations of each layer (B, stride), then the deltas of each.
    numbers: Buffer<T>,
    /// The squared error of each sample.
    errors: Vec<f64>,
    /// For each thread.
    workspaces: Buffer<T>,
    rounds: Rounds,
    /// For single samples and small layers: all of a pass in one kernel.
    online: Option<Places>,
}

impl<T: Element> Plan<T> {
    /// A plan for batches of at most `n_samples`.
    ///
    /// # Errors
    ///
    /// `Error::OutOfMemory`
    pub fn new(network: &Network<T>, n_samples: usize, settings: Settings) -> Result<Self, Error> {
        let passes = Passes::of(network, n_samples)?;
        let too_large = Error::OutOfMemory { numbers: usize::MAX };
        let numbers = Buffer::new(passes.length().checked_mul(2).ok_or(too_large)?)?;
        let online = passes.places::<T>(n_samples);
        let rounds = Rounds::of::<T>(&passes, n_samples, settings, online.is_some());
        let workspaces = Buffer::new(rounds.of_workspaces.end())?;
        Ok(Self {
            settings,
            n_samples,
            rows: 0,
            passes,
            numbers,
            errors: zeros(n_samples)?,
            workspaces,
            rounds,
            online,
        })
    }

    /// The most samples of a batch.
    #[must_use]
    pub fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// How its steps are taken.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Runs a batch through the network, which `predictions` then speaks of. With targets it also returns the loss, and
    /// `update` may follow.
    ///
    /// # Panics
    ///
    /// If the batch is empty or larger than the plan, or does not fit the network.
    pub fn pass(
        &mut self,
        network: &Network<T>,
        x: Matrix<'_, T>,               // (B, I)
        targets: Option<Matrix<'_, T>>, // (B, O)
    ) -> f64 {
        assert!((1..=self.n_samples).contains(&x.rows()), "a batch that its plan is not made for");
        self.rows = if targets.is_some() { x.rows() } else { 0 };
        let parameters = network.buffer().as_slice();
        if let Some(online) = &self.online {
            let (activations, _) = self.numbers.as_mut_slice().split_at_mut(self.passes.length());
            let targets = targets.map(|targets| targets.row(0));
            return online.forward_pass((x.row(0), targets), parameters, activations);
        }
        let Self { passes, rounds, .. } = self;
        let numbers = rounds.of_numbers.split(self.numbers.as_mut_slice());
        let errors = rounds.of_errors.split(&mut self.errors);
        let workspaces = rounds.of_workspaces.split(self.workspaces.as_mut_slice());
        parallel::run(rounds.threads, rounds.samples.len(), |thread, jobs| {
            let mut workspace = workspaces.take(thread);
            let workspace = workspace.get_mut(0);
            for job in jobs {
                let Range { start, end } = rounds.samples[job];
                let n_samples = end.min(x.rows()).saturating_sub(start);
                if n_samples == 0 {
                    continue;
                }
                let mut numbers = numbers.take(job);
                passes.forward_pass(parameters, x.window(start, n_samples), &mut numbers, workspace);
                let Some(targets) = targets else { continue };
                let targets = targets.window(start, n_samples);
                passes.errors(targets, &mut numbers, &mut errors.take(job).get_mut(0)[..n_samples]);
                if self.settings.gradient == Gradient::Exact {
                    for layer in (1..passes.layers.len()).rev() {
                        passes.input_gradient(layer, parameters, n_samples, &mut numbers, workspace);
                    }
                }
            }
        });
        if targets.is_some() { loss::half_of_sum(&self.errors[..x.rows()]) } else { 0.0 }
    }

    /// The output layer's activations (B, O) of the last `n_samples` that were run.
    #[must_use]
    pub fn predictions(&self, n_samples: usize) -> Matrix<'_, T> {
        let last = self.passes.layers.len() - 1;
        self.passes.outputs(last, &self.numbers.as_slice()[self.passes.starts[last]..], n_samples)
    }

    /// Takes one step of gradient descent.
    ///
    /// # Panics
    ///
    /// If `x` and `targets` are not of the last batch's size.
    pub fn update(
        &mut self,
        network: &mut Network<T>,
        x: Matrix<'_, T>,       // (B, I)
        targets: Matrix<'_, T>, // (B, O)
        learning_rate: T,
    ) {
        assert_eq!((x.rows(), targets.rows()), (self.rows, self.rows), "the batch of the last pass");
        let gradient = self.settings.gradient;
        if let Some(online) = &self.online {
            let options = (learning_rate, gradient == Gradient::Exact);
            let (activations, deltas) = self.numbers.as_mut_slice().split_at_mut(self.passes.length());
            let parameters = network.buffer_mut().as_mut_slice();
            let sample = (x.row(0), targets.row(0));
            return online.backward_pass(options, sample, parameters, activations, deltas);
        }
        for round in 0..self.rounds.updates.len() {
            self.update_round(network, round, x, learning_rate);
            let layer = self.passes.layers.len() - 1 - round;
            if gradient == Gradient::Notebook && layer > 0 {
                self.input_gradient_round(network, layer, x.rows());
            }
        }
    }

    fn update_round(&mut self, network: &mut Network<T>, round: usize, x: Matrix<'_, T>, learning_rate: T) {
        let Self { passes, rounds, .. } = self;
        let Update { jobs: rows_of, of_parameters } = &mut rounds.updates[round];
        let numbers = self.numbers.as_slice();
        let parameters = of_parameters.split(network.buffer_mut().as_mut_slice());
        let workspaces = rounds.of_workspaces.split(self.workspaces.as_mut_slice());
        parallel::run(rounds.threads, rows_of.len(), |thread, jobs| {
            let mut workspace = workspaces.take(thread);
            let workspace = workspace.get_mut(0);
            for job in jobs {
                let mut parameters = parameters.take(job);
                for (part, (layer, rows)) in rows_of[job].iter().enumerate() {
                    let parameters = parameters.get_mut(part);
                    passes.update((*layer, rows.clone()), learning_rate, x, numbers, parameters, workspace);
                }
            }
        });
    }

    /// From the deltas of `layer` to those of the layer before, all samples.
    fn input_gradient_round(&mut self, network: &Network<T>, layer: usize, rows: usize) {
        let Self { passes, rounds, .. } = self;
        let parameters = network.buffer().as_slice();
        let numbers = rounds.of_numbers.split(self.numbers.as_mut_slice());
        let workspaces = rounds.of_workspaces.split(self.workspaces.as_mut_slice());
        parallel::run(rounds.threads, rounds.samples.len(), |thread, jobs| {
            let mut workspace = workspaces.take(thread);
            for job in jobs {
                let Range { start, end } = rounds.samples[job];
                let n_samples = end.min(rows).saturating_sub(start);
                if n_samples > 0 {
                    passes.input_gradient(layer, parameters, n_samples, &mut numbers.take(job), workspace.get_mut(0));
                }
            }
        });
    }
}
