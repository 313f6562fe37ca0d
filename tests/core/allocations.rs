//! A training allocates when it starts and then no more: as many allocations for three steps as for three hundred, on the
//! thread that trains (the helpers run the same code).

#![allow(unsafe_code)] // an allocator that counts

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::small;
use ironprop::kernels::{Activation, Level, Matrix};
use ironprop::network::{Network, init};
use ironprop::parallel::Threads;
use ironprop::training::{Batch, Batches, Epoch, Gradient, Observer, Optimizer, Options, Rate, Settings, Trainer};

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
fn allocations(sizes: &[usize], batch_size: usize, settings: &Settings, epochs: usize, seed: Option<u64>) -> usize {
    let n_samples = batch_size * 3;
    let (x, y) = (vec![0.25; n_samples * sizes[0]], vec![0.5; n_samples * sizes[sizes.len() - 1]]);
    let activations = vec![Activation::Sigmoid; sizes.len() - 1];
    let mut network = Network::<f64>::new(sizes, &activations, Level::current().unwrap()).unwrap();
    init::initialize(&mut network, &vec![init::Scheme::GlorotNormal; sizes.len() - 1], 5);
    let (x, y) = (Matrix::packed(&x, n_samples, sizes[0]), Matrix::packed(&y, n_samples, sizes[sizes.len() - 1]));
    let mut records = vec![Epoch::default(); epochs];
    let before = ALLOCATIONS.get();
    let mut optimizer = Optimizer::new(Options::sgd(0.125), &network).unwrap();
    let batches = Batches::new(Batch { x, y, weights: None }, batch_size, seed).unwrap();
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
    for (sizes, batch_size) in [(&[2, 2, 2, 1][..], 1), (&[8, 32, 32, 4], 32), (&[70, 130, 40], 40), (&[300, 20], 300)]
    {
        if small() && batch_size > 32 {
            continue;
        }
        for gradient in [Gradient::Exact, Gradient::Notebook] {
            for threads in [1, 2] {
                for seed in [None, Some(1)] {
                    let settings = Settings { gradient, ..Settings::exact(Threads::Exactly(threads)) };
                    let count = |epochs| allocations(sizes, batch_size, &settings, epochs, seed);
                    count(1); // starts the team
                    assert_eq!(count(1), count(if small() { 4 } else { 100 }), "{sizes:?}, {settings:?}, {seed:?}");
                }
            }
        }
    }
}
