//! The notebook's small functions: `sig`, `dsig`, `mse`, `dmse`.

use pyo3::prelude::*;

use super::arrays::{Array, Dtype, Fresh, Name, Number};
use super::boundary::{guarded, run_detached};
use super::layers::Targets;
use crate::kernels::{Activation, Level, Matrix, MatrixMut, elementwise, loss};

/// What an activation costs, in floating-point operations.
const WORK_PER_NUMBER: usize = 20;

/// See `ironprop.notebook.sig`.
#[pyfunction]
pub(super) fn sig<'py>(py: Python<'py>, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    guarded(|| map(py, &Array::read(x, Name("x", None))?, Map::Activate))
}

/// See `ironprop.notebook.dsig`.
#[pyfunction]
#[pyo3(signature = (A))]
#[allow(non_snake_case)] // the notebook's argument name
pub(super) fn dsig<'py>(py: Python<'py>, A: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    guarded(|| map(py, &Array::read(A, Name("A", None))?, Map::Derive))
}

#[derive(Clone, Copy)]
enum Map {
    Activate,
    Derive,
}

fn map<'py>(py: Python<'py>, x: &Array<'py>, map: Map) -> PyResult<Bound<'py, PyAny>> {
    match x.dtype() {
        Dtype::F32 => map_of::<f32>(py, x, map),
        Dtype::F64 => map_of::<f64>(py, x, map),
    }
}

fn map_of<'py, T: Number>(py: Python<'py>, x: &Array<'py>, map: Map) -> PyResult<Bound<'py, PyAny>> {
    let level = Level::current()?;
    let mut result = Fresh::<T>::new(py, x.shape())?;
    let (numbers, out) = (x.numbers::<T>()?, result.numbers_mut());
    run_detached(py, numbers.len().saturating_mul(WORK_PER_NUMBER), || match map {
        Map::Activate => elementwise::activate(level, Activation::Sigmoid, numbers, out),
        Map::Derive => elementwise::derive(level, Activation::Sigmoid, numbers, out),
    });
    Ok(result.into_array())
}

/// See `ironprop.notebook.mse`.
#[pyfunction]
pub(super) fn mse<'py>(py: Python<'py>, x: &Bound<'py, PyAny>, y: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    guarded(|| {
        let (x, y) = read_pair(x, y)?;
        match x.dtype() {
            Dtype::F32 => half_squared_error::<f32>(py, &x, &y),
            Dtype::F64 => half_squared_error::<f64>(py, &x, &y),
        }
    })
}

fn half_squared_error<'py, T: Number>(
    py: Python<'py>,
    x: &Array<'py>,
    y: &Targets<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let level = Level::current()?;
    let mut row = Vec::new();
    let targets = y.rows::<T>(&mut row)?;
    let predictions = Matrix::packed(x.numbers()?, targets.rows(), targets.columns());
    let loss = run_detached(py, predictions.data().len().saturating_mul(3), || {
        loss::half_squared_error(level, predictions, targets)
    });
    let mut result = Fresh::<T>::new(py, &[])?;
    result.numbers_mut()[0] = T::from_f64(loss);
    result.into_array().get_item(())
}

/// See `ironprop.notebook.dmse`.
#[pyfunction]
pub(super) fn dmse<'py>(py: Python<'py>, x: &Bound<'py, PyAny>, y: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    guarded(|| {
        let (x, y) = read_pair(x, y)?;
        match x.dtype() {
            Dtype::F32 => difference::<f32>(py, &x, &y),
            Dtype::F64 => difference::<f64>(py, &x, &y),
        }
    })
}

fn difference<'py, T: Number>(py: Python<'py>, x: &Array<'py>, y: &Targets<'py>) -> PyResult<Bound<'py, PyAny>> {
    let mut row = Vec::new();
    let targets = y.rows::<T>(&mut row)?;
    let numbers = x.numbers::<T>()?;
    let mut result = Fresh::<T>::new(py, x.shape())?;
    if numbers.is_empty() {
        return Ok(result.into_array()); // however many rows there are
    }
    let out = result.numbers_mut();
    run_detached(py, numbers.len(), || {
        let predictions = Matrix::packed(numbers, targets.rows(), targets.columns());
        let mut out = MatrixMut::packed(out, targets.rows(), targets.columns());
        for i in 0..targets.rows() {
            let pairs = predictions.row(i).iter().zip(targets.row(i));
            for (out, (&prediction, &target)) in out.row_mut(i).iter_mut().zip(pairs) {
                *out = prediction - target;
            }
        }
    });
    Ok(result.into_array())
}

/// Predictions `x` and targets `y` of one type.
fn read_pair<'py>(x: &Bound<'py, PyAny>, y: &Bound<'py, PyAny>) -> PyResult<(Array<'py>, Targets<'py>)> {
    let x = Array::read(x, Name("x", None))?;
    let y = Targets::read(y, Name("y", None), x.shape(), x.dtype())?;
    Ok((x, y))
}
