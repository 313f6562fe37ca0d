//! `Turns`: what one thread at a time may use, and who is next.
//!
//! Whoever finds it in use waits, without the GIL and with an eye on signals, and is served in the order in which they came: a
//! call that has only just ended cannot overtake those who wait. Nobody waits where it might last: a training refuses all
//! others, those who wait already too. Nobody waits where it would last for ever: for a call of the same thread (a signal
//! handler's, a finaliser's), or for a thread that a fork has left in the parent process.
//!
//! Who waits is written by threads with the GIL only, and Python forks with the GIL: no child finds it half written.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::Thread;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};

use super::super::boundary::BETWEEN_POLLS;

/// How often this process and its ancestors have been forked.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// Counts the forks of this process from now on.
pub(in crate::bindings) fn count_forks(py: Python<'_>) -> PyResult<()> {
    if cfg!(unix) {
        let count = PyCFunction::new_closure(py, None, None, |_, _| {
            FORKS.fetch_add(1, Ordering::Relaxed);
        })?;
        let options = PyDict::new(py);
        options.set_item("after_in_child", count)?;
        py.import("os")?.call_method("register_at_fork", (), Some(&options))?;
    }
    Ok(())
}

/// A thread, told apart from all others that live: where its own byte is.
fn this_thread() -> usize {
    thread_local!(static BYTE: u8 = const { 0 });
    BYTE.with(|byte| std::ptr::from_ref(byte).addr())
}

/// What a turn is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A call that ends by itself after one pass or one step: others wait for it.
    Call,
    /// Steps without end: others are refused.
    Training,
}

/// A value that is used in turns.
pub(super) struct Turns<T> {
    value: Mutex<T>,
    /// The thread that has the value, or 0, and the forks when it took it.
    holder: AtomicUsize,
    forks: AtomicUsize,
    training: AtomicBool,
    /// Who waits, in the order in which they came, and how many.
    queue: Mutex<VecDeque<Waiter>>,
    waiting: AtomicUsize,
}

struct Waiter {
    number: usize,
    handle: Thread,
    forks: usize,
}

impl<T> Turns<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            holder: AtomicUsize::new(0),
            forks: AtomicUsize::new(0),
            training: AtomicBool::new(false),
            queue: Mutex::new(VecDeque::new()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The value, as soon as it is this thread's turn.
    ///
    /// # Errors
    ///
    /// `RuntimeError` where that might last, and what a signal handler raises meanwhile.
    pub(super) fn take(&self, py: Python<'_>, purpose: Purpose) -> PyResult<Turn<'_, T>> {
        if self.waiting.load(Ordering::Acquire) == 0
            && let Some(turn) = self.take_now(purpose)?
        {
            return Ok(turn);
        }
        self.wait(py, purpose)
    }

    fn take_now(&self, purpose: Purpose) -> PyResult<Option<Turn<'_, T>>> {
        let value = match self.value.try_lock() {
            Ok(value) => value,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Poisoned(_)) => {
                return Err(PyRuntimeError::new_err("the network is unusable since an internal error"));
            }
        };
        self.holder.store(this_thread(), Ordering::Relaxed);
        self.forks.store(FORKS.load(Ordering::Relaxed), Ordering::Relaxed);
        if purpose == Purpose::Training {
            self.training.store(true, Ordering::Release);
            self.queue().iter().for_each(|waiter| waiter.handle.unpark());
        }
        Ok(Some(Turn { value, end: End(self) }))
    }

    #[cold]
    fn wait(&self, py: Python<'_>, purpose: Purpose) -> PyResult<Turn<'_, T>> {
        let in_use = || Err(PyRuntimeError::new_err("the network is in use in another thread"));
        if self.is_refused() {
            return in_use();
        }
        let Some(place) = Place::new(self) else { return in_use() };
        loop {
            if place.is_first()
                && let Some(turn) = self.take_now(purpose)?
            {
                return Ok(turn);
            }
            if self.is_refused() {
                return in_use();
            }
            // Whoever gives the value away wakes the first; the bound is for signals.
            py.detach(|| std::thread::park_timeout(BETWEEN_POLLS));
            py.check_signals()?;
        }
    }

    /// Whether whoever has the value is not to be waited for.
    fn is_refused(&self) -> bool {
        let holder = self.holder.load(Ordering::Relaxed);
        let inherited = holder != 0 && self.forks.load(Ordering::Relaxed) != FORKS.load(Ordering::Relaxed);
        inherited || holder == this_thread() || self.training.load(Ordering::Acquire)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_first(&self) {
        if self.waiting.load(Ordering::Acquire) > 0
            && let Some(first) = self.queue().front()
        {
            first.handle.unpark();
        }
    }
}

/// A thread's place among those who wait, given up when it goes.
struct Place<'a, T> {
    turns: &'a Turns<T>,
    number: usize,
}

impl<'a, T> Place<'a, T> {
    /// The last place; none where this thread waits already, below a signal handler that asks again.
    fn new(turns: &'a Turns<T>) -> Option<Self> {
        let (number, forks) = (this_thread(), FORKS.load(Ordering::Relaxed));
        let mut queue = turns.queue();
        queue.retain(|waiter| waiter.forks == forks); // the others wait in the parent process
        let is_new = queue.iter().all(|waiter| waiter.number != number);
        if is_new {
            queue.push_back(Waiter { number, handle: std::thread::current(), forks });
        }
        turns.waiting.store(queue.len(), Ordering::Release);
        is_new.then(|| Self { turns, number }) // not `then_some`: what it drops gives up the place below
    }

    fn is_first(&self) -> bool {
        self.turns.queue().front().is_some_and(|waiter| waiter.number == self.number)
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        let mut queue = self.turns.queue();
        queue.retain(|waiter| waiter.number != self.number);
        self.turns.waiting.store(queue.len(), Ordering::Release);
        drop(queue);
        if self.turns.holder.load(Ordering::Relaxed) != self.number {
            self.turns.wake_first(); // this thread has been woken for nothing
        }
    }
}

/// The value, for as long as this lasts.
pub(super) struct Turn<'a, T> {
    value: MutexGuard<'a, T>, // given away before the end is told
    end: End<'a, T>,
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let turns = self.end.0;
        turns.holder.store(0, Ordering::Relaxed);
        turns.training.store(false, Ordering::Release);
    }
}

/// Tells the first of those who wait.
struct End<'a, T>(&'a Turns<T>);

impl<T> Drop for End<'_, T> {
    fn drop(&mut self) {
        self.0.wake_first();
    }
}
