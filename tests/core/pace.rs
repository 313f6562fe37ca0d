//! Whether threads pay is tried now and then: what is slower is left, at the price of a few steps, and tried again later.

use std::time::Duration;

use ironprop::kernels::{Activation, Element, Level, Matrix, Rule};
use ironprop::network::{Network, init};
use ironprop::parallel::Threads;
use ironprop::training::{Batch, Gradient, Optimizer, Options, Pace, Plan, Rate, Settings};

use super::training_agrees::numbers;

/// Takes steps that take so long alone and with all threads, every fourth of them twice as long; how many were of which kind.
fn steps(pace: &mut Pace, n: usize, (alone, together): (u64, u64)) -> [usize; 2] {
    let mut taken = [0; 2];
    for step in 0..n {
        let is_alone = pace.threads() == 1;
        assert!(is_alone || pace.threads() == 2);
        taken[usize::from(!is_alone)] += 1;
        let disturbed = if step % 4 == 3 { 2 } else { 1 };
        let took = Duration::from_micros(disturbed * if is_alone { alone } else { together });
        pace.step(pace.is_timed().then_some(took));
    }
    taken
}

/// The time that steps took, over that of the faster way alone.
fn price([alone, together]: [usize; 2], (of_alone, of_together): (u64, u64)) -> f64 {
    let time = alone as u64 * of_alone + together as u64 * of_together;
    time as f64 / ((alone + together) as u64 * of_alone.min(of_together)) as f64
}

#[test]
fn what_a_trial_costs_is_little() {
    for took in [(26, 18), (26, 40), (40, 2), (100, 101), (20, 200)] {
        for (alone, expected) in [(false, [6, 58]), (true, [58, 6])] {
            let mut pace = Pace::new(2, alone);
            let first = steps(&mut pace, 64, took);
            assert_eq!(first, expected, "the first trial comes at its time");
            let price = price(steps(&mut pace, 300_000, took), took);
            assert!(price < 1.02, "{took:?}: {price}");
        }
    }
}

#[test]
fn threads_that_do_not_pay_are_left_until_they_do() {
    let mut pace = Pace::new(2, false);
    for took in [(26, 40), (26, 18), (26, 40), (26, 18)] {
        steps(&mut pace, 2 * 16 * 1024, took); // the longest time to the next trial, twice
        let price = price(steps(&mut pace, 100_000, took), took);
        assert!(price < 1.01, "{took:?}: {price}");
    }
}

#[test]
fn threads_are_tried_for_less_work_than_they_are_sure_to_pay_for() {
    for most in 1..=5 {
        let (threads, mut before) = (Threads::AtMost(most), 1);
        for operations in [0, 100_000, 500_000, 1_000_000, 1_900_000, 2_000_000, 20_000_000, usize::MAX] {
            let (sure, tried) = (threads.for_work(operations), threads.for_tried_work(operations));
            assert!(before <= tried && sure <= tried && tried <= most.min(sure.max(2)), "{most}: {operations}");
            before = tried;
        }
        assert_eq!(threads.for_tried_work(100_000), 1, "a small step");
        assert_eq!((threads.for_work(1_900_000), threads.for_tried_work(1_900_000)), (1, most.min(2)));
        assert_eq!(Threads::Exactly(most).for_tried_work(0), most, "what was asked for");
    }
}

/// A net, the samples that its plan is for, and those of a batch.
type Size = (&'static [usize], usize, usize);

/// The bits of what steps, and passes between them, make of a network.
fn bits((sizes, most, n): Size, options: Options, gradient: Gradient, threads: Threads) -> Vec<u64> {
    let (n_inputs, n_outputs) = (sizes[0], sizes[sizes.len() - 1]);
    let (x, y) = (numbers::<f32>(n * n_inputs, 1.3), numbers::<f32>(n * n_outputs, 0.7));
    let (x, y) = (Matrix::packed(&x, n, n_inputs), Matrix::packed(&y, n, n_outputs));
    let batch = Batch { x, y, weights: None };
    let n_layers = sizes.len() - 1;
    let mut network = Network::<f32>::new(sizes, &vec![Activation::Tanh; n_layers], Level::current().unwrap()).unwrap();
    init::initialize(&mut network, &vec![init::Scheme::GlorotNormal; n_layers], 3);
    let mut optimizer = Optimizer::new(options, &network).unwrap();
    let stores_gradients = options.clip_norm.is_some();
    let settings = Settings { gradient, stores_gradients, ..Settings::exact(threads) };
    let (mut plan, mut seen) = (Plan::new(&network, most, settings).unwrap(), Vec::new());
    for step in 0..75 {
        if step % 8 == 3 || step > 56 {
            plan.predict(&network, x.window(0, 1 + step % n));
            seen.extend(plan.predictions().row(step % n).iter().map(|number| number.to_f64().to_bits()));
            let mut errors = vec![0.0; n];
            plan.errors(&network, batch, &mut errors);
            seen.extend(errors.iter().map(|error| error.to_bits()));
            seen.push(plan.pass(&network, batch, None).to_bits());
            plan.update(&mut network, &mut optimizer, batch, Rate::Scheduled(1.0));
        }
        seen.push(plan.step(&mut network, &mut optimizer, batch, Rate::Scheduled(1.0)).to_bits());
    }
    let mut parameters = vec![0.0; network.n_parameters()];
    network.pack(network.buffer().as_slice(), &mut parameters);
    seen.extend(parameters.iter().map(|number| number.to_f64().to_bits()));
    seen
}

#[test]
fn trials_do_not_change_a_number() {
    let sizes: [Size; 6] = [
        (&[17, 64, 64, 6], 64, 64),
        (&[17, 64, 64, 6], 64, 41),
        (&[17, 64, 64, 6], 32, 32), // alone at first
        (&[9, 12, 20, 44, 9], 129, 127),
        (&[300, 150, 20], 8, 7), // columns that threads share
        (&[600, 600, 9], 1, 1),  // plain steps are one kernel, those of other optimisers are tried
    ];
    let sgd = Options::sgd(1e-3);
    let adam = Options { rule: Rule::Adam, numbers: [0.9, 0.999, 1e-8, 0.0], ..sgd };
    for size in sizes {
        for options in [sgd, adam, Options { l2: 1e-3, ..sgd }, Options { clip_norm: Some(0.5), ..sgd }] {
            for &(name, gradient) in Gradient::ALL {
                if gradient == Gradient::Notebook && options.clip_norm.is_some() {
                    continue; // they are never all there at once
                }
                let run = |threads| bits(size, options, gradient, threads);
                assert!(run(Threads::AtMost(2)) == run(Threads::Exactly(1)), "{size:?}, {options:?}, {name}");
            }
        }
    }
}
