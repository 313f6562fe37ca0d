//! The way into the core and back: the GIL, signals, errors and panics.
//!
//! Every function of the module does its work inside `guarded`; whoever computes goes through `run_detached`.

#![allow(unsafe_code)] // the thread state of the interpreter

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PyFloatingPointError, PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::error::{Error, Kind};

pyo3::create_exception!(
    ironprop,
    InternalError,
    PyException,
    "A defect of ironprop itself: the call has failed, the process goes on."
);

/// Floating-point operations that take about 20 µs: work longer than that releases the GIL.
const SHORT_WORK: usize = 200_000;

/// The time between two looks for signals.
pub(super) const BETWEEN_POLLS: Duration = Duration::from_millis(50);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error.kind() {
            Kind::Value => PyValueError::new_err(message),
            Kind::Memory => PyMemoryError::new_err(message),
            Kind::Diverged => PyFloatingPointError::new_err(message),
            Kind::Stopped => PyRuntimeError::new_err(message),
        }
    }
}

/// Runs a binding's body; a panic in it becomes an `InternalError`, which `except Exception` catches.
pub(super) fn guarded<R>(body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(InternalError::new_err(format!("this is a defect of ironprop, please report it: {message}")))
    })
}

/// Runs `work` of about so many floating-point operations, without the GIL if that takes long.
pub(super) fn run_detached<R: Send>(py: Python<'_>, operations: usize, work: impl FnOnce() -> R + Send) -> R {
    if operations <= SHORT_WORK { work() } else { py.detach(work) }
}

/// Runs `work` of about so many floating-point operations in pieces, without the GIL if that takes long: between two of them
/// it calls `Pieces::next`, which is to be no more than a tenth of a second apart. It changes nothing that outlasts a failure.
pub(super) fn run_in_pieces<R: Send>(
    py: Python<'_>,
    operations: usize,
    work: impl FnOnce(&mut Pieces<'_>) -> PyResult<R> + Send,
) -> PyResult<R> {
    if operations <= SHORT_WORK {
        return work(&mut Pieces(None));
    }
    Released::run(py, operations, |gil| work(&mut Pieces(Some((Signals::new(), gil)))))
}

/// The samples of a piece that goes through a network: half a billion operations, some hundredths of a second. Large networks,
/// whose weights are read and packed for each piece, take more of them, as long as it is not eight times that.
pub(super) fn samples_of_a_piece(n_parameters: usize) -> usize {
    const WORK: usize = 1 << 28; // multiply-adds
    const WORTH_PACKING: usize = 256;
    const LEAST: usize = 64;
    let n_parameters = n_parameters.max(1);
    (WORK / n_parameters).max(WORTH_PACKING.min(8 * WORK / n_parameters)).max(LEAST)
}

/// What stands between two pieces of work; nothing, if all of it is short.
pub(super) struct Pieces<'a>(Option<(Signals, &'a Released)>);

impl Pieces<'_> {
    /// Fails with what the handler of a signal raises, if one has come.
    pub(super) fn next(&mut self) -> PyResult<()> {
        self.0.as_mut().map_or(Ok(()), |(signals, gil)| signals.poll(gil))
    }
}

/// The GIL of long work that looks at Python now and then: released, taken back, released again, always with the thread state
/// that was saved. (A thread that asks for a *new* state when the interpreter has ended meets none, and crashes; one that
/// wants its own back is put to sleep for ever by pyo3, as it should be.)
pub(super) struct Released {
    /// The saved state; null while the GIL is held.
    state: Cell<*mut ffi::PyThreadState>,
}

impl Released {
    /// Runs `work` of about so many floating-point operations, without the GIL if that takes long. It comes back to Python
    /// through `attach` only.
    pub(super) fn run<R: Send>(_py: Python<'_>, operations: usize, work: impl FnOnce(&Self) -> R + Send) -> R {
        let released = Self { state: Cell::new(std::ptr::null_mut()) };
        if operations > SHORT_WORK {
            released.release();
        }
        work(&released) // also a panic takes the GIL back, in `drop`
    }

    /// Runs something short that needs Python.
    pub(super) fn attach<R>(&self, body: impl FnOnce(Python<'_>) -> R) -> R {
        let was_released = self.take_back();
        // SAFETY: this thread holds the GIL: since `run`, or again since just now.
        let result = body(unsafe { Python::assume_attached() });
        if was_released {
            self.release();
        }
        result
    }

    fn release(&self) {
        // SAFETY: the GIL is held: `run` has a token, `attach` has taken it back. Nothing uses Python before it is taken back:
        // `work` is `Send`, so it has no token.
        self.state.set(unsafe { ffi::PyEval_SaveThread() });
    }

    /// Takes the GIL back if it is released; tells whether it was.
    fn take_back(&self) -> bool {
        let state = self.state.replace(std::ptr::null_mut());
        if state.is_null() {
            return false;
        }
        // SAFETY: this is the state that `release` has saved, of this thread: `Cell` keeps others away.
        unsafe { ffi::PyEval_RestoreThread(state) };
        true
    }
}

impl Drop for Released {
    fn drop(&mut self) {
        self.take_back();
    }
}

/// Looks for signals, but not too often.
#[derive(Debug)]
pub(super) struct Signals {
    last: Instant,
}

impl Signals {
    pub(super) fn new() -> Self {
        Self { last: Instant::now() }
    }

    /// Runs the handlers of signals that have come, and fails with what they raise.
    pub(super) fn poll(&mut self, gil: &Released) -> PyResult<()> {
        if self.last.elapsed() < BETWEEN_POLLS {
            return Ok(());
        }
        #[allow(clippy::redundant_closure_for_method_calls)] // the method itself is not general enough
        let result = gil.attach(|py| py.check_signals());
        self.last = Instant::now();
        result
    }
}

/// Panics, for the test that sees what becomes of it.
#[cfg(feature = "test-hooks")]
#[pyfunction]
pub(super) fn _panic() -> PyResult<()> {
    guarded(|| panic!("asked for by a test"))
}
