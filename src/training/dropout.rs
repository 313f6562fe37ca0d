//! `Dropout`: in training some outputs of the hidden layers are left out, and the others are raised to make up for it.
//!
//! a ← a / (1 − rate) with probability 1 − rate, else 0 (Srivastava et al. 2014, "inverted"). Which outputs those are is drawn
//! from a stream of the seed's for each step, at a place for each output of each sample: the same whatever thread draws it.

use std::hint::select_unpredictable;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::kernels::{Element, MatrixMut};

/// Draws made together, so that what follows is a loop without branches: a branch on each draw is a guess (the step at
/// 784-512-512-10, 128 in float32 took 8 % more).
const DRAWS: usize = 64;

/// How much is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dropout {
    /// The probability for each hidden layer, 0 to below 1; none for all zeros.
    pub rates: Vec<f64>,
    /// What the draws depend on.
    pub seed: u64,
}

impl Dropout {
    /// The probability at a layer's outputs.
    #[must_use]
    pub fn rate(&self, layer: usize) -> f64 {
        self.rates.get(layer).copied().unwrap_or(0.0)
    }

    /// Leaves out outputs of some samples, from the `first` of the batch on, and their derivatives with them.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rate is below 1, its 2³²-fold below 2³²
    pub(super) fn apply<T: Element>(
        &self,
        layer: usize,
        (step, first): (u64, usize),
        mut activations: MatrixMut<'_, T>,
        mut derivatives: MatrixMut<'_, T>,
    ) {
        let rate = self.rate(layer);
        let (bound, factor) = ((rate * 4_294_967_296.0) as u32, T::from_f64(1.0 / (1.0 - rate)));
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(b"dropout.");
        let mut stream = ChaCha8Rng::from_seed(key);
        stream.set_stream(step << 16 | layer as u64);
        stream.set_word_pos(first as u128 * activations.columns() as u128);
        let mut draws = [0; DRAWS];
        for row in 0..activations.rows() {
            let rows = activations.row_mut(row).chunks_mut(DRAWS).zip(derivatives.row_mut(row).chunks_mut(DRAWS));
            for (activations, derivatives) in rows {
                let draws = &mut draws[..activations.len()];
                draws.fill_with(|| stream.next_u32());
                for ((activation, derivative), draw) in activations.iter_mut().zip(derivatives).zip(draws) {
                    let keep = *draw >= bound;
                    *activation = select_unpredictable(keep, *activation * factor, T::ZERO);
                    *derivative = select_unpredictable(keep, *derivative * factor, T::ZERO);
                }
            }
        }
    }
}
