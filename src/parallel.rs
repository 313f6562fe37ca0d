//! The thread team: a few threads of this process that help a caller with the jobs of one round.
//!
//! The caller takes part. Workers that find nothing to do spin for some microseconds, so that the next round of a loop finds
//! them awake, and then park. Each thread has a first job of its own, and whoever is through with it takes what is left, the
//! first jobs of those included who have not come: a worker that comes late, or not at all because something else runs on
//! its core, is not waited for. The team belongs to one process: after a fork the child makes its own. What a round may write
//! is a `Split` (`parallel/split.rs`); how many threads there are to be is said in `parallel/threads.rs`, what passes between
//! the caller and a worker in `parallel/seat.rs`, and when callers do without workers in `parallel/alone.rs`.

#![allow(unsafe_code)] // the caller's closure, and in `split` parts of a slice, handed to other threads

mod alone;
mod seat;
mod split;
mod threads;

pub use alone::Alone;
pub use split::{Part, Partition, Parts, Split};
pub use threads::{MOST_THREADS, Threads};

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::iter::Enumerate;
use std::ops::Range;
use std::ptr::null_mut;
use std::slice::Iter;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use seat::{Seat, Task};

/// How long a worker spins for the next round before it parks: longer than what lies between two rounds of a loop, and
/// short against a time slice of a process that wants the core.
const SPIN: Duration = Duration::from_micros(50);

/// A wait for workers that is called a stall, if it also exceeds what the caller itself has worked: they had begun and have
/// lost their cores to something else, for a time slice of some milliseconds.
const STALL: Duration = Duration::from_micros(500);

/// Runs a round: `work(thread, jobs)` is called at most once for each thread below `threads`, always for thread 0, which is
/// the caller; together they see each job from 0 to `n_jobs` once. Returns when all of them are done.
///
/// # Panics
///
/// If `work` does.
pub fn run(threads: usize, n_jobs: usize, work: impl Fn(usize, Jobs<'_>) + Sync) {
    let helpers = threads.min(n_jobs).min(MOST_THREADS).saturating_sub(1);
    let team = if helpers == 0 { None } else { Team::of_this_process(helpers) };
    match team {
        Some((team, helpers)) => team.round(helpers, n_jobs, &work),
        None => work(0, Jobs { own: 0..n_jobs, next: None, end: n_jobs, seats: [].iter().enumerate() }),
    }
}

/// Jobs of a round, handed out one by one to whoever asks.
#[derive(Debug)]
pub struct Jobs<'a> {
    /// Those that nobody else takes.
    own: Range<usize>,
    /// The first of those that belong to whoever comes first, if there are any: the counter travels between the cores.
    next: Option<&'a AtomicUsize>,
    end: usize,
    /// To the caller: where first jobs may be left, with the job of each.
    seats: Enumerate<Iter<'a, Seat>>,
}

impl Iterator for Jobs<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if let Some(job) = self.own.next() {
            return Some(job);
        }
        if let Some(next) = self.next {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job < self.end {
                return Some(job);
            }
            self.next = None;
        }
        self.seats.find_map(|(i, seat)| seat.withdraw().then_some(i + 1))
    }
}

/// What a round does, without its lifetime: valid until every worker has left its seat or has been asked not to take it.
type Work = *const (dyn Fn(usize, Jobs<'_>) + Sync);

struct Team {
    busy: AtomicBool,
    /// Whether workers are left alone for a while. Of whoever holds `busy`.
    alone: UnsafeCell<Alone>,
    next: AtomicUsize,
    seats: [Seat; MOST_THREADS],
    /// Workers that can be had: fewer once a thread could not be started.
    most: AtomicUsize,
}

// SAFETY: `alone` is touched by whoever holds `busy` only.
unsafe impl Sync for Team {}

/// The team of this process, once it was wanted.
static CURRENT: AtomicPtr<Team> = AtomicPtr::new(null_mut());

/// In the child of a fork, which has none of its parent's threads.
#[cfg(unix)]
extern "C" fn forget_team() {
    CURRENT.store(null_mut(), Ordering::Release);
}

impl Team {
    /// The team, if it is free, and how many of these helpers can be had, at least one.
    fn of_this_process(helpers: usize) -> Option<(Free, usize)> {
        let mut current = CURRENT.load(Ordering::Acquire);
        if current.is_null() {
            current = Self::form();
        }
        // SAFETY: a team is never freed.
        let team: &'static Self = unsafe { &*current };
        if team.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        let free = Free(team);
        // SAFETY: `busy` is held.
        let alone = unsafe { &mut *team.alone.get() };
        if alone.is_on(Instant::now) {
            return None;
        }
        let helpers = helpers.min(team.most.load(Ordering::Relaxed));
        let started = (1..=helpers).take_while(|&worker| team.start(worker)).count();
        (started > 0).then_some((free, started))
    }

    /// A new team, unless another thread has just made one.
    #[cold]
    fn form() -> *mut Self {
        #[cfg(unix)]
        {
            static HAS_HANDLER: AtomicBool = AtomicBool::new(false); // nobody waits for it: a fork may come between
            if !HAS_HANDLER.swap(true, Ordering::Relaxed) {
                // SAFETY: the handler stores a pointer, which a child may do after any fork. Where there is no memory for it, or
                // for whoever forks just now, a child does its rounds alone: its parent's workers never come.
                unsafe { libc::pthread_atfork(None, None, Some(forget_team)) };
            }
        }
        let team = Box::into_raw(Box::new(Self {
            busy: AtomicBool::new(false),
            alone: UnsafeCell::new(Alone::default()),
            next: AtomicUsize::new(0),
            seats: [const { Seat::new() }; MOST_THREADS],
            most: AtomicUsize::new(MOST_THREADS),
        }));
        match CURRENT.compare_exchange(null_mut(), team, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => team,
            Err(other) => {
                // SAFETY: nobody else has seen this team.
                drop(unsafe { Box::from_raw(team) });
                other
            }
        }
    }

    /// Starts a worker unless it runs already. Where no thread can be had the round does with those that there are.
    fn start(&'static self, worker: usize) -> bool {
        let seat = &self.seats[worker - 1];
        if seat.is_served() {
            return true;
        }
        let builder = std::thread::Builder::new().name(format!("ironprop-{worker}")).stack_size(512 * 1024);
        let Ok(handle) = builder.spawn(move || seat.serve(worker, &self.next)) else {
            self.most.store(worker - 1, Ordering::Relaxed);
            return false;
        };
        seat.is_served_by(handle.thread().clone())
    }

    fn round(&self, helpers: usize, n_jobs: usize, work: &(dyn Fn(usize, Jobs<'_>) + Sync)) {
        let next = (helpers + 1 < n_jobs).then_some(&self.next);
        if let Some(next) = next {
            next.store(helpers + 1, Ordering::Relaxed);
        }
        // SAFETY: the lifetime is forgotten here; `Round` sees to it that no worker has the work any more before it ends.
        let work_of_all: Work = unsafe {
            let work: *const (dyn Fn(usize, Jobs<'_>) + Sync + '_) = work;
            #[allow(clippy::missing_transmute_annotations, clippy::transmute_ptr_to_ptr)] // only the lifetime changes
            std::mem::transmute(work)
        };
        let began = Instant::now();
        // SAFETY: the caller holds `busy`.
        let alone = unsafe { &mut *self.alone.get() };
        alone.begin(began);
        let round = Round(&self.seats[..helpers]);
        for seat in round.0 {
            // SAFETY: the caller holds `busy`, and the round before has left all seats empty.
            unsafe { seat.offer(Task { work: work_of_all, n_jobs, shares: next.is_some() }) };
        }
        work(0, Jobs { own: 0..1, next, end: n_jobs, seats: round.0.iter().enumerate() });
        let waited = round.end();
        if waited > STALL && 2 * waited > began.elapsed() {
            alone.stall(Instant::now(), waited);
        }
    }
}

/// A team that nobody else uses meanwhile.
struct Free(&'static Team);

impl std::ops::Deref for Free {
    type Target = Team;

    fn deref(&self) -> &Team {
        self.0
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// The seats of a round. At its end, also where the caller's own work panics, they are empty.
struct Round<'a>(&'a [Seat]);

impl Round<'_> {
    /// Waits for those who have come, and tells for how long, if it was long.
    ///
    /// # Panics
    ///
    /// If a worker has panicked.
    fn end(self) -> Duration {
        let (waited, panicked) = self.wait();
        assert!(!panicked, "a worker of the thread team panicked");
        waited
    }

    fn wait(&self) -> (Duration, bool) {
        let mut start = None; // a look at the clock takes as long as many rounds wait
        let mut panicked = false;
        for seat in self.0 {
            let mut turns = 0_u32;
            loop {
                match seat.left() {
                    Some(well) => break panicked |= !well,
                    None => turns = turns.wrapping_add(1),
                }
                // A worker whose core something else wants may need this one.
                if turns.is_multiple_of(64) && start.get_or_insert_with(Instant::now).elapsed() > SPIN {
                    std::thread::yield_now();
                } else {
                    spin_loop();
                }
            }
        }
        (start.map_or(Duration::ZERO, |start| start.elapsed()), panicked)
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.wait();
    }
}
