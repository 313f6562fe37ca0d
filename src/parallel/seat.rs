//! What passes between the caller of a round and one worker: an offer that is taken, or withdrawn where the worker does not
//! come.
//!
//! ```text
//!          offer            take              leave
//! empty ─────────▶ offered ──────▶ taken ─────────────▶ empty
//!   ▲                 │ withdraw          (or panicked, until the caller has seen it)
//!   └─────────────────┘
//! ```
//!
//! State and task share a cache line, which travels to the worker and back, once each: a round costs little more.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Instant;

use super::{Jobs, SPIN, Work};

const EMPTY: u32 = 0;
const OFFERED: u32 = 1;
const TAKEN: u32 = 2;
const PANICKED: u32 = 3;

/// What is to be done in a round.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub(super) work: Work,
    pub(super) n_jobs: usize,
    /// There are jobs that belong to whoever comes first.
    pub(super) shares: bool,
}

/// The place of one worker.
pub(super) struct Seat {
    offer: Line<Offer>,
    worker: Line<Worker>,
}

/// On lines of its own: neighbours are fetched in pairs.
#[repr(align(128))]
struct Line<T>(T);

struct Offer {
    state: AtomicU32,
    task: UnsafeCell<Option<Task>>,
}

struct Worker {
    parked: AtomicBool,
    thread: OnceLock<Thread>,
}

// SAFETY: a task is written while the seat is empty, by whoever holds the team, and read by the worker that has taken the
// seat. Its work is `Sync`, and lives until the seat is empty again, see `Round`.
unsafe impl Sync for Seat {}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("state", &self.offer.0.state).finish_non_exhaustive()
    }
}

impl Seat {
    pub(super) const fn new() -> Self {
        Self {
            offer: Line(Offer { state: AtomicU32::new(EMPTY), task: UnsafeCell::new(None) }),
            worker: Line(Worker { parked: AtomicBool::new(false), thread: OnceLock::new() }),
        }
    }

    /// Whether a worker belongs to it.
    pub(super) fn is_served(&self) -> bool {
        self.worker.0.thread.get().is_some()
    }

    /// From now on by this one, unless another was first.
    pub(super) fn is_served_by(&self, thread: Thread) -> bool {
        self.worker.0.thread.set(thread).is_ok()
    }

    /// Offers it, and wakes the worker if it sleeps.
    ///
    /// # Safety
    ///
    /// It is empty, nobody else offers it meanwhile, and the work lives until it is empty again.
    pub(super) unsafe fn offer(&self, task: Task) {
        // SAFETY: nobody reads the task of an empty seat, and nobody else writes it.
        unsafe { *self.offer.0.task.get() = Some(task) };
        // Sequentially consistent with `parked` in `wait`: either this sees a worker parked, or it sees the offer.
        self.offer.0.state.store(OFFERED, Ordering::SeqCst);
        if self.worker.0.parked.load(Ordering::SeqCst)
            && let Some(thread) = self.worker.0.thread.get()
        {
            thread.unpark();
        }
    }

    /// Takes the offer back; false if the worker has come, or there is none.
    pub(super) fn withdraw(&self) -> bool {
        let state = &self.offer.0.state;
        // Only the caller offers: a seat that is not offered will not be, and is looked at without taking its line away.
        state.load(Ordering::Relaxed) == OFFERED
            && state.compare_exchange(OFFERED, EMPTY, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Makes sure that no worker is in it or comes: nothing while one is, else whether all went well.
    pub(super) fn left(&self) -> Option<bool> {
        match self.offer.0.state.load(Ordering::Acquire) {
            EMPTY => Some(true),
            OFFERED => self.withdraw().then_some(true),
            TAKEN => None,
            _ => {
                self.offer.0.state.store(EMPTY, Ordering::Relaxed);
                Some(false)
            }
        }
    }

    /// A worker's life.
    pub(super) fn serve(&self, worker: usize, next: &AtomicUsize) {
        let state = &self.offer.0.state;
        loop {
            self.wait();
            if state.compare_exchange(OFFERED, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue; // withdrawn
            }
            // SAFETY: this worker has taken the seat, so that the task is not written, and its work lives.
            let result = unsafe {
                let Task { work, n_jobs, shares } = (*self.offer.0.task.get()).expect("an offer has a task");
                let jobs = Jobs {
                    own: worker..worker + 1,
                    next: shares.then_some(next),
                    end: n_jobs,
                    seats: [].iter().enumerate(),
                };
                catch_unwind(AssertUnwindSafe(|| (*work)(worker, jobs)))
            };
            state.store(if result.is_ok() { EMPTY } else { PANICKED }, Ordering::Release);
        }
    }

    /// Waits for an offer.
    fn wait(&self) {
        let offered = || self.offer.0.state.load(Ordering::SeqCst) == OFFERED;
        let parked = &self.worker.0.parked;
        loop {
            let start = Instant::now();
            while start.elapsed() < SPIN {
                for _ in 0..32 {
                    if offered() {
                        return;
                    }
                    spin_loop();
                }
            }
            parked.store(true, Ordering::SeqCst);
            if !offered() {
                std::thread::park();
            }
            parked.store(false, Ordering::SeqCst);
        }
    }
}
