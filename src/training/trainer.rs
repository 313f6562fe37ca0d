//! `train`: the whole loop, its stops, and what is left behind after each of them.
//!
//! A step is: forward, loss, and only where the loss is finite, backward. So that a diverged run can keep the parameters
//! of its last finite step, they are looked at and copied every `SNAPSHOT` steps; since every step gives the same bits each
//! time, going back means to copy them in and to take the steps again, each now with a look at what it leaves behind.

use crate::error::{Error, zeros};
use crate::kernels::{Element, Matrix};
use crate::network::Network;
use crate::training::{Batches, Plan, Settings};

/// Steps between two copies of the parameters. A copy is cheaper than the cheapest step (batch 1: one read and one write
/// of a parameter against two of each and their arithmetic), so that this costs at most one part in 64.
const SNAPSHOT: usize = 64;

/// Floating-point operations between two polls: below a millisecond at 5 GF/s, below 0.1 s without SIMD.
const WORK_PER_POLL: usize = 4_000_000;

/// What a step costs beside its arithmetic, in floating-point operations.
const WORK_PER_STEP: usize = 500;

/// About what a step costs, in floating-point operations.
pub(crate) fn work_per_step(n_parameters: usize, batch_size: usize) -> usize {
    n_parameters.saturating_mul(batch_size).saturating_mul(6).saturating_add(WORK_PER_STEP)
}

/// The caller's view of a running training.
pub trait Observer<T> {
    /// Asked every few milliseconds, between two steps: may the training go on?
    fn poll(&mut self) -> bool;

    /// Told after each epoch, with the predictions where a batch is all samples: may the training go on?
    fn epoch(&mut self, epoch: usize, loss: f64, predictions: Option<Matrix<'_, T>>) -> bool;
}

/// Trains a network for as many epochs as there is room for their `losses`: the sum over the batches, each before its step.
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
    settings: Settings,
    learning_rate: T,
    observer: &mut impl Observer<T>,
    losses: &mut [f64],
) -> Result<(), Error> {
    let parameters = network.buffer().as_slice().len();
    let mut trainer = Trainer {
        plan: Plan::new(network, batches.batch_size(), settings)?,
        snapshot: Snapshot { steps: 0, parameters: zeros(parameters)? },
        steps: 0,
        work_per_step: work_per_step(parameters, batches.batch_size()),
        work: 0,
        network,
        batches,
        learning_rate,
        observer,
    };
    let result = trainer.run(losses);
    // A stop may come before the look at parameters that have overflowed: the copy then is the last good state.
    if result == Err(Error::Stopped) && !trainer.network.is_finite() {
        trainer.restore();
    }
    result
}

struct Trainer<'a, 'data, T, O> {
    network: &'a mut Network<T>,
    batches: &'a mut Batches<'data, T>,
    learning_rate: T,
    observer: &'a mut O,
    plan: Plan<T>,
    snapshot: Snapshot<T>,
    /// Steps taken.
    steps: usize,
    /// Work since the last poll, and that of one step.
    work: usize,
    work_per_step: usize,
}

/// Parameters after so many steps, finite, and their loss too.
struct Snapshot<T> {
    steps: usize,
    parameters: Vec<T>,
}

impl<T: Element> Snapshot<T> {
    fn take(&mut self, steps: usize, network: &Network<T>) {
        self.steps = steps;
        self.parameters.copy_from_slice(network.buffer().as_slice());
    }
}

impl<T: Element, O: Observer<T>> Trainer<'_, '_, T, O> {
    fn run(&mut self, losses: &mut [f64]) -> Result<(), Error> {
        let (per_epoch, batch_size) = (self.batches.per_epoch(), self.batches.batch_size());
        for (epoch, loss_of_epoch) in losses.iter_mut().enumerate() {
            *loss_of_epoch = 0.0;
            for batch in 0..per_epoch {
                self.poll()?;
                *loss_of_epoch += self.step(epoch, batch).map_err(|loss| self.go_back(loss))?;
            }
            if !loss_of_epoch.is_finite() {
                return Err(self.go_back(Some(*loss_of_epoch))); // the sum of finite losses
            }
            let predictions = (per_epoch == 1).then(|| self.plan.predictions(batch_size));
            if !self.observer.epoch(epoch, *loss_of_epoch, predictions) {
                return Err(Error::Stopped);
            }
        }
        if self.network.is_finite() { Ok(()) } else { Err(self.go_back(None)) }
    }

    /// Takes one step and returns the loss before it. Where that is not finite it is the error, or nothing where a parameter
    /// is seen not to be finite; no step is taken then.
    fn step(&mut self, epoch: usize, batch: usize) -> Result<f64, Option<f64>> {
        let (x, y) = self.batches.get(epoch, batch);
        let loss = self.plan.pass(self.network, x, Some(y));
        if !loss.is_finite() {
            return Err(Some(loss));
        }
        if self.steps.is_multiple_of(SNAPSHOT) {
            if !self.network.is_finite() {
                return Err(None);
            }
            self.snapshot.take(self.steps, self.network);
        }
        self.plan.update(self.network, x, y, self.learning_rate);
        self.steps += 1;
        Ok(loss)
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

    /// Where the loss or a parameter is not finite: leaves the parameters of the last step before which both were. The copy is of
    /// an earlier step: it is made only where all is finite.
    fn go_back(&mut self, loss: Option<f64>) -> Error {
        let (failed, per_epoch) = (self.steps, self.batches.per_epoch());
        if failed == 0 {
            return Error::Diverged { epoch: 0, loss, at_once: true };
        }
        self.restore();
        let mut epoch = (failed - 1) / per_epoch;
        while self.steps < failed {
            if let Err(stopped) = self.poll() {
                return stopped;
            }
            let (x, y) = self.batches.get(self.steps / per_epoch, self.steps % per_epoch);
            self.plan.pass(self.network, x, Some(y));
            self.plan.update(self.network, x, y, self.learning_rate);
            self.steps += 1;
            let (x, y) = self.batches.get(self.steps / per_epoch, self.steps % per_epoch);
            if !(self.network.is_finite() && self.plan.pass(self.network, x, Some(y)).is_finite()) {
                self.restore();
                epoch = self.steps / per_epoch;
                break;
            }
            self.snapshot.take(self.steps, self.network);
        }
        Error::Diverged { epoch, loss, at_once: false }
    }

    /// Goes back to the copy.
    fn restore(&mut self) {
        self.steps = self.snapshot.steps;
        self.network.buffer_mut().as_mut_slice().copy_from_slice(&self.snapshot.parameters);
    }
}
