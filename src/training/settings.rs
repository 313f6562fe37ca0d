//! `Settings`: what the steps of a training are made of, and whether that fits a network.

use super::dropout::Dropout;
use crate::kernels::{Element, Loss};
use crate::network::Network;
use crate::parallel::Threads;

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

/// What steps are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Through which weights the error goes back.
    pub gradient: Gradient,
    /// How many threads take part.
    pub threads: Threads,
    /// What is minimised.
    pub loss: Loss,
    /// What is left out.
    pub dropout: Dropout,
    /// There is room for gradients: the optimiser bounds their norm.
    pub stores_gradients: bool,
}

impl Settings {
    /// The exact gradient of half the sum of squared errors.
    #[must_use]
    pub fn exact(threads: Threads) -> Self {
        Self {
            gradient: Gradient::Exact,
            threads,
            loss: Loss::HalfSquaredError,
            dropout: Dropout::default(),
            stores_gradients: false,
        }
    }

    /// A plan with them for that network gives right numbers. Whoever takes settings from users refuses others before.
    ///
    /// # Panics
    ///
    /// If the loss contains another activation than that of the output layer, or if `dropout` has rates, but not one from 0
    /// to below 1 for each hidden layer.
    pub(super) fn assert_fit<T: Element>(&self, network: &Network<T>) {
        let (loss, rates, n_hidden) = (self.loss, &self.dropout.rates, network.layers().len() - 1);
        let activation = network.layers()[n_hidden].activation();
        let contained = loss.fused_with().unwrap_or(activation);
        assert!(activation == contained, "{loss:?} contains {contained:?}, but the output layer has {activation:?}");
        let fit = rates.is_empty() || rates.len() == n_hidden && rates.iter().all(|rate| (0.0..1.0).contains(rate));
        assert!(fit, "dropout is {rates:?}, not a rate from 0 to below 1 for each of {n_hidden} hidden layers");
    }
}
