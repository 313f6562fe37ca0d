//! The passes and steps of a `Plan` whose network is small: all layers in one kernel, but for the notebook's gradient, which goes from
//! layer to layer.

use std::iter::once;

use super::Plan;
use crate::kernels::small::Small;
use crate::kernels::{Descent, Element, Matrix};
use crate::network::Network;
use crate::parallel::Partition;
use crate::training::batches::Batch;
use crate::training::optimizer::Optimizer;
use crate::training::passes::{Aim, Passes};
use crate::training::settings::Gradient;

const OF_SMALL: &str = "the plan of a small network";

/// All samples as one job: its kernels, and its parts of the plan's `numbers`.
#[derive(Debug)]
pub(super) struct OneJob<T> {
    kernels: Small<T>,
    of_numbers: Partition,
}

impl<T: Element> OneJob<T> {
    pub(super) fn new(kernels: Small<T>, passes: &Passes) -> Self {
        Self { kernels, of_numbers: Partition::new(once(passes.parts(&(0..passes.n_samples)))) }
    }

    /// Numbers of workspace that it takes.
    pub(super) fn workspace(&self) -> usize {
        self.kernels.workspace()
    }
}

/// The kernels, and what they work with.
struct OfSmall<'a, T> {
    small: &'a Small<T>,
    n_layers: usize,
    activations: &'a mut [T],
    deltas: &'a mut [T],
    workspace: &'a mut [T],
}

impl<T: Element> Plan<T> {
    fn of_small(&mut self) -> OfSmall<'_, T> {
        let (activations, deltas) = self.passes.activations_and_deltas(self.numbers.as_mut_slice());
        OfSmall {
            small: &self.small.as_ref().expect(OF_SMALL).kernels,
            n_layers: self.passes.layers.len(),
            activations,
            deltas,
            workspace: self.workspaces.as_mut_slice(),
        }
    }

    /// A pass, and where it goes `back` the deltas of every layer.
    pub(super) fn run_small(
        &mut self,
        parameters: &[T],
        x: Matrix<'_, T>, // (B, I)
        (aim, back): (Aim, bool),
        batch: Option<Batch<'_, T>>,
    ) -> f64 {
        let OfSmall { small, activations, .. } = self.of_small();
        small.forward_pass(x, parameters, activations);
        let Some(batch) = batch else { return 0.0 };
        let n = x.rows();
        let numbers = self.small.as_mut().expect(OF_SMALL).of_numbers.split(self.numbers.as_mut_slice());
        let sum = self.passes.errors((aim, n), batch, &mut numbers.take(0), &mut self.errors[..n]);
        if back {
            let OfSmall { small, n_layers, activations, deltas, workspace } = self.of_small();
            small.input_gradients(1..n_layers, n, parameters, (activations, deltas), workspace);
        }
        self.settings.loss.of_sum(sum.expect("a loss that takes predictions"), (n, batch.y.columns()))
    }

    /// A step of an optimiser.
    pub(super) fn update_small(
        &mut self,
        (network, optimizer): (&mut Network<T>, &mut Optimizer<T>),
        x: Matrix<'_, T>, // (B, I)
        descent: &Descent<T>,
    ) {
        let exact = self.settings.gradient == Gradient::Exact;
        let OfSmall { small, n_layers, activations, deltas, workspace } = self.of_small();
        let parameters = network.buffer_mut().as_mut_slice();
        if exact {
            let parameters = (parameters, optimizer.states_mut());
            return small.update(0..n_layers, descent, x, parameters, (activations, deltas), workspace);
        }
        for layer in (0..n_layers).rev() {
            let of_layer = (&mut *parameters, optimizer.states_mut());
            small.update(layer..layer + 1, descent, x, of_layer, (activations, deltas), workspace);
            if layer > 0 {
                small.input_gradients(layer..layer + 1, x.rows(), parameters, (activations, deltas), workspace);
            }
        }
    }
}
