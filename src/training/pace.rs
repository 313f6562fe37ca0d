//! `Pace`: whether a plan's threads pay, which is tried now and then.
//!
//! What threads exchange takes as long as their cores take to reach each other, and that depends on where the system has put
//! them: on one virtual machine a cache line went there and back in 0.12 µs, and minutes later in 0.5 µs, where two threads took
//! 40 µs for a step of 17-64-64-6, 64 that one takes in 26. So a plan of short steps takes some of them the other way from
//! time to time, and goes on with the way that is faster. The numbers are the same either way.
//!
//! ```text
//! … steps │ 5 that are timed │ 1 the other way, to get used to it │ 5 that are timed │ steps the faster way …
//! ```

use std::time::Duration;

/// Steps before the first trial, and before the next one where it has changed the way, perhaps for what was over soon. A trial that
/// changes nothing doubles them, up to `MOST`: on many cores six steps alone take as long as a hundred others.
const LEAST: usize = 64;
const MOST: usize = 256 * LEAST;

/// Steps that are timed of each way, of which the one in the middle counts: not those that something has disturbed, nor the few
/// for which far cores were lucky.
const TIMED: usize = 5;

/// The part of the time that the other way may take to be the faster one.
const FASTER: f64 = 0.97;

/// The threads of the next step.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    /// Only the caller works.
    alone: bool,
    /// Steps from one trial to the next, and until this one is over.
    period: usize,
    left: usize,
    /// The steps that were timed, and those of the other way.
    took: [[Duration; TIMED]; 2],
}

impl Pace {
    /// That of so many threads, which is not known yet: until the first trial all take part, or the caller is alone.
    #[must_use]
    pub fn new(threads: usize, alone: bool) -> Self {
        Self { most: threads, alone, period: LEAST, left: LEAST, took: [[Duration::ZERO; TIMED]; 2] }
    }

    fn is_the_other_way(&self) -> bool {
        self.left <= TIMED + 1
    }

    /// The threads that take part in the next step.
    #[must_use]
    pub fn threads(&self) -> usize {
        if self.alone == self.is_the_other_way() { self.most } else { 1 }
    }

    /// Whether somebody wants to know how long the next step takes.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.left <= 2 * TIMED + 1 && self.left != TIMED + 1
    }

    /// A step has been taken; how long it took, if it was timed.
    pub fn step(&mut self, took: Option<Duration>) {
        if let Some(took) = took.filter(|_| self.is_timed()) {
            self.took[usize::from(self.is_the_other_way())][self.left % (TIMED + 1) - 1] = took;
        }
        self.left -= 1;
        if self.left == 0 {
            let [before, other] = self.took.each_mut().map(|took| {
                took.sort_unstable();
                took[TIMED / 2]
            });
            let changes = other < before.mul_f64(FASTER);
            self.alone ^= changes;
            self.period = if changes { LEAST } else { MOST.min(2 * self.period) };
            self.left = self.period;
        }
    }
}
