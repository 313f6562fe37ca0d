//! Whether threads pay is tried now and then: what is slower is left, at the price of a few steps, and tried again later.

use std::time::Duration;

use ironprop::kernels::{Activation, Level, Matrix};
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

#[test]
fn trials_do_not_change_a_number() {
    // From 64 samples on all threads begin, of 32 the caller is alone at first; some batches are smaller than the plan's.
    let (exact, notebook) = (Gradient::Exact, Gradient::Notebook);
    for (gradient, most, n_samples) in [(exact, 64, 64), (exact, 64, 41), (notebook, 64, 64), (exact, 32, 32)] {
        let (x, y) = (numbers::<f32>(n_samples * 17, 1.3), numbers::<f32>(n_samples * 6, 0.7));
        let batch = Batch { x: Matrix::packed(&x, n_samples, 17), y: Matrix::packed(&y, n_samples, 6), weights: None };
        let run = |threads| {
            let (sizes, level) = ([17, 64, 64, 6], Level::current().unwrap());
            let mut network = Network::<f32>::new(&sizes, &[Activation::Tanh; 3], level).unwrap();
            init::initialize(&mut network, &[init::Scheme::GlorotNormal; 3], 3);
            let mut optimizer = Optimizer::new(Options::sgd(1e-3), &network).unwrap();
            let settings = Settings { gradient, ..Settings::exact(threads) };
            let mut plan = Plan::new(&network, most, settings).unwrap();
            let step = |_| plan.step(&mut network, &mut optimizer, batch, Rate::Scheduled(1.0)).to_bits();
            let losses = (0..150).map(step).collect::<Vec<_>>();
            (losses, network.buffer().as_slice().iter().map(|number| number.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!(run(Threads::AtMost(2)), run(Threads::Exactly(1)), "{gradient:?}, {n_samples} of {most} samples");
    }
}
