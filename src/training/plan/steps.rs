//! The steps of a `Plan`: one after its pass, several of single samples in one kernel, or with gradients from elsewhere.

use super::{Passed, Plan, Start};
use crate::kernels::online::{Pauses, Steps};
use crate::kernels::{Descent, Element, Matrix};
use crate::network::Network;
use crate::parallel;
use crate::training::batches::Batch;
use crate::training::optimizer::{Optimizer, Rate};
use crate::training::passes::Aim;
use crate::training::rounds::Update;
use crate::training::settings::Gradient;

impl<T: Element> Plan<T> {
    /// Takes one step of the optimiser with the batch of the last pass, which is of no other use then.
    ///
    /// # Panics
    ///
    /// If the last pass was neither `pass` nor `forward` and `backward`, or the batch is not of its size; if the norm of the
    /// notebook's gradients is to be bounded, which are never all there at once, or that of gradients that the plan does not store.
    pub fn update(&mut self, network: &mut Network<T>, optimizer: &mut Optimizer<T>, batch: Batch<'_, T>, rate: Rate) {
        assert_eq!((batch.x.rows(), batch.y.rows()), (self.passed.n_samples, self.passed.n_samples), "the last pass");
        let Passed { aim, online, back, .. } = self.passed;
        assert!(back || aim.is_for_a_step(), "a step follows a pass that goes back");
        let exact = self.settings.gradient == Gradient::Exact;
        let bound = optimizer.options().clip_norm;
        assert!(exact || bound.is_none(), "the notebook's gradients have no norm to be bounded");
        assert!(bound.is_none() || self.stored.is_some(), "a plan that stores gradients");
        let descent = optimizer.next(rate);
        if online {
            // Also for the notebook's gradient, which does it again layer by layer: only where a diverged run goes back.
            self.back(network, Start::Loss(batch));
        }
        self.passed = Passed { aim: Aim::Predictions, back: false, ..self.passed }; // its parameters are gone
        if bound.is_some() {
            let mut stored = self.stored.take().expect("a plan that stores gradients");
            self.gradient_round(batch.x, stored.gradients.as_mut_slice());
            stored.step((&self.passes, &mut self.rounds), network, optimizer, &descent, bound);
            self.stored = Some(stored);
        } else if self.is_small() && descent.penalty.is_none() {
            self.update_small((network, optimizer), batch.x, &descent);
        } else {
            for round in 0..self.rounds.updates.len() {
                self.update_round(network, optimizer, round, batch.x, &descent);
                let layer = self.passes.layers.len() - 1 - round;
                if !exact && layer > 0 {
                    let (n_samples, parameters) = (batch.x.rows(), network.buffer().as_slice());
                    self.input_gradient(layer, parameters, n_samples);
                }
            }
        }
        if matches!(aim, Aim::Step(_)) {
            self.rounds.end();
        }
    }

    /// Takes one step, unless the loss before it, which is returned, is not finite.
    ///
    /// # Panics
    ///
    /// As for `pass` and `update`.
    pub fn step(
        &mut self,
        network: &mut Network<T>,
        optimizer: &mut Optimizer<T>,
        batch: Batch<'_, T>,
        rate: Rate,
    ) -> f64 {
        self.assert_is_for(batch.x.rows());
        if self.is_online(optimizer, batch) {
            let (rate, mut loss) = ([optimizer.learning_rate(rate)], [0.0]);
            let pauses = Pauses { every: 1, go_on: &mut || true };
            self.descend(network, optimizer, (batch, &[0]), (&rate, &mut loss), pauses);
            return loss[0];
        }
        let loss = self.pass(network, batch, Some(optimizer.steps()));
        if loss.is_finite() {
            self.update(network, optimizer, batch, rate);
        }
        loss
    }

    /// Whether such an optimiser's steps with these batches are taken by `descend`: each is one sample in one kernel.
    pub(in crate::training) fn is_online(&self, optimizer: &Optimizer<T>, batch: Batch<'_, T>) -> bool {
        self.online.is_some() && optimizer.is_plain() && batch.weights.is_none()
    }

    /// Takes several of these steps, as long as the loss is finite and nobody objects: fills the loss before each, the first that is
    /// not finite included, and returns how many were taken.
    ///
    /// # Panics
    ///
    /// If it is no such plan, or the steps do not fit the network.
    pub(in crate::training) fn descend(
        &mut self,
        network: &mut Network<T>,
        optimizer: &mut Optimizer<T>,
        (batch, order): (Batch<'_, T>, &[usize]),
        (rates, losses): (&[f64], &mut [f64]),
        pauses: Pauses<'_>,
    ) -> usize {
        assert!(self.is_online(optimizer, batch), "steps of one sample in one kernel");
        let online = self.online.as_ref().expect("seen above");
        let exact = self.settings.gradient == Gradient::Exact;
        let numbers = self.passes.activations_and_deltas(self.numbers.as_mut_slice());
        let steps = Steps { x: batch.x, y: batch.y, order, rates, exact };
        let parameters = network.buffer_mut().as_mut_slice();
        self.passed = Passed { aim: Aim::Predictions, n_samples: 1, online: true, back: false };
        let taken = online.descend(steps, parameters, numbers, (losses, pauses), self.of_steps.as_mut_slice());
        optimizer.set_steps(optimizer.steps() + taken as u64);
        taken
    }

    fn update_round(
        &mut self,
        network: &mut Network<T>,
        optimizer: &mut Optimizer<T>,
        round: usize,
        x: Matrix<'_, T>,
        descent: &Descent<T>,
    ) {
        let Self { passes, rounds, .. } = self;
        let Update { jobs: blocks, of_parameters, of_states: [of_first, of_second], .. } = &mut rounds.updates[round];
        let numbers = self.numbers.as_slice();
        let parameters = of_parameters.split(network.buffer_mut().as_mut_slice());
        let [first, second] = optimizer.states_mut();
        let n_states = descent.rule.n_states();
        let states = [(n_states > 0).then(|| of_first.split(first)), (n_states > 1).then(|| of_second.split(second))];
        let workspaces = rounds.of_workspaces.split(self.workspaces.as_mut_slice());
        parallel::run(rounds.threads, blocks.len(), |thread, jobs| {
            let mut workspace = workspaces.take(thread);
            let workspace = workspace.get_mut(0);
            for job in jobs {
                let mut parameters = parameters.take(job);
                let mut states = states.each_ref().map(|state| state.as_ref().map(|state| state.take(job)));
                for (part, block) in blocks[job].iter().enumerate() {
                    let states = states.each_mut().map(|state| state.as_mut().map(|state| state.matrix_mut(part)));
                    let parameters = parameters.matrix_mut(part);
                    passes.update(block, descent, (x, numbers), parameters, states, workspace);
                }
            }
        });
    }

    /// Takes one step of the optimiser with gradients from elsewhere, laid out as the parameters. The last pass is of no other
    /// use then.
    ///
    /// # Panics
    ///
    /// If the length is not that of the network's buffer, or the plan does not store gradients.
    pub fn apply(&mut self, network: &mut Network<T>, optimizer: &mut Optimizer<T>, gradients: &[T], rate: Rate) {
        let stored = self.stored.as_mut().expect("a plan that stores gradients");
        stored.gradients.as_mut_slice().copy_from_slice(gradients);
        self.passed = Passed { aim: Aim::Predictions, back: false, ..self.passed }; // its parameters are gone
        let (bound, descent) = (optimizer.options().clip_norm, optimizer.next(rate));
        stored.step((&self.passes, &mut self.rounds), network, optimizer, &descent, bound);
    }
}
