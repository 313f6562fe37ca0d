//! `Plan`: one training step, laid out once: its memory, its jobs, and how many threads they are worth.
//!
//! A step has two rounds of jobs. In `pass` each job takes some samples all the way: forward through every layer, their
//! errors, and with the exact gradient back to the deltas of every layer, since samples need nothing of each other while the
//! parameters stand still. In `update` each job takes some rows of parameters and sums their gradients over all samples. Where
//! threads share the columns of a layer (`Columns`), it is a round of its own each way. The notebook's gradient needs the new
//! weights on the way back: there a layer's update and its input gradient are rounds of their own. Only where the norm of all
//! gradients is bounded are they stored first. A step allocates nothing, and its results are those of the notebook's
//! functions, bit for bit.

mod gradients;
mod small;
mod steps;

use std::ops::Range;

use super::batches::Batch;
use super::columns::Columns;
use super::passes::{Aim, Passes};
use super::rounds::Rounds;
use super::settings::{Gradient, Settings};
use super::stored::Stored;
use crate::error::Error;
use crate::kernels::online::Online;
use crate::kernels::{Buffer, Element, Matrix, MatrixMut, zeros};
use crate::network::Network;
use crate::parallel::{self, Parts};
use small::OneJob;

/// Steps of up to a given number of samples through networks of one shape.
#[derive(Debug)]
pub struct Plan<T> {
    settings: Settings,
    n_samples: usize,
    passed: Passed,
    passes: Passes,
    /// The activations of each layer (B, stride), then the deltas of each, then the derivatives of those that keep them.
    numbers: Buffer<T>,
    /// The error of each sample.
    errors: Vec<f64>,
    stored: Option<Stored<T>>,
    /// For each thread, and for the kernels of a small network.
    workspaces: Buffer<T>,
    rounds: Rounds,
    /// For single samples: all layers of a pass on one thread, or of many steps, in one kernel; and what steps work with. Rounds take
    /// other steps.
    online: Option<Online<T>>,
    of_steps: Buffer<T>,
    /// For batches through a small network that one thread takes as one job: all layers of a pass or of an exact step in one kernel.
    small: Option<OneJob<T>>,
}

/// What the last pass was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Passed {
    aim: Aim,
    n_samples: usize,
    /// It was that of a single sample, which has left activations only.
    online: bool,
    /// It has gone all the way back: the deltas of every layer are there.
    back: bool,
}

/// Which way a layer is gone through.
#[derive(Clone, Copy)]
enum Way {
    Forward,
    Back,
}

/// Where the way back begins.
#[derive(Clone, Copy)]
enum Start<'a, T> {
    /// With the loss of a batch.
    Loss(Batch<'a, T>),
    /// With a gradient at the predictions (B, O).
    Gradient(Matrix<'a, T>),
}

impl<T: Element> Plan<T> {
    /// A plan for batches of at most `n_samples`.
    ///
    /// # Errors
    ///
    /// `Error::OutOfMemory`
    ///
    /// # Panics
    ///
    /// If the loss contains another activation than that of the output layer, or `dropout` does not fit the hidden layers.
    pub fn new(network: &Network<T>, n_samples: usize, settings: Settings) -> Result<Self, Error> {
        settings.assert_fit(network);
        let passes = Passes::of(network, n_samples, &settings)?;
        let too_large = Error::OutOfMemory { numbers: usize::MAX };
        let small = Rounds::are_one_job::<T>(&passes, n_samples).then(|| passes.small::<T>()).flatten();
        let rounds = Rounds::of::<T>(&passes, n_samples, &settings, small.is_some());
        let small = small.filter(|_| rounds.has_steps_of_one()).map(|kernels| OneJob::new(kernels, &passes));
        let online = passes.online::<T>(rounds.threads);
        let workspace = rounds.of_workspaces.end().max(small.as_ref().map_or(0, OneJob::workspace));
        let stored = settings.stores_gradients.then(|| Stored::of(network)).transpose()?;
        Ok(Self {
            n_samples,
            passed: Passed { aim: Aim::Predictions, n_samples: 0, online: false, back: false },
            numbers: Buffer::new(passes.all().ok_or(too_large)?)?,
            errors: zeros(n_samples)?,
            stored,
            workspaces: Buffer::new(workspace)?,
            settings,
            of_steps: Buffer::new(online.as_ref().map_or(0, Online::workspace))?,
            passes,
            rounds,
            online,
            small,
        })
    }

    /// The most samples of a batch.
    #[must_use]
    pub fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// What its steps are made of.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Runs samples through the network, which `activations` then speaks of.
    ///
    /// # Panics
    ///
    /// If there are none or more than the plan is for, or they do not fit the network.
    pub fn predict(&mut self, network: &Network<T>, x: Matrix<'_, T>) {
        self.run(network, x, Aim::Predictions, None);
    }

    /// The same, and `backward` may follow.
    ///
    /// # Panics
    ///
    /// As for `predict`.
    pub fn forward(&mut self, network: &Network<T>, x: Matrix<'_, T>) {
        self.run(network, x, Aim::WayBack, None);
    }

    /// The errors of the samples of a batch, of which `Loss::of_batch` makes its loss.
    ///
    /// # Panics
    ///
    /// As for `predict`, or if `out` is not of the batch's length.
    pub fn errors(&mut self, network: &Network<T>, batch: Batch<'_, T>, out: &mut [f64]) {
        self.run(network, batch.x, Aim::Loss, Some(batch));
        out.copy_from_slice(&self.errors[..batch.x.rows()]);
    }

    /// The loss of a batch, and what is needed for its gradients: `update` or `gradients` may follow. In the step of a
    /// training, which has a number, outputs are left out.
    ///
    /// # Panics
    ///
    /// As for `predict`.
    pub fn pass(&mut self, network: &Network<T>, batch: Batch<'_, T>, step: Option<u64>) -> f64 {
        self.run(network, batch.x, step.map_or(Aim::Gradients, Aim::Step), Some(batch))
    }

    fn run(&mut self, network: &Network<T>, x: Matrix<'_, T>, aim: Aim, batch: Option<Batch<'_, T>>) -> f64 {
        self.assert_is_for(x.rows());
        if matches!(aim, Aim::Step(_)) {
            self.rounds.begin();
        }
        let parameters = network.buffer().as_slice();
        let weights = batch.and_then(|batch| batch.weights);
        let is_online = self.rounds.threads == 1 && weights.is_none() && aim != Aim::WayBack;
        let online = self.online.as_ref().filter(|_| is_online);
        let back = online.is_none() && self.goes_all_the_way(aim);
        self.passed = Passed { aim, n_samples: x.rows(), online: online.is_some(), back };
        if let Some(online) = online {
            let activations = &mut self.numbers.as_mut_slice()[..self.passes.length()];
            let targets = batch.map(|batch| batch.y.row(0));
            let loss = online.forward_pass((x.row(0), targets), parameters, activations);
            self.errors[0] = 2.0 * loss; // half of it is what was taken
            return loss;
        }
        if self.is_small() {
            return self.run_small(parameters, x, (aim, back), batch);
        }
        let mut layer = 0;
        while let Some(shared) = (layer..self.passes.layers.len()).find(|layer| self.rounds.forward[*layer].is_some()) {
            if layer < shared {
                self.over_samples(x.rows(), |passes, first, n, numbers, _, workspace| {
                    let x = (x.window(first, n), first);
                    passes.forward_pass((aim, layer..shared), parameters, x, numbers, workspace);
                });
            }
            self.forward_columns((aim, shared), parameters, x);
            layer = shared + 1;
        }
        let n_layers = self.passes.layers.len();
        let alone = self.rounds.alone_on_the_way_back();
        if layer < n_layers || batch.is_some() {
            self.over_samples(x.rows(), |passes, first, n, numbers, errors, workspace| {
                let x_of_job = (x.window(first, n), first);
                passes.forward_pass((aim, layer..n_layers), parameters, x_of_job, numbers, workspace);
                let Some(batch) = batch else { return };
                passes.errors((aim, x.rows()), batch.window(first, n), numbers, errors);
                if back {
                    passes.way_back(alone..n_layers, parameters, n, numbers, workspace);
                }
            });
        }
        if back {
            self.way_back(alone, parameters, x.rows());
        }
        batch.map_or(0.0, |batch| self.settings.loss.of_batch(&self.errors[..x.rows()], batch.y.columns()))
    }

    /// Whether the next pass or step is taken by the kernels of a small network.
    fn is_small(&self) -> bool {
        self.small.is_some() && self.rounds.threads == 1
    }

    fn assert_is_for(&self, n_samples: usize) {
        assert!((1..=self.n_samples).contains(&n_samples), "a batch that its plan is not made for");
    }

    /// Whether such a pass takes the error back to every layer; that of the notebook's gradient leaves it to `update`.
    fn goes_all_the_way(&self, aim: Aim) -> bool {
        aim.is_for_a_step() && self.settings.gradient == Gradient::Exact
    }

    /// A round whose jobs are shares of the samples.
    fn over_samples(
        &mut self,
        n_samples: usize,
        work: impl Fn(&Passes, usize, usize, &mut Parts<'_, T>, &mut [f64], &mut [T]) + Sync,
    ) {
        let Self { passes, rounds, .. } = self;
        let numbers = rounds.of_numbers.split(self.numbers.as_mut_slice());
        let errors = rounds.of_errors.split(&mut self.errors);
        let workspaces = rounds.of_workspaces.split(self.workspaces.as_mut_slice());
        parallel::run(rounds.threads, rounds.samples.len(), |thread, jobs| {
            let mut workspace = workspaces.take(thread);
            let workspace = workspace.get_mut(0);
            for job in jobs {
                let Range { start, end } = rounds.samples[job];
                let n = end.min(n_samples).saturating_sub(start);
                if n > 0 {
                    let mut errors = errors.take(job);
                    work(passes, start, n, &mut numbers.take(job), &mut errors.get_mut(0)[..n], workspace);
                }
            }
        });
    }

    /// A round whose jobs are shares of a layer's outputs.
    fn forward_columns(&mut self, (aim, layer): (Aim, usize), parameters: &[T], x: Matrix<'_, T>) {
        let place = self.passes.starts[layer]..self.passes.starts[layer + 1];
        self.over_columns((Way::Forward, layer), place, x.rows(), |passes, share, (before, _), out, workspace| {
            passes.forward_columns((aim, layer, share), parameters, (x, before), out, workspace);
        });
    }

    /// A round whose jobs are shares of the deltas of the layer before.
    fn input_gradient_columns(&mut self, layer: usize, parameters: &[T], n_samples: usize) {
        let (deltas, starts) = (self.passes.length(), &self.passes.starts);
        let place = deltas + starts[layer - 1]..deltas + starts[layer];
        self.over_columns((Way::Back, layer), place, n_samples, |passes, share, (before, after), out, workspace| {
            let numbers = (n_samples, before, after);
            passes.input_gradient_columns((layer, share), parameters, numbers, out, workspace);
        });
    }

    /// A round whose jobs are shares of the columns of the numbers at a `place`; they read those on both sides of it.
    fn over_columns(
        &mut self,
        (way, layer): (Way, usize),
        place: Range<usize>,
        n_samples: usize,
        work: impl Fn(&Passes, &Range<usize>, (&[T], &[T]), MatrixMut<'_, T>, &mut [T]) + Sync,
    ) {
        let Self { passes, rounds, .. } = self;
        let columns = match way {
            Way::Forward => &mut rounds.forward[layer],
            Way::Back => &mut rounds.way_back[layer],
        };
        let Columns { shares, of_numbers } = columns.as_mut().expect("columns that are shared");
        let (before, rest) = self.numbers.as_mut_slice().split_at_mut(place.start);
        let (out, after) = rest.split_at_mut(place.len());
        let (sides, out) = ((&*before, &*after), of_numbers.split(out));
        let workspaces = rounds.of_workspaces.split(self.workspaces.as_mut_slice());
        parallel::run(rounds.threads, shares.len(), |thread, jobs| {
            let mut workspace = workspaces.take(thread);
            for job in jobs {
                let mut out = out.take(job);
                let (out, _) = out.matrix_mut(0).split_rows(n_samples);
                work(passes, &shares[job], sides, out, workspace.get_mut(0));
            }
        });
    }

    /// From the deltas of the layer before `end` to those of every layer.
    fn way_back(&mut self, end: usize, parameters: &[T], n_samples: usize) {
        for layer in (1..end).rev() {
            self.input_gradient(layer, parameters, n_samples);
        }
    }

    /// From the deltas of a layer to those of the layer before.
    fn input_gradient(&mut self, layer: usize, parameters: &[T], n_samples: usize) {
        if self.rounds.way_back[layer].is_some() {
            return self.input_gradient_columns(layer, parameters, n_samples);
        }
        self.over_samples(n_samples, |passes, _, n, numbers, _, workspace| {
            passes.input_gradient(layer, parameters, n, numbers, workspace);
        });
    }

    /// From the output layer to the deltas of every layer.
    fn back(&mut self, network: &Network<T>, from: Start<'_, T>) {
        let (parameters, Passed { aim, n_samples, .. }) = (network.buffer().as_slice(), self.passed);
        let (alone, n_layers) = (self.rounds.alone_on_the_way_back(), self.passes.layers.len());
        self.over_samples(n_samples, |passes, first, n, numbers, errors, workspace| {
            match from {
                Start::Loss(batch) => {
                    passes.errors((aim, n_samples), batch.window(first, n), numbers, errors);
                }
                Start::Gradient(gradient) => passes.output_deltas(gradient.window(first, n), numbers),
            }
            passes.way_back(alone..n_layers, parameters, n, numbers, workspace);
        });
        self.way_back(alone, parameters, n_samples);
        self.passed.back = true;
    }

    /// Goes back from the gradient of a loss at the predictions of `forward`; `gradients`, `sample_gradient` or `update` may
    /// follow.
    ///
    /// # Panics
    ///
    /// If the last pass was not `forward`, or of another size.
    pub fn backward(&mut self, network: &Network<T>, gradient: Matrix<'_, T>) {
        assert_eq!((self.passed.aim, self.passed.n_samples), (Aim::WayBack, gradient.rows()), "the last pass");
        self.back(network, Start::Gradient(gradient));
    }

    /// The activations (B, O) of a layer in the last pass.
    ///
    /// # Panics
    ///
    /// If there is no such layer.
    #[must_use]
    pub fn activations(&self, layer: usize) -> Matrix<'_, T> {
        self.passes.outputs(layer, &self.numbers.as_slice()[self.passes.starts[layer]..], self.passed.n_samples)
    }

    /// Those of the last layer.
    #[must_use]
    pub fn predictions(&self) -> Matrix<'_, T> {
        self.activations(self.passes.layers.len() - 1)
    }
}
