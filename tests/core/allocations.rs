//! A training allocates when it starts and then no more: as many allocations for three steps as for three hundred, on the
//! thread that trains (the helpers run the same code).

#![allow(unsafe_code)] // an allocator that counts

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::small;
use ironprop::kernels::{Activation, Level, Loss, Matrix, Rule};
use ironprop::network::{Network, init};
use ironprop::parallel::Threads;
use ironprop::training::{
    Batch, Batches, Dropout, Epoch, Gradient, Observer, Optimizer, Options, Rate, Schedule, Settings, Shape, Trainer,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts for each thread.
struct Counting;

// SAFETY: everything is the system's; the counter is a plain cell of the thread and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is that of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is that of the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Lets every training go on.
struct Quiet;

impl<T> Observer<T> for Quiet {
    fn poll(&mut self) -> bool {
        true
    }

    fn epoch(&mut self, _epoch: usize, _loss: f64, _predictions: Option<Matrix<'_, T>>) -> bool {
        true
    }
}

/// Allocations of a training of so many epochs.
fn allocations(
    (sizes, batch_size): (&[usize], usize),
    (settings, options): (&Settings, Options),
    epochs: usize,
    seed: Option<u64>,
) -> usize {
    let n_samples = batch_size * 3;
    let (x, y) = (vec![0.25; n_samples * sizes[0]], vec![0.5; n_samples * sizes[sizes.len() - 1]]);
    let mut activations = vec![Activation::Sigmoid; sizes.len() - 1];
    if let Some(fused) = settings.loss.fused_with() {
        activations.fill(Activation::Gelu); // which keeps its derivatives
        activations[sizes.len() - 2] = fused;
    }
    let weights = vec![0.5; n_samples];
    let mut network = Network::<f64>::new(sizes, &activations, Level::current().unwrap()).unwrap();
    init::initialize(&mut network, &vec![init::Scheme::GlorotNormal; sizes.len() - 1], 5);
    let (x, y) = (Matrix::packed(&x, n_samples, sizes[0]), Matrix::packed(&y, n_samples, sizes[sizes.len() - 1]));
    let mut records = vec![Epoch::default(); epochs];
    let before = ALLOCATIONS.get();
    let mut optimizer = Optimizer::new(options, &network).unwrap();
    let weights = settings.loss.is_mean().then_some(&weights[..]);
    let batches = Batches::new(Batch { x, y, weights }, batch_size, seed).unwrap();
    let mut trainer = Trainer::new(&network, &optimizer, batches, settings.clone()).unwrap();
    trainer.run(&mut network, &mut optimizer, Rate::Scheduled(1.0), &mut Quiet, &mut records).unwrap();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_sees_an_allocation() {
    let before = ALLOCATIONS.get();
    std::hint::black_box(vec![1_u8]);
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn a_step_allocates_nothing() {
    for (sizes, batch_size) in [
        (&[2, 2, 2, 1][..], 1),
        (&[8, 32, 32, 4], 32),
        (&[17, 64, 64, 6], 32), // whose threads are tried
        (&[70, 130, 40], 40),
        (&[300, 20], 300),
    ] {
        if small() && batch_size > 32 {
            continue;
        }
        for gradient in [Gradient::Exact, Gradient::Notebook] {
            for threads in [Threads::Exactly(1), Threads::Exactly(2), Threads::AtMost(2)] {
                for seed in [None, Some(1)] {
                    let settings = Settings { gradient, ..Settings::exact(threads) };
                    let with = (&settings, Options::sgd(0.125));
                    let count = |epochs| allocations((sizes, batch_size), with, epochs, seed);
                    count(if small() { 1 } else { 30 }); // starts the team, in a trial at the latest
                    assert_eq!(count(1), count(if small() { 4 } else { 100 }), "{sizes:?}, {settings:?}, {seed:?}");
                }
            }
        }
    }
}

#[test]
fn a_step_with_any_option_allocates_nothing() {
    let schedule = Schedule { rate: 0.01, shape: Shape::Exponential { factor: 0.9, every: 10.0 }, warm_up: 3 };
    for &(name, rule) in Rule::ALL {
        for (which, &(_, loss)) in Loss::ALL.iter().enumerate() {
            for clip_norm in [None, Some(0.5)] {
                let numbers = [0.5, 0.9, 1e-3, 1.0];
                let options = Options { rule, numbers, schedule, l1: 1e-3, l2: 1e-3, clip_norm, ..Options::sgd(0.125) };
                let mut settings = Settings { loss, ..Settings::exact(Threads::Exactly(1 + which % 2)) };
                settings.stores_gradients = clip_norm.is_some();
                settings.dropout = Dropout { rates: vec![0.25; 2], seed: 1 };
                for batch_size in [1, 16] {
                    let count =
                        |epochs| allocations((&[8, 16, 16, 4], batch_size), (&settings, options), epochs, Some(1));
                    count(1); // starts the team
                    assert_eq!(count(1), count(20), "{name}, {loss:?}, {batch_size} samples, {clip_norm:?}");
                }
            }
        }
    }
}
