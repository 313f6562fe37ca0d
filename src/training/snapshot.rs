//! `Snapshot`: the copy of a training that a diverged run goes back to.

use crate::error::Error;
use crate::kernels::{Element, zeros};
use crate::network::Network;
use crate::training::Optimizer;

/// Steps between two copies of the parameters. A copy reads and writes each parameter once, as the cheapest step does, that of a single
/// sample; with the pass and the look that come with it, it costs at most some parts in 64.
pub(super) const SNAPSHOT: usize = 64;

/// All after so many steps, finite, and its loss too.
#[derive(Debug)]
pub(super) struct Snapshot<T> {
    steps: usize,
    of_optimizer: u64,
    parameters: Vec<T>,
    states: [Vec<T>; 2],
}

impl<T: Element> Snapshot<T> {
    /// Room for those of a network and its optimiser.
    pub(super) fn of(network: &Network<T>, optimizer: &Optimizer<T>) -> Result<Self, Error> {
        let [first, second] = optimizer.states().map(<[T]>::len);
        let parameters = zeros(network.buffer().as_slice().len())?;
        Ok(Self { steps: 0, of_optimizer: 0, parameters, states: [zeros(first)?, zeros(second)?] })
    }

    /// Makes room for the states of an optimiser that has been exchanged.
    pub(super) fn follow(&mut self, optimizer: &Optimizer<T>) -> Result<(), Error> {
        for (copy, state) in self.states.iter_mut().zip(optimizer.states()) {
            if copy.len() != state.len() {
                *copy = zeros(state.len())?;
            }
        }
        Ok(())
    }

    /// Copies them.
    pub(super) fn take(&mut self, steps: usize, network: &Network<T>, optimizer: &Optimizer<T>) {
        self.steps = steps;
        self.of_optimizer = optimizer.steps();
        self.parameters.copy_from_slice(network.buffer().as_slice());
        for (copy, state) in self.states.iter_mut().zip(optimizer.states()) {
            copy.copy_from_slice(state);
        }
    }

    /// Copies them back; returns after how many steps they were.
    pub(super) fn restore(&self, network: &mut Network<T>, optimizer: &mut Optimizer<T>) -> usize {
        network.buffer_mut().as_mut_slice().copy_from_slice(&self.parameters);
        optimizer.set_steps(self.of_optimizer);
        for (copy, state) in self.states.iter().zip(optimizer.states_mut()) {
            state.copy_from_slice(copy);
        }
        self.steps
    }
}
