//! One hash for a training, whatever the number of threads and the level: 26 shapes, 50 steps and a few more, 1 to 8 threads,
//! every level that this CPU has (goals D1, D2). It goes where the naive loop of `training_agrees.rs` would be too slow: over
//! many steps, through products in several blocks, with more threads than cores.
//!
//! The hashes are printed, and so are the levels that ran and those that the CPU lacks: `tests/emulated/qemu.sh` compares
//! them with those of other CPUs. `IRONPROP_SMALL` leaves out the larger shapes, for emulators.

use super::golden::Hash;
use super::training_agrees::{numbers, train};
use super::{levels, print_levels, small};
use ironprop::kernels::{Activation, Element, Level, Matrix, Rule};
use ironprop::network::Network;
use ironprop::network::init::{Scheme, initialize};
use ironprop::parallel::Threads;
use ironprop::training::{self, Dropout, Gradient, Options, Schedule, Settings};

const THREADS: [usize; 6] = [1, 2, 3, 4, 7, 8];
const STEPS: usize = 50;

/// Sizes, samples, samples in a batch.
type Shape = (&'static [usize], usize, usize);

/// Single samples in one kernel, narrow and deep nets, last batches of other sizes.
const SMALL: [Shape; 12] = [
    (&[2, 2, 2, 1], 1, 1),
    (&[1, 1], 2, 1),
    (&[4, 16, 16, 1], 3, 1),
    (&[60, 50, 3], 4, 1),
    (&[2, 2, 2, 1], 5, 5),
    (&[5, 7, 3], 11, 4),
    (&[1, 1, 1, 1, 1, 1], 7, 3),
    (&[3, 9, 17, 33, 2], 6, 2),
    (&[8, 32, 32, 4], 32, 32),
    (&[24, 8, 2], 50, 50),
    (&[9, 9, 9, 9, 9, 9, 9, 9], 5, 5),
    (&[13, 64, 5], 20, 7),
];

/// Several blocks of depth or of rows, copies of the operands, rows with padding, shares of one sample.
const LARGE: [Shape; 8] = [
    (&[20, 300, 5], 13, 13),
    (&[300, 40, 1], 12, 12),
    (&[2, 520, 2], 9, 9),
    (&[130, 97, 10], 31, 31),
    (&[97, 131, 61, 7], 21, 10),
    (&[33, 256], 20, 20),
    (&[16, 24], 300, 299),
    (&[1, 150, 1], 70, 70),
];

/// Many weights for few samples: threads share the columns of all layers, some or none, which depends on the activation and the
/// gradient of each; the last batch is smaller.
const COLUMNS: [Shape; 7] = [
    (&[200, 90, 70, 4], 12, 5),
    (&[200, 90, 70, 4], 12, 5),
    (&[150, 64, 130, 3], 7, 7),
    (&[150, 64, 130, 3], 7, 7),
    (&[40, 300, 60], 9, 4),
    (&[8, 300, 60, 90], 9, 4),
    (&[64, 256, 256, 3], 16, 16),
];

/// Trains, and hashes the losses and all parameters.
fn hash<T: Element>(index: usize, (sizes, n_samples, batch_size): Shape, level: Level, threads: usize) -> String {
    let (_, activation) = Activation::ALL[index % Activation::ALL.len()];
    let (_, gradient) = Gradient::ALL[index % 2];
    let mut network = Network::<T>::new(sizes, &vec![activation; sizes.len() - 1], level).unwrap();
    initialize(&mut network, &vec![Scheme::GlorotNormal; sizes.len() - 1], 1 + index as u64);
    let (n_features, n_outputs) = (sizes[0], sizes[sizes.len() - 1]);
    let (x, y) = (numbers::<T>(n_samples * n_features, 1.3), numbers::<T>(n_samples * n_outputs, 0.7));
    let (x, y) = (Matrix::packed(&x, n_samples, n_features), Matrix::packed(&y, n_samples, n_outputs));
    let epochs = STEPS.div_ceil(n_samples.div_ceil(batch_size));
    let mut settings = Settings { gradient, ..Settings::exact(Threads::Exactly(threads)) };
    let mut options = Options::sgd(0.002 / batch_size as f64);
    if index % 8 == 5 {
        // What an optimiser remembers, of rows or of columns, beside an exact gradient that is not stored.
        options = Options { rule: Rule::Adam, numbers: [0.9, 0.999, 1e-8, 0.0], ..options };
    }
    if index % 4 == 3 {
        // What works on the exact gradient of stored gradients, with outputs left out.
        settings = Settings { gradient: Gradient::Exact, stores_gradients: true, ..settings };
        settings.dropout = Dropout { rates: vec![0.25; sizes.len() - 2], seed: 5 };
        let schedule = Schedule { rate: 0.01, shape: training::Shape::Cosine { steps: 40.0, last: 0.001 }, warm_up: 5 };
        let numbers = [0.9, 0.999, 1e-8, 0.0];
        options = Options { rule: Rule::Adam, numbers, schedule, l2: 0.01, clip_norm: Some(0.5), ..options };
    }
    let how = (batch_size, (index % 4 > 1).then_some(3));
    let losses = train(&mut network, (x, y), how, (settings, options), usize::MAX, epochs).unwrap();
    assert!(losses[epochs - 1] != losses[0], "shape {sizes:?} learns nothing");
    let mut hash = Hash::new();
    hash.add(losses.into_iter().map(f64::to_bits));
    hash.add_parameters(&network);
    hash.finish()
}

fn check<T: Element>(name: &str) {
    let shapes = SMALL.into_iter().chain(LARGE).chain(COLUMNS).take(if small() { SMALL.len() } else { usize::MAX });
    for (index, shape) in shapes.enumerate() {
        let expected = hash::<T>(index, shape, levels()[0], 1);
        for level in levels() {
            for threads in THREADS {
                let hash = hash::<T>(index, shape, level, threads);
                assert_eq!(hash, expected, "{name}, {shape:?} on {threads} threads at {level}");
            }
        }
        println!("hash {expected} of {name}, {shape:?}");
    }
}

#[test]
fn a_float32_training_has_one_hash_on_any_number_of_threads_at_every_level() {
    print_levels();
    check::<f32>("float32");
}

#[test]
fn a_float64_training_has_one_hash_on_any_number_of_threads_at_every_level() {
    print_levels();
    check::<f64>("float64");
}
