//! Whether threads pay is tried now and then: what is slower is left, at the price of a few steps, and tried again later.

use std::time::Duration;

use ironprop::kernels::{Activation, Level, Matrix};
use ironprop::network::{Network, init};
use ironprop::parallel::Threads;
use ironprop::training::{Batch, Optimizer, Options, Pace, Plan, Rate, Settings};

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

#[test]
fn threads_that_pay_are_used_but_for_a_few_steps() {
    let mut pace = Pace::new(2);
    let [alone, together] = steps(&mut pace, 10_000, (26, 18));
    assert!(alone <= 6 * (1 + 10_000 / 1024), "{alone} steps alone, {together} together");
}

#[test]
fn threads_that_do_not_pay_are_left_until_they_do() {
    let mut pace = Pace::new(2);
    let [_, together] = steps(&mut pace, 64, (26, 40));
    assert_eq!(together, 58, "the first trial comes at its time");
    let [alone, together] = steps(&mut pace, 10_000, (26, 40));
    assert!(together <= 6 * (1 + 10_000 / 1024), "{alone} steps alone, {together} together");
    steps(&mut pace, 2 * 1024, (26, 18));
    let [alone, together] = steps(&mut pace, 10_000, (26, 18));
    assert!(alone <= 6 * (1 + 10_000 / 1024), "{alone} steps alone, {together} together");
}

#[test]
fn what_makes_no_difference_changes_nothing() {
    let mut pace = Pace::new(2);
    let [alone, _] = steps(&mut pace, 10_000, (100, 101));
    assert!(alone <= 6 * (1 + 10_000 / 1024));
}

#[test]
fn trials_do_not_change_a_number() {
    let (sizes, n_samples) = ([17, 64, 64, 6], 64);
    let (x, y) = (numbers::<f32>(n_samples * 17, 1.3), numbers::<f32>(n_samples * 6, 0.7));
    let batch = Batch { x: Matrix::packed(&x, n_samples, 17), y: Matrix::packed(&y, n_samples, 6), weights: None };
    let run = |threads| {
        let mut network = Network::<f32>::new(&sizes, &[Activation::Tanh; 3], Level::current().unwrap()).unwrap();
        init::initialize(&mut network, &[init::Scheme::GlorotNormal; 3], 3);
        let mut optimizer = Optimizer::new(Options::sgd(1e-3), &network).unwrap();
        let mut plan = Plan::new(&network, n_samples, Settings::exact(threads)).unwrap();
        let step = |_| plan.step(&mut network, &mut optimizer, batch, Rate::Scheduled(1.0)).to_bits();
        (0..150).map(step).collect::<Vec<_>>()
    };
    assert_eq!(run(Threads::AtMost(2)), run(Threads::Exactly(1)));
}
