//! The thread team: a few threads of this process that help a caller with the jobs of one round.
//!
//! The caller takes part. Workers that find nothing to do spin for some microseconds, so that the next round of a loop finds
//! them awake, and then park. A worker that comes late, or not at all because something else runs on its core, is not waited
//! for: whoever is there takes the next job, and only jobs that have begun are waited for. The team belongs to one process:
//! after a fork the child makes its own, and the old one is left alone. What a round may write
//! is a `Split` (`parallel/split.rs`); how many threads there are to be is said in `parallel/threads.rs`.

#![allow(unsafe_code)] // the caller's closure, and in `split` parts of a slice, handed to other threads

mod split;
mod threads;

pub use split::{Partition, Parts, Split};
pub use threads::{MOST_THREADS, Threads};

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long a worker spins for the next round before it parks: longer than what lies between two rounds of a loop, and
/// short against a time slice of a process that wants the core.
const SPIN: Duration = Duration::from_micros(50);

/// A wait for workers that is called a stall, if it also exceeds what the caller itself has worked: they had begun and have
/// lost their cores to something else, for a time slice of some milliseconds.
const STALL: Duration = Duration::from_micros(500);

/// The rounds that callers then do by themselves: a share of the time that is large against a stall, and small against what
/// another process may keep the core. It doubles with each stall that follows, up to `MOST_ALONE`.
const ALONE: Duration = Duration::from_millis(10);
const MOST_ALONE: Duration = Duration::from_millis(320);

/// Jobs of a round, handed out one by one to whoever asks.
#[derive(Debug)]
pub struct Jobs<'a> {
    next: &'a AtomicUsize,
    end: usize,
}

impl Iterator for Jobs<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let job = self.next.fetch_add(1, Ordering::Relaxed);
        (job < self.end).then_some(job)
    }
}

/// Runs a round: `work(thread, jobs)` is called at most once for each thread below `threads`, always for thread 0, which is
/// the caller; together they see each job from 0 to `n_jobs` once. Returns when all of them are done.
///
/// # Panics
///
/// If `work` does.
pub fn run(threads: usize, n_jobs: usize, work: impl Fn(usize, Jobs<'_>) + Sync) {
    let helpers = threads.min(n_jobs).min(MOST_THREADS).saturating_sub(1);
    let team = if helpers == 0 { None } else { Team::of_this_process(helpers) };
    let Some(team) = team else {
        return work(0, Jobs { next: &AtomicUsize::new(0), end: n_jobs });
    };
    team.round(helpers, n_jobs, &work);
}

/// A state of the gate: the number of the round, whether it is open, how many workers it admits and how many are inside.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Gate(u64);

impl Gate {
    const OPEN: u64 = 1 << 16;

    fn new(round: u64, admits: usize) -> Self {
        Self(round << 32 | Self::OPEN | (admits as u64) << 8)
    }

    fn round(self) -> u64 {
        self.0 >> 32
    }

    fn admits(self, worker: usize) -> bool {
        self.0 & Self::OPEN != 0 && (worker as u64) <= self.0 >> 8 & 0xff
    }

    fn inside(self) -> u64 {
        self.0 & 0xff
    }
}

/// The closure of a round, without its lifetime: valid while the gate is open or someone is inside.
type Work = *const (dyn Fn(usize, Jobs<'_>) + Sync);

struct Team {
    process: u32,
    busy: AtomicBool,
    gate: AtomicU64,
    next: AtomicUsize,
    task: UnsafeCell<Option<(Work, usize)>>,
    panicked: AtomicBool,
    workers: [OnceLock<Worker>; MOST_THREADS],
    /// Workers that can be had: fewer once a thread could not be started.
    most: AtomicUsize,
    /// Whether they are left alone for a while. Of whoever holds `busy`.
    alone: UnsafeCell<Alone>,
}

/// How long callers do without workers, after a stall.
#[derive(Clone, Copy)]
struct Alone {
    until: Option<Instant>,
    next: Duration,
}

struct Worker {
    thread: Thread,
    parked: AtomicBool,
}

// SAFETY: `task` is written by whoever holds `busy`, while the gate is shut and nobody is inside, and read by those inside;
// `alone` is touched by whoever holds `busy` only.
unsafe impl Sync for Team {}

/// The team of the process that used it last.
static CURRENT: AtomicPtr<Team> = AtomicPtr::new(null_mut());

impl Team {
    /// The team, if it is free, with as many of these workers as can be had, and at least one.
    fn of_this_process(helpers: usize) -> Option<Free> {
        let process = std::process::id();
        let mut current = CURRENT.load(Ordering::Acquire);
        // SAFETY: a team is never freed.
        while current.is_null() || unsafe { (*current).process } != process {
            let team = Box::into_raw(Box::new(Self::new(process)));
            current = match CURRENT.compare_exchange(current, team, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => team,
                Err(other) => {
                    // SAFETY: nobody else has seen this team.
                    drop(unsafe { Box::from_raw(team) });
                    other
                }
            };
        }
        // SAFETY: a team is never freed.
        let team: &'static Self = unsafe { &*current };
        if team.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        let free = Free(team);
        // SAFETY: `busy` is held.
        let alone = unsafe { &mut *team.alone.get() };
        if alone.until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        alone.until = None;
        let helpers = helpers.min(team.most.load(Ordering::Relaxed));
        let all = (1..=helpers).all(|worker| team.start(worker));
        (helpers > 0 && (all || team.workers[0].get().is_some())).then_some(free)
    }

    fn new(process: u32) -> Self {
        Self {
            process,
            busy: AtomicBool::new(false),
            gate: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            task: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            workers: [const { OnceLock::new() }; MOST_THREADS],
            most: AtomicUsize::new(MOST_THREADS),
            alone: UnsafeCell::new(Alone { until: None, next: ALONE }),
        }
    }

    /// Starts a worker unless it runs already. Where no thread can be had the round does with those that there are.
    fn start(&'static self, worker: usize) -> bool {
        let place = &self.workers[worker - 1];
        if place.get().is_some() {
            return true;
        }
        let builder = std::thread::Builder::new().name(format!("ironprop-{worker}")).stack_size(512 * 1024);
        let Ok(handle) = builder.spawn(move || self.serve(worker)) else {
            self.most.store(worker - 1, Ordering::Relaxed);
            return false;
        };
        let started = Worker { thread: handle.thread().clone(), parked: AtomicBool::new(false) };
        place.set(started).is_ok()
    }

    fn round(&self, helpers: usize, n_jobs: usize, work: &(dyn Fn(usize, Jobs<'_>) + Sync)) {
        let round = Gate(self.gate.load(Ordering::Relaxed)).round().wrapping_add(1) & 0xffff_ffff;
        // SAFETY: the caller holds `busy`, the gate is shut and nobody is inside: `Inside` below has seen to it in the round
        // before. The lifetime is forgotten here; `Inside` ends the round before `work` goes out of scope.
        unsafe {
            let work: *const (dyn Fn(usize, Jobs<'_>) + Sync + '_) = work;
            #[allow(clippy::missing_transmute_annotations, clippy::transmute_ptr_to_ptr)] // only the lifetime changes
            let work: Work = std::mem::transmute(work);
            *self.task.get() = Some((work, n_jobs));
        }
        self.next.store(0, Ordering::Relaxed);
        self.panicked.store(false, Ordering::Relaxed);
        // Sequentially consistent with `parked` in `wait`: either this sees a worker parked, or it sees the open gate.
        self.gate.store(Gate::new(round, helpers).0, Ordering::SeqCst);
        let began = Instant::now();
        let inside = Inside(self);
        for worker in self.workers[..helpers].iter().filter_map(OnceLock::get) {
            if worker.parked.load(Ordering::SeqCst) {
                worker.thread.unpark();
            }
        }
        work(0, Jobs { next: &self.next, end: n_jobs });
        let worked = began.elapsed();
        drop(inside);
        let waited = began.elapsed().saturating_sub(worked);
        // SAFETY: the caller holds `busy`.
        let alone = unsafe { &mut *self.alone.get() };
        if waited > STALL.max(worked) {
            alone.until = Some(Instant::now() + alone.next);
            alone.next = MOST_ALONE.min(2 * alone.next);
        } else if waited < STALL / 8 && alone.next > ALONE {
            alone.next = ALONE.max(alone.next.mul_f64(255.0 / 256.0)); // what has gone well for some hundred rounds is forgiven
        }
        assert!(!self.panicked.load(Ordering::Acquire), "a worker of the thread team panicked");
    }

    /// A worker's life.
    fn serve(&self, worker: usize) {
        let mut seen = 0;
        loop {
            let gate = self.wait(worker, seen);
            if self.gate.compare_exchange(gate.0, gate.0 + 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue; // another one has come in or the round is over: look again
            }
            seen = gate.round();
            // SAFETY: inside the gate the task is not written, and its closure lives.
            let result = unsafe {
                let (work, end) = (*self.task.get()).expect("an open round has a task");
                catch_unwind(AssertUnwindSafe(|| (*work)(worker, Jobs { next: &self.next, end })))
            };
            if result.is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.gate.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for an open round after `seen` that admits this worker.
    fn wait(&self, worker: usize, seen: u64) -> Gate {
        let admitted = || {
            let gate = Gate(self.gate.load(Ordering::SeqCst));
            (gate.round() != seen && gate.admits(worker)).then_some(gate)
        };
        loop {
            let start = Instant::now();
            while start.elapsed() < SPIN {
                for _ in 0..32 {
                    if let Some(gate) = admitted() {
                        return gate;
                    }
                    spin_loop();
                }
            }
            // The place is set by whoever started this thread; until it is, there is nothing to park with.
            let Some(place) = self.workers[worker - 1].get() else { continue };
            place.parked.store(true, Ordering::SeqCst);
            if admitted().is_none() {
                std::thread::park();
            }
            place.parked.store(false, Ordering::SeqCst);
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

/// The end of a round, also when the caller's own work panics: shuts the gate and waits for those inside.
struct Inside<'a>(&'a Team);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let gate = &self.0.gate;
        gate.fetch_and(!Gate::OPEN, Ordering::Relaxed);
        let start = Instant::now();
        let mut turns = 0_u32;
        while Gate(gate.load(Ordering::Acquire)).inside() > 0 {
            turns = turns.wrapping_add(1);
            // A worker whose core something else wants may need this one.
            if turns.is_multiple_of(64) && start.elapsed() > SPIN { std::thread::yield_now() } else { spin_loop() }
        }
    }
}
