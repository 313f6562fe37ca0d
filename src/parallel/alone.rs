//! `Alone`: when and how long callers do without workers, since these keep them waiting.
//!
//! A worker that has begun and then loses its core to something else is gone for a time slice of some milliseconds: a stall.
//! A rare one costs less than the team gains. Where they are not rare the rounds are the caller's alone for a while, short at
//! first, since what takes the core may soon be over (the threads of NumPy's BLAS spin for a tenth of a second after their last
//! work), and twice as long with each stall that follows, until it is long against a stall.

use std::time::{Duration, Instant};

/// A stall is rare if rounds went well for more than so many times its length.
const RARE: u32 = 4;

/// What counts of the time from one round to the next: between them the caller may do something else.
const MOST_OF_A_ROUND: Duration = Duration::from_millis(5);

/// The first while, and the longest.
const FIRST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(320);

/// What is known of the rounds so far.
#[derive(Debug, Default)]
pub struct Alone {
    until: Option<Instant>,
    /// The last while; nothing after a rare stall.
    last: Duration,
    /// The time of the rounds since the last stall, and the beginning of the last round.
    well: Duration,
    began: Option<Instant>,
}

impl Alone {
    /// Whether the caller is to be alone now.
    pub fn is_on(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let is_on = self.until.is_some_and(|until| now() < until);
        if !is_on {
            self.until = None;
        }
        is_on
    }

    /// A round with workers begins.
    pub fn begin(&mut self, now: Instant) {
        let since = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        self.well += since.min(MOST_OF_A_ROUND);
        self.began = Some(now);
    }

    /// In it the caller has waited for so long.
    pub fn stall(&mut self, now: Instant, waited: Duration) {
        if self.well > RARE * waited {
            self.last = Duration::ZERO;
        } else {
            self.last = (2 * self.last).clamp(FIRST, LONGEST);
            self.until = Some(now + self.last);
        }
        (self.well, self.began) = (Duration::ZERO, None);
    }
}
