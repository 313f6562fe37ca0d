//! `train`: the whole loop, its stops, and what is left behind after each of them.
//!
//! A step is: forward, loss, and only where the loss is finite, backward. So that a diverged run can keep the parameters
//! of its last finite step, they are copied every `SNAPSHOT` steps; since every step gives the same bits each time, going
//! back means to copy them in and to run the steps up to the wanted one again.

use crate::error::{Error, zeros};
use crate::kernels::{Element, Matrix};
use crate::network::Network;
use crate::training::{Batches, Gradient, Plan};

/// Steps between two copies of the parameters. A copy is cheaper than the cheapest step (batch 1: one read and one write
/// of a parameter against two of each and their arithmetic), so that this costs at most one part in 64.
const SNAPSHOT: usize = 64;

/// Floating-point operations between two polls: below a millisecond at 5 GF/s, below 0.1 s without SIMD.
const WORK_PER_POLL: usize = 4_000_000;

/// What a step costs beside its arithmetic, in floating-point operations.
const WORK_PER_STEP: usize = 500;

/// How to train.
#[derive(Clone, Copy, Debug)]
pub struct Settings<T> {
    /// Passes over the data.
    pub epochs: usize,
    /// The step size.
    pub learning_rate: T,
    /// Through which weights the error goes back.
    pub gradient: Gradient,
}

/// The caller's view of a running training.
pub trait Observer<T> {
    /// Asked every few milliseconds, between two steps: may the training go on?
    fn poll(&mut self) -> bool;

    /// Told after each epoch, with the predictions where a batch is all samples: may the training go on?
    fn epoch(&mut self, epoch: usize, loss: f64, predictions: Option<Matrix<'_, T>>) -> bool;
}

/// Trains a network and returns the loss of each epoch: the sum over its batches, each before its step.
///
/// # Errors
///
/// `Error::Stopped` where the observer has asked for it, at a whole step. `Error::Diverged` where the loss or a parameter
/// is not finite; the network then has the parameters of the last step whose loss was. `Error::OutOfMemory` before the
/// first step.
///
/// # Panics
///
/// If the data do not have the network's widths.
pub fn train<T: Element>(
    network: &mut Network<T>,
    batches: &mut Batches<'_, T>,
    settings: Settings<T>,
    observer: &mut impl Observer<T>,
) -> Result<Vec<f64>, Error> {
    let mut losses = zeros(settings.epochs)?;
    let parameters = network.buffer().as_slice().len();
    let mut trainer = Trainer {
        plan: Plan::new(network, batches.batch_size())?,
        snapshot: Snapshot { step: 0, parameters: zeros(parameters)? },
        work_per_step: 6_usize
            .saturating_mul(parameters)
            .saturating_mul(batches.batch_size())
            .saturating_add(WORK_PER_STEP),
        work: 0,
        network,
        batches,
        settings,
        observer,
    };
    trainer.run(&mut losses)?;
    Ok(losses)
}

struct Trainer<'a, 'data, T, O> {
    network: &'a mut Network<T>,
    batches: &'a mut Batches<'data, T>,
    settings: Settings<T>,
    observer: &'a mut O,
    plan: Plan<T>,
    snapshot: Snapshot<T>,
    /// Work since the last poll, and that of one step.
    work: usize,
    work_per_step: usize,
}

/// Parameters whose loss was finite at that step.
struct Snapshot<T> {
    step: usize,
    parameters: Vec<T>,
}

impl<T: Element, O: Observer<T>> Trainer<'_, '_, T, O> {
    fn run(&mut self, losses: &mut [f64]) -> Result<(), Error> {
        let per_epoch = self.batches.per_epoch();
        for (epoch, loss_of_epoch) in losses.iter_mut().enumerate() {
            for step in epoch * per_epoch..(epoch + 1) * per_epoch {
                self.poll()?;
                let loss = self.forward_pass(step);
                if !loss.is_finite() {
                    return Err(self.go_back(step, epoch, loss));
                }
                if step.is_multiple_of(SNAPSHOT) {
                    self.snapshot.step = step;
                    self.snapshot.parameters.copy_from_slice(self.network.buffer().as_slice());
                }
                self.backward_pass(step);
                *loss_of_epoch += loss;
            }
            let all = self.batches.batch_size();
            let predictions = (per_epoch == 1).then(|| self.plan.predictions(self.network, all));
            if !self.observer.epoch(epoch, *loss_of_epoch, predictions) {
                return Err(Error::Stopped);
            }
        }
        if self.network.is_finite() {
            return Ok(());
        }
        // The last step's parameters have no loss of their own; one that is not finite is as good as such a loss.
        Err(self.go_back(losses.len() * per_epoch, losses.len().saturating_sub(1), f64::NAN))
    }

    /// Runs the batch of a step forward and returns its loss.
    fn forward_pass(&mut self, step: usize) -> f64 {
        let (x, y) = self.batches.get(step);
        self.plan.forward_pass(self.network, x);
        self.plan.loss(self.network, y)
    }

    /// Runs it backward and takes the step.
    fn backward_pass(&mut self, step: usize) {
        let (x, y) = self.batches.get(step);
        let Settings { learning_rate, gradient, .. } = self.settings;
        self.plan.backward_pass(self.network, x, y, learning_rate, gradient);
    }

    /// Asks the observer once in a while.
    fn poll(&mut self) -> Result<(), Error> {
        self.work = self.work.saturating_add(self.work_per_step);
        if self.work < WORK_PER_POLL {
            return Ok(());
        }
        self.work = 0;
        if self.observer.poll() { Ok(()) } else { Err(Error::Stopped) }
    }

    /// Restores the parameters of the step before `step`, whose `loss` is not finite.
    fn go_back(&mut self, step: usize, epoch: usize, loss: f64) -> Error {
        if step == 0 {
            return Error::Diverged { epoch, loss, at_once: true };
        }
        let (_, parameters) = self.network.layers_and_buffer();
        parameters.as_mut_slice().copy_from_slice(&self.snapshot.parameters);
        for again in self.snapshot.step..step - 1 {
            if let Err(stopped) = self.poll() {
                return stopped;
            }
            self.forward_pass(again);
            self.backward_pass(again);
        }
        Error::Diverged { epoch, loss, at_once: false }
    }
}
