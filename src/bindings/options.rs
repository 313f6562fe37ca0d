//! Numbers and names from Python: each is checked against its range, and the message names the option.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::arrays::Number;
use super::boundary::guarded;
use super::convert::type_name;
use crate::error::Error;
use crate::kernels::{Level, peak};
use crate::parallel::{self, MOST_THREADS, Threads};

/// The value that goes by that name.
pub(super) fn named<V: Copy>(option: &'static str, name: &Bound<'_, PyAny>, all: &[(&'static str, V)]) -> PyResult<V> {
    let known = || all.iter().map(|&(known, _)| known).collect();
    let Ok(name) = name.cast::<PyString>() else {
        let known: Vec<_> = known();
        let (known, got) = (known.join(", "), type_name(name));
        return Err(PyTypeError::new_err(format!("{option} must be one of {known}, got {got}")));
    };
    let name = name.to_string_lossy();
    let found = all.iter().find(|(known, _)| *known == name);
    found
        .map(|&(_, value)| value)
        .ok_or_else(|| Error::UnknownName { option, name: name.into_owned(), known: known() }.into())
}

/// A whole number from `least` to `most`.
pub(super) fn whole_number(option: &'static str, value: &Bound<'_, PyAny>, least: u64, most: u64) -> PyResult<u64> {
    let out_of_range = || {
        let expected = match most {
            u64::MAX => format!("a whole number from {least} to 2**64 - 1"),
            _ if most >= i64::MAX as u64 => format!("a whole number of at least {least}"),
            _ => format!("a whole number from {least} to {most}"),
        };
        Error::OutOfRange { option, expected, value: text_of(value) }.into()
    };
    match value.extract::<i128>() {
        Ok(number) => {
            u64::try_from(number).ok().filter(|number| (least..=most).contains(number)).ok_or_else(out_of_range)
        }
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Err(out_of_range()),
        Err(error) if !error.is_instance_of::<PyTypeError>(value.py()) => Err(error),
        Err(_) => {
            Err(PyTypeError::new_err(format!("{option} must be a whole number, got {}", value.get_type().name()?)))
        }
    }
}

/// True or false, of Python or of NumPy.
pub(super) fn truth(option: &'static str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.extract().map_err(|error: PyErr| {
        let expected = || format!("{option} must be True or False, got {}", type_name(value));
        if error.is_instance_of::<PyTypeError>(value.py()) { PyTypeError::new_err(expected()) } else { error }
    })
}

/// A value as messages show it; Python refuses to print very long integers.
fn text_of(value: &Bound<'_, PyAny>) -> String {
    value.str().map_or_else(|_| "a number with very many digits".to_owned(), |text| text.to_string_lossy().into_owned())
}

/// A number, infinite where it is too large.
pub(super) fn number(option: &'static str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    match value.extract() {
        Ok(number) => Ok(number),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Ok(f64::INFINITY),
        Err(error) if error.is_instance_of::<PyTypeError>(value.py()) => {
            Err(PyTypeError::new_err(format!("{option} must be a number, got {}", type_name(value))))
        }
        Err(error) => Err(error), // what the value's own code has raised
    }
}

/// A step size: positive and finite, also after rounding to the network's type.
pub(super) fn learning_rate<T: Number>(value: &Bound<'_, PyAny>) -> PyResult<T> {
    let rounded = T::from_f64(number("learning_rate", value)?);
    if rounded.is_finite() && rounded > T::ZERO {
        return Ok(rounded);
    }
    let expected = format!("a positive finite number in {}", T::DTYPE.name());
    Err(Error::OutOfRange { option: "learning_rate", expected, value: text_of(value) }.into())
}

/// As many threads as the work is worth, but no more than was asked for here or in general.
pub(super) fn at_most(threads: Option<&Bound<'_, PyAny>>) -> PyResult<Threads> {
    let most = match threads {
        None => Threads::most()?,
        Some(threads) => number_of_threads("n_threads", threads)?,
    };
    Ok(Threads::AtMost(most))
}

/// A number of threads; more than the team can have are as good as those.
fn number_of_threads(option: &'static str, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let threads = whole_number(option, value, 1, i64::MAX as u64)?;
    Ok(usize::try_from(threads).unwrap_or(MOST_THREADS).min(MOST_THREADS))
}

/// Set how many threads calls may use that do not say so themselves.
///
/// Parameters
/// ----------
/// n_threads : int
///     At least 1. Small work stays on the caller's thread whatever the number is.
///
/// Raises
/// ------
/// TypeError, ValueError
///     If `n_threads` is no whole number of at least 1.
///
/// Examples
/// --------
/// >>> import ironprop
/// >>> ironprop.set_num_threads(1)
/// >>> ironprop.get_num_threads()
/// 1
#[allow(clippy::doc_markdown)] // a docstring of Python
#[pyfunction]
pub(super) fn set_num_threads(n_threads: &Bound<'_, PyAny>) -> PyResult<()> {
    guarded(|| {
        Threads::set_most(number_of_threads("n_threads", n_threads)?);
        Ok(())
    })
}

/// Tell how many threads calls may use that do not say so themselves.
///
/// Returns
/// -------
/// int
///     What `set_num_threads` has set, or else the environment variable `IRONPROP_NUM_THREADS`, or `OMP_NUM_THREADS`, or
///     the number of CPUs that affinity and quota leave to this process.
///
/// Raises
/// ------
/// ValueError
///     If `IRONPROP_NUM_THREADS` is not a whole number from 1 to 64.
#[allow(clippy::doc_markdown)] // a docstring of Python
#[pyfunction]
pub(super) fn get_num_threads() -> PyResult<usize> {
    guarded(|| Ok(Threads::most()?))
}

/// The most that fused multiply-adds reach on so many threads, in 10⁹ operations a second: the best of some short runs.
#[pyfunction]
pub(super) fn peak_fma(py: Python<'_>, dtype: &str, n_threads: usize) -> PyResult<f64> {
    const STEPS: usize = 200_000;
    guarded(|| {
        let level = Level::current()?;
        let operations = |steps| match dtype {
            "float32" => peak::multiply_adds::<f32>(level, steps),
            _ => peak::multiply_adds::<f64>(level, steps),
        };
        #[allow(clippy::cast_precision_loss)] // some 10⁷
        let run = |_| {
            let (start, done) = (Instant::now(), AtomicUsize::new(0));
            let work = |_| _ = done.fetch_add(operations(STEPS), Ordering::Relaxed);
            parallel::run(n_threads, n_threads, |_, jobs| jobs.for_each(work));
            done.into_inner() as f64 / start.elapsed().as_secs_f64() / 1e9
        };
        Ok(py.detach(|| (0..20).map(run).fold(0.0, f64::max)))
    })
}

/// Describe this installation.
///
/// Returns
/// -------
/// dict
///     `version` of the package; build `profile`, "release" or "debug"; the SIMD `level` in use and all `levels` that
///     this CPU has; the number of `threads` that a call may use (see `get_num_threads`).
///
/// Raises
/// ------
/// ValueError
///     If the environment variable `IRONPROP_LEVEL` names a level that does not exist or that this CPU lacks, or
///     `IRONPROP_NUM_THREADS` is not a number of threads.
///
/// Examples
/// --------
/// >>> import ironprop
/// >>> ironprop.show_config()["levels"][0]
/// 'portable'
#[allow(clippy::doc_markdown, clippy::doc_link_with_quotes)] // a docstring of Python
#[pyfunction]
pub(super) fn show_config(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    guarded(|| {
        let config = PyDict::new(py);
        config.set_item("version", env!("CARGO_PKG_VERSION"))?;
        config.set_item("profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
        config.set_item("level", Level::current()?.name())?;
        let levels: Vec<_> = Level::available().into_iter().map(Level::name).collect();
        config.set_item("levels", levels)?;
        config.set_item("threads", Threads::most()?)?;
        Ok(config)
    })
}
