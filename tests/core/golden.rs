//! Bits that may not change without a word: one training of 100 steps in each number type, and a million numbers of our
//! random stream, by their hashes in `tests/data/golden-core.txt` (goal D4). The same at every level that this CPU has, so
//! that a CPU of another kind that passes here gives the bits of all others.
//!
//! The hash is FNV-1a with 128 bits: four lines, no dependency, and nobody here wants to be deceived.

use super::levels;
use super::training_agrees::{numbers, train};
use ironprop::kernels::{Activation, Element, Level, Matrix};
use ironprop::network::Network;
use ironprop::network::init::{Scheme, Stream, initialize};
use ironprop::parallel::Threads;
use ironprop::training::{Options, Settings};

const GOLDEN: &str = include_str!("../data/golden-core.txt");

/// FNV-1a (Fowler, Noll, Vo) of the bits of numbers.
pub(super) struct Hash(u128);

impl Hash {
    pub(super) fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    pub(super) fn add(&mut self, bits: impl IntoIterator<Item = u64>) {
        for byte in bits.into_iter().flat_map(u64::to_le_bytes) {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }

    /// All weights and biases.
    pub(super) fn add_parameters<T: Element>(&mut self, network: &Network<T>) {
        for layer in 0..network.layers().len() {
            let (weights, biases) = network.parameters(layer);
            for numbers in (0..weights.rows()).map(|row| weights.row(row)).chain([biases]) {
                self.add(numbers.iter().map(|number| number.to_f64().to_bits()));
            }
        }
    }

    pub(super) fn finish(self) -> String {
        format!("{:032x}", self.0)
    }
}

fn assert_golden(name: &str, hash: &str) {
    let stored = GOLDEN.lines().filter_map(|line| line.split_once(": ")).find(|&(stored, _)| stored == name);
    assert!(
        stored.is_some_and(|(_, stored)| stored == hash),
        "the bits of `{name}` are not those in tests/data/golden-core.txt. A seed and its data would give users of the next \
         version other numbers. If that is meant, say so in CHANGELOG.md and store there\n{name}: {hash}"
    );
}

fn training<T: Element>(level: Level) -> String {
    let (sizes, n_samples) = ([8, 32, 17, 4], 48);
    let activations = [Activation::Sigmoid, Activation::Tanh, Activation::Relu];
    let mut network = Network::<T>::new(&sizes, &activations, level).unwrap();
    initialize(&mut network, &[Scheme::HeUniform; 3], 11);
    let (x, y) = (numbers::<T>(n_samples * 8, 1.3), numbers::<T>(n_samples * 4, 0.7));
    let (x, y) = (Matrix::packed(&x, n_samples, 8), Matrix::packed(&y, n_samples, 4));
    let settings = Settings::exact(Threads::Exactly(2));
    let how = (20, Some(12)); // 20, 20 and 8 samples
    let losses = train(&mut network, (x, y), how, (settings, Options::sgd(0.0625)), usize::MAX, 34).unwrap();
    let mut hash = Hash::new();
    hash.add(losses.into_iter().map(f64::to_bits));
    hash.add_parameters(&network);
    hash.finish()
}

#[test]
fn a_training_of_a_hundred_steps_has_the_bits_of_all_versions() {
    for level in levels() {
        assert_golden("a hundred steps, float32", &training::<f32>(level));
        assert_golden("a hundred steps, float64", &training::<f64>(level));
    }
}

#[test]
fn a_million_numbers_of_a_seed_are_those_of_all_versions() {
    let mut stream = Stream::new(2026, 1);
    let mut hash = Hash::new();
    hash.add((0..1_000_000).map(|_| stream.below(1_000_003) as u64));
    assert_golden("a million numbers below 1000003", &hash.finish());

    let mut network = Network::<f64>::new(&[999, 1000], &[Activation::Relu], Level::current().unwrap()).unwrap();
    for (name, scheme) in [("normal", Scheme::Normal), ("uniform", Scheme::HeUniform)] {
        initialize(&mut network, &[scheme], 2026);
        let mut hash = Hash::new();
        hash.add_parameters(&network);
        assert_golden(&format!("a million {name} numbers"), &hash.finish());
    }
}

#[test]
fn the_hash_is_the_published_one_and_sees_one_bit() {
    let hash = |numbers: &[u64]| {
        let mut hash = Hash::new();
        hash.add(numbers.iter().copied());
        hash.finish()
    };
    assert_eq!(hash(&[]), "6c62272e07bb014262b821756295c58d");
    assert_ne!(hash(&[0, 0]), hash(&[0, 1 << 63]));
    assert_ne!(hash(&[0, 1]), hash(&[1, 0]));
}
