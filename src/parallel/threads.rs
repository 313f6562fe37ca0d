//! How many threads: what was asked for, what the environment says, what the process may use, and what the work is worth.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Error;

/// The most threads of a round, the caller included.
pub const MOST_THREADS: usize = 64;

/// Floating-point operations of a step for each thread, from which on threads pay. Two cores exchange a cache line in some
/// 100 ns: a step of 0.3 million operations lost a tenth to a third on two threads, one of 2.2 million took 0.7 of its time
/// (AMD Zen 3).
const WORTH_A_THREAD: usize = 1_000_000;

/// The same of a step of two from which on it is worth a trial whether they pay: for 45 samples of 32-32-32 (0.67 million operations) they
/// took 0.8 to 0.9 of the time of one, for 33 (0.49 million) 0.95 to 1.05, while the cores were near (AMD Zen 4).
const WORTH_A_TRIAL: usize = 600_000;

/// How many threads take part in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// As many as the work is worth, but no more than this.
    AtMost(usize),
    /// So many, whether it pays or not.
    Exactly(usize),
}

/// What `set_default` was told; 0 for nothing.
static CHOSEN: AtomicUsize = AtomicUsize::new(0);

impl Threads {
    /// For a step of so many floating-point operations.
    #[must_use]
    pub fn for_work(self, operations: usize) -> usize {
        match self {
            Self::AtMost(most) => (operations / WORTH_A_THREAD).clamp(1, most.clamp(1, MOST_THREADS)),
            Self::Exactly(threads) => threads.clamp(1, MOST_THREADS),
        }
    }

    /// For steps of so many, of which some are taken on one thread to see which is faster.
    #[must_use]
    pub fn for_tried_work(self, operations: usize) -> usize {
        let threads = self.for_work(operations);
        match self {
            Self::AtMost(most) if operations >= WORTH_A_TRIAL => threads.max(most.clamp(1, 2)),
            _ => threads,
        }
    }

    /// The most threads where a call does not say: what was set, or else `IRONPROP_NUM_THREADS`, `OMP_NUM_THREADS`, or the
    /// CPUs that affinity and quota leave to this process.
    ///
    /// # Errors
    ///
    /// `Error::OutOfRange` if `IRONPROP_NUM_THREADS` is no number of threads.
    pub fn most() -> Result<usize, Error> {
        match CHOSEN.load(Ordering::Relaxed) {
            0 => Self::of_process(),
            chosen => Ok(chosen),
        }
    }

    /// From now on calls that do not say take at most so many threads.
    pub fn set_most(threads: usize) {
        CHOSEN.store(threads.clamp(1, MOST_THREADS), Ordering::Relaxed);
    }

    fn of_process() -> Result<usize, Error> {
        static OF_PROCESS: OnceLock<Result<usize, Error>> = OnceLock::new();
        let read = || {
            let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
            if let Some(value) = variable("IRONPROP_NUM_THREADS") {
                let threads = value.trim().parse().ok().filter(|threads| (1..=MOST_THREADS).contains(threads));
                let expected = format!("a whole number from 1 to {MOST_THREADS}");
                return threads.ok_or(Error::OutOfRange { option: "IRONPROP_NUM_THREADS", expected, value });
            }
            let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
            // A list says the number for each level of nested teams; what is no number is for others to complain about.
            let omp = variable("OMP_NUM_THREADS").and_then(|value| value.split(',').next()?.trim().parse().ok());
            Ok(omp.filter(|&omp: &usize| omp > 0).map_or(threads, |omp| omp.min(MOST_THREADS)))
        };
        OF_PROCESS.get_or_init(read).clone()
    }
}
