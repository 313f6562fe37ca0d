//! Conversion: what is not an exact array of our types becomes one by NumPy's rules, where no number can be lost.
//!
//! Conversions run foreign code (`__array__`, subclasses). It may do anything to the other arguments, which is why
//! `arrays.rs` looks at each array a second time before its memory is used.

use numpy::PyUntypedArray;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyTuple};

use super::arrays::{Dtype, Name};

/// The items of an argument that must be a list or a tuple, read one by one.
pub(super) enum Items<'a, 'py> {
    List(&'a Bound<'py, PyList>),
    Tuple(&'a Bound<'py, PyTuple>),
}

impl<'a, 'py> Items<'a, 'py> {
    pub(super) fn of(given: &'a Bound<'py, PyAny>, argument: &str) -> PyResult<Self> {
        if let Ok(list) = given.cast() {
            return Ok(Self::List(list));
        }
        if let Ok(tuple) = given.cast() {
            return Ok(Self::Tuple(tuple));
        }
        Err(PyTypeError::new_err(format!(
            "{argument} must be a list of arrays, one for each layer, got {}",
            type_name(given)
        )))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Tuple(tuple) => tuple.len(),
        }
    }

    /// The item of that name. It may be gone: reading the items before it may have run foreign code.
    pub(super) fn get(&self, name: Name) -> PyResult<Bound<'py, PyAny>> {
        let item = name.1.unwrap_or(0);
        let found = match self {
            Self::List(list) => list.get_item(item),
            Self::Tuple(tuple) => tuple.get_item(item),
        };
        found.map_err(|_| PyRuntimeError::new_err(format!("{name} has gone while the arguments were being used")))
    }
}

/// A fresh or the same array, aligned, C-contiguous and of that type, made by NumPy.
pub(super) fn required<'py>(
    given: &Bound<'py, PyAny>,
    dtype: Dtype,
    copy: bool,
) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = given.py();
    let array = if copy { numpy_function(py, "array")?.call1((given, dtype.name()))? } else { given.clone() };
    let array = numpy_function(py, "require")?.call1((array, dtype.name(), ["C", "A", "E"]))?;
    Ok(array.cast_into()?)
}

/// What is not on the fast path: converts by NumPy's rules where no number can be lost.
pub(super) fn converted<'py>(given: &Bound<'py, PyAny>, name: Name) -> PyResult<(Bound<'py, PyUntypedArray>, Dtype)> {
    if is_masked(given) {
        return Err(PyTypeError::new_err(format!("{name} is a masked array, whose mask would be lost: fill it first")));
    }
    let py = given.py();
    let array = numpy_function(py, "asarray")?.call1((given,)).map_err(|error| {
        if !(error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyValueError>(py)) {
            return error; // not NumPy's opinion of the argument, but something that happened on the way
        }
        let error_of_ours =
            PyValueError::new_err(format!("{name} cannot be read as an array of numbers: {}", error.value(py)));
        error_of_ours.set_cause(py, Some(error));
        error_of_ours
    })?;
    let dtype = array.getattr("dtype")?;
    let kind: String = dtype.getattr("kind")?.extract()?;
    let size: usize = dtype.getattr("itemsize")?.extract()?;
    let dtype = match (kind.as_str(), size) {
        ("b" | "i" | "u", _) | ("f", 8) => Dtype::F64,
        ("f", 4) => Dtype::F32,
        _ => {
            return Err(PyTypeError::new_err(format!(
                "{name} has dtype {}, expected float64 or float32 (integers and booleans are converted)",
                dtype_name(&array)
            )));
        }
    };
    Ok((required(&array, dtype, false)?, dtype))
}

/// A masked array is a subclass of `ndarray`; asking an exact one for its mask would cost an exception.
pub(super) fn is_masked(given: &Bound<'_, PyAny>) -> bool {
    given.cast::<PyUntypedArray>().is_ok()
        && given.cast_exact::<PyUntypedArray>().is_err()
        && given.hasattr("mask").unwrap_or(true)
}

pub(super) fn type_name(given: &Bound<'_, PyAny>) -> String {
    given.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}

pub(super) fn dtype_name(array: &Bound<'_, PyAny>) -> String {
    array.getattr("dtype").map_or_else(|_| "an unknown dtype".to_owned(), |dtype| dtype.to_string())
}

/// A function of NumPy's.
pub(super) fn numpy_function<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static NUMPY: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let numpy = NUMPY.get_or_try_init(py, || py.import("numpy").map(Bound::unbind))?;
    numpy.bind(py).getattr(name)
}

/// Looks up, at the import, all that `PyO3` would look up once in the first call that wants it. It gives the interpreter away
/// meanwhile, and in the child of a fork at that moment every such call would wait for a thread that is not there.
pub(super) fn look_up(py: Python<'_>) -> PyResult<()> {
    let yes = numpy_function(py, "bool_")?.call1((true,))?; // the module
    yes.extract::<bool>()?; // `__bool__`
    yes.get_type().name()?; // `__name__`
    let items = PyList::new(py, [1])?.try_iter()?;
    items.map(|item| item?.extract()).collect::<PyResult<Vec<u8>>>()?; // `operator.length_hint`
    Ok(())
}
