//! Steps with single samples, which are taken together up to the next look of an observer: the bits are those of steps one by
//! one, an observer is told what it asks for, padding stays zero, and divergence in the middle leaves what it should.

use super::levels;
use super::training_agrees::numbers;
use ironprop::Error;
use ironprop::kernels::{Activation, Element, Level, Matrix};
use ironprop::network::{Network, init};
use ironprop::parallel::Threads;
use ironprop::training::{
    Batch, Batches, Epoch, Gradient, Observer, Optimizer, Options, Rate, Schedule, Settings, Shape, Trainer,
};

/// Looks at every so many epochs, at none for 0, and notes what it is told.
struct Look {
    every: usize,
    seen: Vec<(usize, u64, Option<Vec<u64>>)>,
}

impl<T: Element> Observer<T> for Look {
    fn poll(&mut self) -> bool {
        true
    }

    fn wants(&self, epoch: usize) -> bool {
        self.every > 0 && epoch.is_multiple_of(self.every)
    }

    fn epoch(&mut self, epoch: usize, loss: f64, predictions: Option<Matrix<'_, T>>) -> bool {
        let predictions = predictions.map(|rows| bits_of(rows.row(0)));
        self.seen.push((epoch, loss.to_bits(), predictions));
        true
    }
}

fn bits_of<T: Element>(numbers: &[T]) -> Vec<u64> {
    numbers.iter().map(|number| number.to_f64().to_bits()).collect()
}

/// What a training is asked for.
#[derive(Clone, Copy)]
struct Case {
    sizes: &'static [usize],
    n_samples: usize,
    seed: Option<u64>,
    gradient: Gradient,
    activation: Activation,
    schedule: Schedule,
}

/// What it leaves: the losses and rates of its epochs, all numbers of the parameters' buffer, and what was seen.
#[derive(Debug, PartialEq)]
struct Left {
    result: Result<(), Error>,
    records: Vec<(u64, u64)>,
    buffer: Vec<u64>,
}

fn run<T: Element>(case: Case, level: Level, epochs: usize, every: usize) -> (Left, Look) {
    let Case { sizes, n_samples, seed, gradient, activation, schedule } = case;
    let mut network = Network::<T>::new(sizes, &vec![activation; sizes.len() - 1], level).unwrap();
    init::initialize(&mut network, &vec![init::Scheme::GlorotNormal; sizes.len() - 1], 5);
    let (n_features, n_outputs) = (sizes[0], sizes[sizes.len() - 1]);
    let (x, y) = (numbers::<T>(n_samples * n_features, 1.3), numbers::<T>(n_samples * n_outputs, 0.7));
    let (x, y) = (Matrix::packed(&x, n_samples, n_features), Matrix::packed(&y, n_samples, n_outputs));
    let mut optimizer = Optimizer::new(Options { schedule, ..Options::sgd(1.0) }, &network).unwrap();
    let batches = Batches::new(Batch { x, y, weights: None }, 1, seed).unwrap();
    let settings = Settings { gradient, ..Settings::exact(Threads::AtMost(2)) };
    let mut trainer = Trainer::new(&network, &optimizer, batches, settings).unwrap();
    let mut records = vec![Epoch::default(); epochs];
    let mut look = Look { every, seen: Vec::new() };
    let result = trainer.run(&mut network, &mut optimizer, Rate::Scheduled(1.0), &mut look, &mut records);
    if result.is_ok() {
        assert_eq!(optimizer.steps(), (epochs * n_samples) as u64);
    }
    let records = records.iter().map(|epoch| (epoch.loss.to_bits(), epoch.learning_rate.to_bits())).collect();
    let buffer = network.buffer().as_slice();
    let (mut packed, mut padded) = (vec![T::ZERO; network.n_parameters()], vec![T::ZERO; buffer.len()]);
    network.pack(buffer, &mut packed);
    network.unpack(&packed, &mut padded);
    assert_eq!(bits_of(buffer), bits_of(&padded), "padding of {sizes:?} at {level}");
    (Left { result, records, buffer: bits_of(buffer) }, look)
}

fn check<T: Element>(case: Case, level: Level) {
    let epochs = 210 / case.n_samples;
    let (one_by_one, all) = run::<T>(case, level, epochs, 1);
    assert_eq!(one_by_one.result, Ok(()));
    assert_eq!(all.seen.len(), epochs);
    assert!(all.seen.iter().all(|(.., predictions)| predictions.is_some() == (case.n_samples == 1)));
    for every in [0, 5, 64] {
        let (together, look) = run::<T>(case, level, epochs, every);
        assert_eq!(together, one_by_one, "{:?} at {level}, a look every {every} epochs", case.sizes);
        let wanted = all.seen.iter().filter(|(epoch, ..)| every > 0 && epoch.is_multiple_of(every)).cloned();
        assert_eq!(look.seen, wanted.collect::<Vec<_>>());
    }
}

#[test]
fn steps_taken_together_are_those_taken_one_by_one() {
    let schedule = Schedule { rate: 0.05, shape: Shape::Cosine { steps: 150.0, last: 0.01 }, warm_up: 20 };
    for level in levels() {
        for sizes in [&[2, 2, 2, 1][..], &[4, 16, 16, 1], &[1, 1], &[3, 9, 17, 33, 2]] {
            for (n_samples, seed) in [(1, None), (3, None), (3, Some(7)), (70, Some(8))] {
                for &(_, gradient) in Gradient::ALL {
                    let activation = Activation::Sigmoid; // not 0 at 0, which is in the padding
                    let case = Case { sizes, n_samples, seed, gradient, activation, schedule };
                    check::<f32>(case, level);
                    check::<f64>(case, level);
                }
            }
        }
    }
}

#[test]
fn a_divergence_in_their_middle_leaves_what_it_leaves_one_by_one() {
    for level in levels() {
        for rate in [2.5, 3.0, 5.0, 1e3, 1e30, 1e300] {
            let (activation, gradient) = (Activation::Identity, Gradient::Exact);
            let schedule = Schedule::constant(rate);
            let case = Case { sizes: &[2, 3, 2], n_samples: 1, seed: None, gradient, activation, schedule };
            let (one_by_one, all) = run::<f64>(case, level, 2000, 1);
            assert!(matches!(one_by_one.result, Err(Error::Diverged { .. })), "{rate}: {:?}", one_by_one.result);
            let (together, look) = run::<f64>(case, level, 2000, 0);
            assert_eq!((together.result, together.buffer), (one_by_one.result, one_by_one.buffer), "rate {rate}");
            assert_eq!(together.records[..all.seen.len()], one_by_one.records[..all.seen.len()]);
            assert!(look.seen.is_empty());
        }
    }
}
