//! Steps with single samples, which are taken together up to the next look of an observer: the bits are those of steps one by
//! one, an observer is told what it asks for, padding stays zero, and divergence in the middle leaves what it should.

use super::levels;
use super::training_agrees::numbers;
use ironprop::Error;
use ironprop::kernels::{Activation, Element, Level, Matrix};
use ironprop::network::{Network, init};
use ironprop::parallel::Threads;
use ironprop::training::{
    Batch, Batches, Epoch, Gradient, Observer, Optimizer, Options, Plan, Rate, Schedule, Settings, Shape, Trainer,
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

/// What it leaves: the losses and rates of its epochs, and the parameters.
#[derive(Debug, PartialEq)]
struct Left {
    result: Result<(), Error>,
    records: Vec<(u64, u64)>,
    parameters: Vec<u64>,
}

/// The network of a case, and its samples and targets.
fn prepare<T: Element>(case: Case, level: Level) -> (Network<T>, Vec<T>, Vec<T>) {
    let Case { sizes, n_samples, activation, .. } = case;
    let mut network = Network::<T>::new(sizes, &vec![activation; sizes.len() - 1], level).unwrap();
    init::initialize(&mut network, &vec![init::Scheme::GlorotNormal; sizes.len() - 1], 5);
    (network, numbers(n_samples * sizes[0], 1.3), numbers(n_samples * sizes[sizes.len() - 1], 0.7))
}

fn batch<'a, T: Element>(case: Case, x: &'a [T], y: &'a [T]) -> Batch<'a, T> {
    let (n_features, n_outputs) = (case.sizes[0], case.sizes[case.sizes.len() - 1]);
    let (x, y) = (Matrix::packed(x, case.n_samples, n_features), Matrix::packed(y, case.n_samples, n_outputs));
    Batch { x, y, weights: None }
}

fn settings(case: Case) -> Settings {
    Settings { gradient: case.gradient, ..Settings::exact(Threads::AtMost(2)) }
}

/// Step by step, with the kernels of batches on the way back.
fn by_hand<T: Element>(case: Case, level: Level, epochs: usize) -> Left {
    after::<T>(case, level, epochs * case.n_samples)
}

/// The same after so many steps.
fn after<T: Element>(case: Case, level: Level, steps: usize) -> Left {
    let (mut network, x, y) = prepare::<T>(case, level);
    let mut optimizer = Optimizer::new(Options { schedule: case.schedule, ..Options::sgd(1.0) }, &network).unwrap();
    let mut batches = Batches::new(batch(case, &x, &y), 1, case.seed).unwrap();
    let mut plan = Plan::new(&network, 1, settings(case)).unwrap();
    let mut records = Vec::new();
    for epoch in 0..steps.div_ceil(case.n_samples) {
        let (mut sum, mut rate) = (0.0, 0.0);
        for number in 0..case.n_samples.min(steps - epoch * case.n_samples) {
            let batch = batches.get(epoch, number);
            sum += plan.pass(&network, batch, Some(optimizer.steps()));
            rate = optimizer.learning_rate(Rate::Scheduled(1.0));
            plan.update(&mut network, &mut optimizer, batch, Rate::Scheduled(1.0));
        }
        records.push((sum.to_bits(), rate.to_bits()));
    }
    Left { result: Ok(()), records, parameters: packed(&network) }
}

fn packed<T: Element>(network: &Network<T>) -> Vec<u64> {
    let mut packed = vec![T::ZERO; network.n_parameters()];
    network.pack(network.buffer().as_slice(), &mut packed);
    bits_of(&packed)
}

fn run<T: Element>(case: Case, level: Level, epochs: usize, every: usize) -> (Left, Look) {
    let (mut network, x, y) = prepare::<T>(case, level);
    let mut optimizer = Optimizer::new(Options { schedule: case.schedule, ..Options::sgd(1.0) }, &network).unwrap();
    let batches = Batches::new(batch(case, &x, &y), 1, case.seed).unwrap();
    let mut trainer = Trainer::new(&network, &optimizer, batches, settings(case)).unwrap();
    let mut records = vec![Epoch::default(); epochs];
    let mut look = Look { every, seen: Vec::new() };
    let result = trainer.run(&mut network, &mut optimizer, Rate::Scheduled(1.0), &mut look, &mut records);
    let parameters = packed(&network);
    if result.is_ok() {
        assert_eq!(optimizer.steps(), (epochs * case.n_samples) as u64);
        let numbers = network.buffer().as_slice().iter().filter(|number| number.to_f64() != 0.0).count();
        let own = parameters.iter().filter(|bits| f64::from_bits(**bits) != 0.0).count();
        assert_eq!(numbers, own, "padding of {:?} at {level} is zero", case.sizes);
    }
    let records = records.iter().map(|epoch| (epoch.loss.to_bits(), epoch.learning_rate.to_bits())).collect();
    (Left { result, records, parameters }, look)
}

fn check<T: Element>(case: Case, level: Level) {
    let epochs = 210 / case.n_samples;
    let expected = by_hand::<T>(case, level, epochs);
    let (_, all) = run::<T>(case, level, epochs, 1);
    assert_eq!(all.seen.len(), epochs);
    assert!(all.seen.iter().all(|(.., predictions)| predictions.is_some() == (case.n_samples == 1)));
    for every in [0, 1, 5, 64] {
        let (left, look) = run::<T>(case, level, epochs, every);
        assert_eq!(left, expected, "{:?} at {level}, a look every {every} epochs", case.sizes);
        let wanted = all.seen.iter().filter(|(epoch, ..)| every > 0 && epoch.is_multiple_of(every)).cloned();
        assert_eq!(look.seen, wanted.collect::<Vec<_>>());
    }
}

#[test]
fn steps_taken_together_are_those_taken_one_by_one() {
    let schedule = Schedule { rate: 0.05, shape: Shape::Cosine { steps: 150.0, last: 0.01 }, warm_up: 20 };
    for level in levels() {
        for sizes in
            [&[2, 2, 2, 1][..], &[4, 16, 16, 1], &[1, 1], &[3, 9, 17, 33, 2], &[5, 150, 64, 81, 18], &[3, 128, 40]]
        {
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

/// Objects when it is asked for the last time, and looks at no epoch.
struct Stop {
    questions: usize,
}

impl<T: Element> Observer<T> for Stop {
    fn poll(&mut self) -> bool {
        self.questions -= 1;
        self.questions > 0
    }

    fn wants(&self, _epoch: usize) -> bool {
        false
    }

    fn epoch(&mut self, _epoch: usize, _loss: f64, _predictions: Option<Matrix<'_, T>>) -> bool {
        unreachable!("it wants none")
    }
}

/// Stops steps that are taken together, of which some lie between two questions; returns how many were taken.
fn stop<T: Element>(case: Case, level: Level, questions: usize) -> usize {
    let (mut network, x, y) = prepare::<T>(case, level);
    let mut optimizer = Optimizer::new(Options { schedule: case.schedule, ..Options::sgd(1.0) }, &network).unwrap();
    let batches = Batches::new(batch(case, &x, &y), 1, case.seed).unwrap();
    let mut trainer = Trainer::new(&network, &optimizer, batches, settings(case)).unwrap();
    let mut records = vec![Epoch::default(); 200 / case.n_samples];
    let mut stop = Stop { questions };
    let result = trainer.run(&mut network, &mut optimizer, Rate::Scheduled(1.0), &mut stop, &mut records);
    assert_eq!(result, Err(Error::Stopped));
    let taken = usize::try_from(optimizer.steps()).unwrap();
    assert_eq!(packed(&network), after::<T>(case, level, taken).parameters, "{taken} steps at {level}");
    taken
}

#[test]
fn steps_taken_together_stop_at_a_whole_step_wherever_they_are_asked() {
    let schedule = Schedule { rate: 0.05, shape: Shape::Cosine { steps: 150.0, last: 0.01 }, warm_up: 20 };
    for level in levels() {
        for &(_, gradient) in Gradient::ALL {
            let (sizes, activation) = (&[150, 140, 30][..], Activation::Tanh);
            let (n_samples, seed) = if gradient == Gradient::Exact { (1, None) } else { (100, Some(3)) };
            let case = Case { sizes, n_samples, seed, gradient, activation, schedule };
            let taken: Vec<_> = (1..7).map(|questions| stop::<f32>(case, level, questions)).collect();
            assert!(taken.is_sorted() && taken.iter().any(|taken| !taken.is_multiple_of(64)), "{taken:?}");
            assert_eq!(taken, (1..7).map(|questions| stop::<f64>(case, level, questions)).collect::<Vec<_>>());
        }
    }
}

/// Takes steps until they diverge, all at once and one by one.
fn diverge<T: Element>(sizes: &'static [usize], rate: f64, gradient: Gradient, level: Level) {
    let (activation, schedule) = (Activation::Identity, Schedule::constant(rate));
    let case = Case { sizes, n_samples: 1, seed: None, gradient, activation, schedule };
    let (one_by_one, all) = run::<T>(case, level, 2000, 1);
    assert!(matches!(one_by_one.result, Err(Error::Diverged { .. })), "{rate}: {:?}", one_by_one.result);
    let (together, look) = run::<T>(case, level, 2000, 0);
    let result = |left: &Left| format!("{:?}", left.result); // a loss that is no number equals itself as a text
    assert_eq!(result(&together), result(&one_by_one));
    assert_eq!(together.parameters, one_by_one.parameters, "rate {rate}");
    assert_eq!(together.records[..all.seen.len()], one_by_one.records[..all.seen.len()]);
    assert!(look.seen.is_empty());
}

#[test]
fn a_divergence_in_their_middle_leaves_what_it_leaves_one_by_one() {
    for level in levels() {
        for rate in [2.5, 3.0, 5.0, 1e3, 1e30] {
            for &(_, gradient) in Gradient::ALL {
                for sizes in [&[2, 3, 2][..], &[2, 3, 5, 2]] {
                    diverge::<f32>(sizes, rate, gradient, level);
                    diverge::<f64>(sizes, rate, gradient, level);
                }
            }
        }
    }
}
