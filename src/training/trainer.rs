//! `Trainer`: the whole loop, its stops, and what is left behind after each of them.
//!
//! A step is: forward, loss, and only where the loss is finite, backward. So that a diverged run can keep the parameters
//! of its last finite step, they are looked at and copied every `SNAPSHOT` steps, with what the optimiser remembers; since
//! every step gives the same bits each time, going back means to copy them in and to take the steps again, each now with a
//! look at what it leaves behind.

use std::time::Instant;

use crate::error::Error;
use crate::kernels::online::Pauses;
use crate::kernels::{Element, Matrix};
use crate::network::Network;
use crate::training::snapshot::{SNAPSHOT, Snapshot};
use crate::training::{Batches, Optimizer, Plan, Rate, Settings};

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

    /// Whether it is to be told of this epoch. It may be asked several times and ahead of time, and says always the same.
    fn wants(&self, _epoch: usize) -> bool {
        true
    }

    /// Told after an epoch, with the predictions where a batch is all samples: may the training go on?
    fn epoch(&mut self, epoch: usize, loss: f64, predictions: Option<Matrix<'_, T>>) -> bool;
}

/// What is known of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Epoch {
    /// The loss of its batches, each before its step: their sum, or their mean over the samples where the loss is a mean.
    pub loss: f64,
    /// That of its last step.
    pub learning_rate: f64,
    /// The time that it took, where it is measured.
    pub seconds: f64,
}

/// A training that may be continued epoch by epoch.
#[derive(Debug)]
pub struct Trainer<T> {
    batches: Batches<T>,
    plan: Plan<T>,
    rate: Rate,
    /// Epochs are timed: a look at the clock takes a fifth of the smallest step.
    timed: bool,
    snapshot: Snapshot<T>,
    /// Steps taken by this trainer.
    steps: usize,
    /// Work since the last poll, and that of one step.
    work: usize,
    work_per_step: usize,
    last: LastSteps,
}

/// The steps that were taken last: one, or several in one kernel.
#[derive(Debug)]
struct LastSteps {
    /// The loss before each, and its learning rate.
    losses: [f64; SNAPSHOT],
    rates: [f64; SNAPSHOT],
    /// The sample of each, where it is one.
    order: [usize; SNAPSHOT],
}

/// Why steps do not go on.
enum End {
    /// The observer has asked for it.
    Stopped,
    /// The loss before a step is not finite, or, where there is none, a parameter; that step is not taken.
    Diverged(Option<f64>),
}

/// What is trained.
struct Trainee<'a, T> {
    network: &'a mut Network<T>,
    optimizer: &'a mut Optimizer<T>,
    /// Its steps are of single samples, which one kernel takes.
    online: bool,
}

impl<T: Element> Trainer<T> {
    /// A training on these batches.
    ///
    /// # Errors
    ///
    /// `Error::OutOfMemory`
    ///
    /// # Panics
    ///
    /// If the data do not have the network's widths.
    pub fn new(
        network: &Network<T>,
        optimizer: &Optimizer<T>,
        batches: Batches<T>,
        settings: Settings,
    ) -> Result<Self, Error> {
        let length = network.buffer().as_slice().len();
        Ok(Self {
            plan: Plan::new(network, batches.batch_size(), settings)?,
            rate: Rate::Scheduled(1.0),
            timed: false,
            snapshot: Snapshot::of(network, optimizer)?,
            steps: 0,
            work: 0,
            work_per_step: work_per_step(length, batches.batch_size()),
            last: LastSteps { losses: [0.0; SNAPSHOT], rates: [0.0; SNAPSHOT], order: [0; SNAPSHOT] },
            batches,
        })
    }

    /// The same training with a look at the clock after each epoch.
    #[must_use]
    pub fn timed(self) -> Self {
        Self { timed: true, ..self }
    }

    /// About what so many epochs cost, in floating-point operations.
    #[must_use]
    pub fn work(&self, epochs: usize) -> usize {
        self.work_per_step.saturating_mul(self.batches.per_epoch()).saturating_mul(epochs)
    }

    /// Takes its steps from now on with these settings and this optimiser, which may have been exchanged; the number of threads
    /// stays.
    ///
    /// # Errors
    ///
    /// `Error::OutOfMemory`
    pub fn follow(&mut self, network: &Network<T>, optimizer: &Optimizer<T>, settings: &Settings) -> Result<(), Error> {
        let settings = Settings { threads: self.plan.settings().threads, ..settings.clone() };
        if *self.plan.settings() != settings {
            self.plan = Plan::new(network, self.batches.batch_size(), settings)?;
        }
        self.snapshot.follow(optimizer)
    }

    /// Trains for as many epochs more as there is room for.
    ///
    /// # Errors
    ///
    /// `Error::Stopped` where the observer has asked for it, at a whole step. `Error::Diverged` where the loss or a parameter
    /// is not finite; the network then has the parameters of the last step whose loss was, and the optimiser what belongs
    /// to them. The record of the epoch in which it was may be untouched. After either the trainer stands at some step of an
    /// epoch and is of no more use.
    pub fn run(
        &mut self,
        network: &mut Network<T>,
        optimizer: &mut Optimizer<T>,
        rate: Rate,
        observer: &mut impl Observer<T>,
        epochs: &mut [Epoch],
    ) -> Result<(), Error> {
        self.rate = rate;
        let online = self.plan.is_online(optimizer, self.batches.all());
        let mut trainee = Trainee { network, optimizer, online };
        // What the caller may have changed since is not to be gone back behind.
        let start = self.steps;
        let result = self.all(&mut trainee, start, observer, epochs);
        // A stop may come before the look at parameters that have overflowed: the copy then is the last good state.
        if result == Err(Error::Stopped) && self.steps > start && !trainee.network.is_finite() {
            self.restore(&mut trainee);
        }
        result
    }

    fn all(
        &mut self,
        trainee: &mut Trainee<'_, T>,
        start: usize,
        observer: &mut impl Observer<T>,
        epochs: &mut [Epoch],
    ) -> Result<(), Error> {
        let per_epoch = self.batches.per_epoch();
        let first = start / per_epoch;
        let mut began = self.timed.then(Instant::now);
        loop {
            let (epoch, batch) = (self.steps / per_epoch, self.steps % per_epoch);
            let records = &mut epochs[epoch - first..];
            if records.is_empty() {
                break;
            }
            let n = self.steps_at_once(trainee, start, records.len(), observer);
            self.poll(n, observer)?;
            let before = self.steps;
            let outcome = self.take_steps(trainee, start, n, observer);
            let taken = self.steps - before;
            for i in 0..taken {
                let (record, number) = if per_epoch == 1 { (&mut records[i], 0) } else { (&mut records[0], batch + i) };
                if number == 0 {
                    *record = Epoch::default();
                }
                record.loss += self.last.losses[i] * self.share(number);
                record.learning_rate = self.last.rates[i];
            }
            outcome.map_err(|end| match end {
                End::Stopped => Error::Stopped,
                End::Diverged(loss) => self.go_back(trainee, start, loss, observer),
            })?;
            if !self.steps.is_multiple_of(per_epoch) {
                continue;
            }
            let record = &mut records[(taken - 1) / per_epoch];
            if !record.loss.is_finite() {
                return Err(self.go_back(trainee, start, Some(record.loss), observer)); // the sum of finite losses
            }
            if let Some(began) = &mut began {
                let now = Instant::now();
                record.seconds = (now - *began).as_secs_f64();
                *began = now;
            }
            let epoch = self.steps / per_epoch - 1;
            if observer.wants(epoch) {
                let predictions = (per_epoch == 1).then(|| self.plan.predictions());
                if !observer.epoch(epoch, record.loss, predictions) {
                    return Err(Error::Stopped);
                }
            }
        }
        if trainee.network.is_finite() { Ok(()) } else { Err(self.go_back(trainee, start, None, observer)) }
    }

    /// What the loss of a batch counts in that of its epoch.
    #[allow(clippy::cast_precision_loss)] // samples are in memory
    fn share(&self, batch: usize) -> f64 {
        if !self.plan.settings().loss.is_mean() {
            return 1.0;
        }
        let (all, batch_size) = (self.batches.n_samples(), self.batches.batch_size());
        (all - batch * batch_size).min(batch_size) as f64 / all as f64
    }

    /// How many steps can be taken before anybody looks: up to the next copy, or epoch whose end is seen.
    fn steps_at_once(
        &self,
        trainee: &Trainee<'_, T>,
        start: usize,
        n_epochs: usize,
        observer: &impl Observer<T>,
    ) -> usize {
        if !trainee.online {
            return 1;
        }
        let per_epoch = self.batches.per_epoch();
        let most = SNAPSHOT - (self.steps - start) % SNAPSHOT;
        if per_epoch > 1 {
            return most.min(per_epoch - self.steps % per_epoch);
        }
        let most = most.min(n_epochs);
        let seen = |epoch: &usize| self.timed || observer.wants(*epoch);
        (self.steps..).take(most - 1).take_while(|epoch| !seen(epoch)).count() + 1
    }

    /// Takes so many steps, as `steps_at_once` has allowed.
    fn take_steps(
        &mut self,
        trainee: &mut Trainee<'_, T>,
        start: usize,
        n: usize,
        observer: &mut impl Observer<T>,
    ) -> Result<(), End> {
        let is_due = (self.steps - start).is_multiple_of(SNAPSHOT);
        if trainee.online && !is_due {
            return self.descend(trainee, n, observer);
        }
        let per_epoch = self.batches.per_epoch();
        let batch = self.batches.get(self.steps / per_epoch, self.steps % per_epoch);
        let loss = self.plan.pass(trainee.network, batch, Some(trainee.optimizer.steps()));
        if !loss.is_finite() {
            return Err(End::Diverged(Some(loss)));
        }
        if is_due {
            if !trainee.network.is_finite() {
                return Err(End::Diverged(None));
            }
            self.snapshot.take(self.steps, trainee.network, trainee.optimizer);
        }
        if trainee.online {
            return self.descend(trainee, n, observer); // from that pass on again, once in `SNAPSHOT` steps
        }
        (self.last.losses[0], self.last.rates[0]) = (loss, trainee.optimizer.learning_rate(self.rate));
        self.plan.update(trainee.network, trainee.optimizer, batch, self.rate);
        self.steps += 1;
        Ok(())
    }

    /// The same of single samples, in one kernel.
    fn descend(&mut self, trainee: &mut Trainee<'_, T>, n: usize, observer: &mut impl Observer<T>) -> Result<(), End> {
        let per_epoch = self.batches.per_epoch();
        let LastSteps { losses, rates, order } = &mut self.last;
        let (losses, rates, order) = (&mut losses[..n], &mut rates[..n], &mut order[..n]);
        for (i, (rate, sample)) in rates.iter_mut().zip(order.iter_mut()).enumerate() {
            let step = self.steps + i;
            *rate = trainee.optimizer.learning_rate_after(i as u64, self.rate);
            *sample = self.batches.sample(step / per_epoch, step % per_epoch);
        }
        let batch = (self.batches.all(), &*order);
        let mut stopped = false;
        let go_on = &mut || {
            stopped = !observer.poll();
            !stopped
        };
        let pauses = Pauses { every: (WORK_PER_POLL / self.work_per_step).max(1), go_on };
        let taken = self.plan.descend(trainee.network, trainee.optimizer, batch, (rates, losses), pauses);
        self.steps += taken;
        if taken == n {
            Ok(())
        } else if stopped {
            Err(End::Stopped)
        } else {
            Err(End::Diverged(Some(losses[taken])))
        }
    }

    /// Asks the observer once in a while, before so many steps.
    fn poll(&mut self, steps: usize, observer: &mut impl Observer<T>) -> Result<(), Error> {
        self.work = self.work.saturating_add(self.work_per_step.saturating_mul(steps));
        if self.work < WORK_PER_POLL {
            return Ok(());
        }
        self.work = 0;
        if observer.poll() { Ok(()) } else { Err(Error::Stopped) }
    }

    /// Where the loss or a parameter is not finite: leaves the parameters of the last step before which both were. The copy is of
    /// an earlier step since `start`: it is made only where all is finite.
    fn go_back(
        &mut self,
        trainee: &mut Trainee<'_, T>,
        start: usize,
        loss: Option<f64>,
        observer: &mut impl Observer<T>,
    ) -> Error {
        let (failed, per_epoch) = (self.steps, self.batches.per_epoch());
        let mut epoch = failed.saturating_sub(1) / per_epoch;
        if failed == start {
            return Error::Diverged { epoch, loss, at_once: failed == 0 };
        }
        self.restore(trainee);
        while self.steps < failed {
            if let Err(stopped) = self.poll(1, observer) {
                return stopped;
            }
            self.pass(trainee);
            let batch = self.batches.get(self.steps / per_epoch, self.steps % per_epoch);
            self.plan.update(trainee.network, trainee.optimizer, batch, self.rate);
            self.steps += 1;
            if !(trainee.network.is_finite() && self.pass(trainee).is_finite()) {
                self.restore(trainee);
                epoch = self.steps / per_epoch;
                break;
            }
            self.snapshot.take(self.steps, trainee.network, trainee.optimizer);
        }
        Error::Diverged { epoch, loss, at_once: false }
    }

    /// The loss before the next step.
    fn pass(&mut self, trainee: &Trainee<'_, T>) -> f64 {
        let per_epoch = self.batches.per_epoch();
        let batch = self.batches.get(self.steps / per_epoch, self.steps % per_epoch);
        self.plan.pass(trainee.network, batch, Some(trainee.optimizer.steps()))
    }

    /// Goes back to the copy.
    fn restore(&mut self, trainee: &mut Trainee<'_, T>) {
        self.steps = self.snapshot.restore(trainee.network, trainee.optimizer);
    }
}
