//! Starting parameters, drawn from a stream of our own so that a seed means the same numbers everywhere and always.
//!
//! The stream is ChaCha with 8 rounds, keyed by the seed; the 53 highest bits of each word make a uniform number, and two
//! of those a normal one (Box and Muller 1958). Logarithm and cosine are compiled in, not the platform's. Numbers are
//! drawn in `f64` and rounded for `f32`, weights row by row, then biases, layer by layer.

use std::convert::Infallible;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::Network;
use crate::kernels::Element;

/// How weights and biases are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Weights and biases standard normal, as in the notebook.
    Normal,
    /// Normal, variance 2 / (inputs + outputs); biases 0 (Glorot and Bengio 2010).
    GlorotNormal,
    /// Uniform of the same variance; biases 0.
    GlorotUniform,
    /// Normal, variance 2 / inputs; biases 0 (He et al. 2015).
    HeNormal,
    /// Uniform of the same variance; biases 0.
    HeUniform,
    /// Normal, variance 1 / inputs; biases 0 (LeCun et al. 1998).
    LecunNormal,
    /// All 0.
    Zeros,
}

impl Scheme {
    /// All of them, with the names under which users know them.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("normal", Self::Normal),
        ("glorot_normal", Self::GlorotNormal),
        ("glorot_uniform", Self::GlorotUniform),
        ("he_normal", Self::HeNormal),
        ("he_uniform", Self::HeUniform),
        ("lecun_normal", Self::LecunNormal),
        ("zeros", Self::Zeros),
    ];

    /// One weight of a layer with `inputs` and `outputs`.
    #[allow(clippy::cast_precision_loss)] // widths beyond 2^53 do not fit into any memory
    fn weight(self, stream: &mut Stream, inputs: usize, outputs: usize) -> f64 {
        let (inputs, outputs) = (inputs as f64, outputs as f64);
        match self {
            Self::Normal => stream.normal(),
            Self::GlorotNormal => (2.0 / (inputs + outputs)).sqrt() * stream.normal(),
            Self::HeNormal => (2.0 / inputs).sqrt() * stream.normal(),
            Self::LecunNormal => (1.0 / inputs).sqrt() * stream.normal(),
            // A uniform number on ±h has the variance h²/3.
            Self::GlorotUniform => (6.0 / (inputs + outputs)).sqrt() * stream.signed(),
            Self::HeUniform => (6.0 / inputs).sqrt() * stream.signed(),
            Self::Zeros => 0.0,
        }
    }

    /// One bias.
    fn bias(self, stream: &mut Stream) -> f64 {
        if self == Self::Normal { stream.normal() } else { 0.0 }
    }
}

/// Numbers that are drawn between two pauses: a few milliseconds.
const BETWEEN_PAUSES: usize = 1 << 16;

/// Draws all parameters of a network anew, with a scheme for each layer.
///
/// # Panics
///
/// If there are not as many schemes as layers.
pub fn initialize<T: Element>(network: &mut Network<T>, schemes: &[Scheme], seed: u64) {
    let Ok(()) = initialize_in_pieces(network, schemes, seed, || Ok::<_, Infallible>(()));
}

/// The same with a pause every few milliseconds, each of which may put an end to it.
///
/// # Errors
///
/// Those of `pause`; some parameters have been drawn then.
///
/// # Panics
///
/// If there are not as many schemes as layers.
pub fn initialize_in_pieces<T: Element, E>(
    network: &mut Network<T>,
    schemes: &[Scheme],
    seed: u64,
    mut pause: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    assert_eq!(schemes.len(), network.layers().len(), "schemes, layers");
    let (mut stream, mut drawn) = (Stream::new(seed, 0), 0);
    for (layer, scheme) in schemes.iter().enumerate() {
        let (inputs, outputs) = (network.layers()[layer].n_inputs(), network.layers()[layer].n_outputs());
        let (mut weights, biases) = network.parameters_mut(layer);
        for input in 0..inputs {
            for weights in weights.row_mut(input).chunks_mut(BETWEEN_PAUSES) {
                for weight in &mut *weights {
                    *weight = T::from_f64(scheme.weight(&mut stream, inputs, outputs));
                }
                drawn += weights.len();
                if drawn >= BETWEEN_PAUSES {
                    drawn = 0;
                    pause()?;
                }
            }
        }
        for bias in biases {
            *bias = T::from_f64(scheme.bias(&mut stream));
        }
    }
    Ok(())
}

/// Random numbers of one seed; streams of different `purpose` are independent of each other.
#[derive(Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of that seed and purpose: 0 for parameters, `1 + epoch` for the order of the samples.
    #[must_use]
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(purpose);
        Self(generator)
    }

    /// Uniform on 0, 1, …, `bound` − 1, by the high word of a product (Lemire 2019, without the rejection: the bias is
    /// below `bound` / 2⁶⁴).
    #[allow(clippy::cast_possible_truncation)] // the high word is below `bound`
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.0.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Uniform on [0, 1), a multiple of 2⁻⁵³.
    #[allow(clippy::cast_precision_loss)] // 53 bits are exact
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * f64::EPSILON / 2.0
    }

    /// Uniform on [−1, 1).
    fn signed(&mut self) -> f64 {
        2.0 * self.uniform() - 1.0
    }

    /// Standard normal: √(−2 ln u) · cos 2πv, with u in (0, 1].
    fn normal(&mut self) -> f64 {
        let u = 1.0 - self.uniform();
        let v = self.uniform();
        (-2.0 * libm::log(u)).sqrt() * libm::cos(std::f64::consts::TAU * v)
    }
}
