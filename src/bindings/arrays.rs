//! The array boundary: what a NumPy array must be to become a Rust slice, and fresh arrays for results.
//!
//! An `Array` is read, a `Target` is updated in place; both are checked when they are made. The fast path is an exact
//! `ndarray` of native float64 or float32, aligned and C-contiguous, which is used where it lies. Everything else goes
//! through one copy that NumPy itself makes, so that no other layout is ever read as if it were C order. There is no
//! table of borrows: `check_overlap` compares the memory of each target with that of every other argument instead.

#![allow(unsafe_code)] // raw arrays of NumPy, behind the checks of this file

use std::fmt;

use numpy::npyffi::{
    NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_TYPES, PY_ARRAY_API, PyArray_Descr,
};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyTuple};

use crate::error::Error;
use crate::kernels::Element;

/// An argument's name as messages show it: `X`, or `W[1]` for an item of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name(pub(super) &'static str, pub(super) Option<usize>);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            None => f.write_str(self.0),
            Some(item) => write!(f, "{}[{item}]", self.0),
        }
    }
}

/// The number type of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F32,
    F64,
}

impl Dtype {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }
}

/// Number types that NumPy knows.
pub(super) trait Number: Element {
    const DTYPE: Dtype;
    const NPY_TYPE: NPY_TYPES;
}

impl Number for f32 {
    const DTYPE: Dtype = Dtype::F32;
    const NPY_TYPE: NPY_TYPES = NPY_TYPES::NPY_FLOAT;
}

impl Number for f64 {
    const DTYPE: Dtype = Dtype::F64;
    const NPY_TYPE: NPY_TYPES = NPY_TYPES::NPY_DOUBLE;
}

/// An aligned, C-contiguous array of native float64 or float32 that is read.
#[derive(Debug)]
pub(super) struct Array<'py> {
    /// The numbers: the caller's array, or a copy of it.
    numbers: Bound<'py, PyUntypedArray>,
    /// What the caller gave.
    given: Bound<'py, PyAny>,
    dtype: Dtype,
}

impl<'py> Array<'py> {
    /// Reads an argument; lists, integers and booleans become float64.
    pub(super) fn read(given: &Bound<'py, PyAny>, name: Name) -> PyResult<Self> {
        if let Some((array, dtype)) = exact(given) {
            let flags = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED;
            if flags_of(&array) & flags == flags {
                return Ok(Self { numbers: array, given: given.clone(), dtype });
            }
        }
        let (array, dtype) = converted(given, name)?;
        Ok(Self { numbers: array, given: given.clone(), dtype })
    }

    /// Reads an argument that may be a plain number, which takes the type of the arrays that it meets.
    pub(super) fn read_beside(given: &Bound<'py, PyAny>, dtype: Dtype, name: Name) -> PyResult<Self> {
        let plain = given.is_instance_of::<pyo3::types::PyFloat>() || given.is_instance_of::<pyo3::types::PyInt>();
        if !plain {
            return Self::read(given, name);
        }
        let array = numpy_function(given.py(), "full")?.call1(((), given, dtype.name()))?;
        Ok(Self { numbers: array.cast_into()?, given: given.clone(), dtype })
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub(super) fn shape(&self) -> &[usize] {
        self.numbers.shape()
    }

    /// What the caller gave, if that is an array, or else the copy.
    pub(super) fn given_or_copy(&self) -> Bound<'py, PyAny> {
        match self.given.cast::<PyUntypedArray>() {
            Ok(_) => self.given.clone(),
            Err(_) => self.numbers.as_any().clone(),
        }
    }

    /// The numbers, row-major.
    ///
    /// # Panics
    ///
    /// If they are not of type `T`.
    pub(super) fn numbers<T: Number>(&self) -> &[T] {
        assert!(self.dtype == T::DTYPE, "an array of {} read as {}", self.dtype.name(), T::DTYPE.name());
        if self.numbers.is_empty() {
            return &[];
        }
        // SAFETY: `read` has checked type, byte order, alignment and C-contiguity, or NumPy has made such an array. It
        // lives as long as `self`; that no other thread writes to it meanwhile is the documented contract, and that this
        // call does not, is what `check_overlap` is for.
        unsafe { std::slice::from_raw_parts(data_of(&self.numbers).cast(), self.numbers.len()) }
    }
}

/// A writeable array that is updated in place, or, where it is not contiguous, through a copy.
#[derive(Debug)]
pub(super) struct Target<'py> {
    given: Bound<'py, PyUntypedArray>,
    /// The copy, to be written back.
    copy: Option<Bound<'py, PyUntypedArray>>,
    dtype: Dtype,
}

impl<'py> Target<'py> {
    /// Accepts an argument that can be updated in place.
    pub(super) fn accept(given: &Bound<'py, PyAny>, name: Name) -> PyResult<Self> {
        let in_place = || format!("{name} is updated in place and must be a float64 or float32 array");
        let Ok(array) = given.cast::<PyUntypedArray>() else {
            return Err(PyTypeError::new_err(format!("{}, got {}", in_place(), type_name(given))));
        };
        let Some(dtype) = native_dtype(array).filter(|_| !is_masked(given)) else {
            let what = if is_masked(given) { "a masked array".to_owned() } else { dtype_name(given) };
            return Err(PyTypeError::new_err(format!("{}, got {what}", in_place())));
        };
        let flags = flags_of(array);
        if flags & NPY_ARRAY_WRITEABLE == 0 {
            return Err(PyValueError::new_err(format!("{name} is updated in place but is read-only")));
        }
        let direct = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED;
        let mut copy = None;
        if flags & direct != direct {
            if overlaps_itself(array) {
                return Err(PyValueError::new_err(format!(
                    "{name} is updated in place but its elements share memory with each other"
                )));
            }
            copy = Some(required(given, dtype, true)?);
        }
        Ok(Self { given: array.clone(), copy, dtype })
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub(super) fn shape(&self) -> &[usize] {
        self.given.shape()
    }

    fn array(&self) -> &Bound<'py, PyUntypedArray> {
        self.copy.as_ref().unwrap_or(&self.given)
    }

    /// The numbers, to be written. The slice is bound to `&mut self`, so that it is the only one of this target.
    ///
    /// # Panics
    ///
    /// If they are not of type `T`.
    pub(super) fn numbers_mut<T: Number>(&mut self) -> &mut [T] {
        assert!(self.dtype == T::DTYPE, "an array of {} used as {}", self.dtype.name(), T::DTYPE.name());
        if self.array().is_empty() {
            return &mut [];
        }
        // SAFETY: `accept` has checked type, byte order and that the array is writeable, and either that it is aligned
        // and C-contiguous or has had NumPy make such a copy. `check_overlap` sees to it that no other argument of the
        // call shares the memory; that no other thread uses it meanwhile is the documented contract.
        unsafe { std::slice::from_raw_parts_mut(data_of(self.array()).cast(), self.array().len()) }
    }

    /// Writes a copy back to where it belongs.
    pub(super) fn finish(&self, py: Python<'py>) -> PyResult<()> {
        match &self.copy {
            None => Ok(()),
            Some(copy) => numpy_function(py, "copyto")?.call1((&self.given, copy)).map(|_| ()),
        }
    }
}

/// A fresh array for results.
pub(super) struct Fresh<'py, T> {
    array: Bound<'py, PyAny>,
    start: *mut T,
    length: usize,
}

impl<'py, T: Number> Fresh<'py, T> {
    /// Zeros of that shape.
    pub(super) fn new(py: Python<'py>, shape: &[usize]) -> PyResult<Self> {
        let mut dimensions = [0; MOST_DIMENSIONS];
        let n_dimensions = shape.len().min(MOST_DIMENSIONS);
        let mut length = 1_usize;
        let too_large = || PyErr::from(Error::OutOfMemory { numbers: usize::MAX });
        for (dimension, &size) in dimensions.iter_mut().zip(shape) {
            *dimension = isize::try_from(size).map_err(|_| too_large())?;
            length = length.checked_mul(size).ok_or_else(too_large)?;
        }
        // SAFETY: the GIL is held; the descriptor is a new reference that NumPy takes over; the dimensions are as many as
        // it is told. A null result is an exception (memory, most likely).
        let array = unsafe {
            let descriptor = PY_ARRAY_API.PyArray_DescrFromType(py, T::NPY_TYPE as _);
            let array = PY_ARRAY_API.PyArray_Zeros(
                py,
                i32::try_from(n_dimensions).expect("few dimensions"),
                dimensions.as_mut_ptr(),
                descriptor,
                0,
            );
            Bound::from_owned_ptr_or_err(py, array)?
        };
        // SAFETY: NumPy has just made this array.
        let start = data_of(unsafe { array.cast_unchecked::<PyUntypedArray>() }).cast();
        Ok(Self { array, start, length })
    }

    /// The numbers, to be written.
    pub(super) fn numbers_mut(&mut self) -> &mut [T] {
        if self.length == 0 {
            return &mut [];
        }
        // SAFETY: a fresh array is aligned, C-contiguous and initialised, holds `length` numbers, is known to nobody else
        // before `into_array`, and lives as long as `self`, which is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }

    pub(super) fn into_array(self) -> Bound<'py, PyAny> {
        self.array
    }
}

/// NumPy's own bound.
const MOST_DIMENSIONS: usize = 64;

/// The items of an argument that must be a list or a tuple.
pub(super) fn items<'py>(given: &Bound<'py, PyAny>, argument: &str) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if let Ok(list) = given.cast::<PyList>() {
        return Ok(list.iter().collect());
    }
    if let Ok(tuple) = given.cast::<PyTuple>() {
        return Ok(tuple.iter().collect());
    }
    Err(PyTypeError::new_err(format!(
        "{argument} must be a list of arrays, one for each layer, got {}",
        type_name(given)
    )))
}

/// All arrays of a call have one type, that of `W[0]` (or of `x` where there are no weights).
pub(super) fn check_dtype(name: Name, dtype: Dtype, expected: Dtype) -> PyResult<()> {
    if dtype == expected {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "{name} is {} but the arrays before it are {}: the arrays of a call must be all float64 or all float32 (lists and \
         integers become float64); convert one of them with .astype",
        dtype.name(),
        expected.name()
    )))
}

/// Fails if a target shares memory with another target or with an array that is read.
pub(super) fn check_overlap<'a, 'py: 'a>(
    targets: impl Iterator<Item = (&'a Target<'py>, Name)>,
    arrays: impl Iterator<Item = (&'a Array<'py>, Name)>,
) -> PyResult<()> {
    let targets = targets.map(|(target, name)| (target.given.as_any(), name, true));
    let arrays = arrays.map(|(array, name)| (&array.given, name, false));
    let mut extents = Vec::with_capacity(targets.size_hint().0 + arrays.size_hint().0);
    for (array, name, is_target) in targets.chain(arrays) {
        if let Ok(untyped) = array.cast::<PyUntypedArray>()
            && let Some((start, end)) = extent(untyped)
        {
            extents.push(Extent { start, end, array, name, is_target });
        }
    }
    extents.sort_unstable_by_key(|extent| extent.start);
    for (i, one) in extents.iter().enumerate() {
        for other in extents[i + 1..].iter().take_while(|other| other.start < one.end) {
            if (one.is_target || other.is_target) && share_memory(one.array, other.array)? {
                let (target, other) = if one.is_target { (one, other) } else { (other, one) };
                return Err(PyValueError::new_err(format!(
                    "{} is updated in place but shares memory with {}",
                    target.name, other.name
                )));
            }
        }
    }
    Ok(())
}

/// Where an argument lies in memory.
struct Extent<'a, 'py> {
    start: usize,
    end: usize,
    array: &'a Bound<'py, PyAny>,
    name: Name,
    is_target: bool,
}

/// Whether two arrays whose extents meet have an element in common: NumPy solves that exactly.
fn share_memory(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
    numpy_function(one.py(), "shares_memory")?.call1((one, other))?.is_truthy()
}

/// The addresses between which an array's elements lie; none where it has no elements.
fn extent(array: &Bound<'_, PyUntypedArray>) -> Option<(usize, usize)> {
    if array.is_empty() {
        return None;
    }
    let (mut start, mut end) = (data_of(array).addr(), data_of(array).addr());
    for (&size, &stride) in array.shape().iter().zip(array.strides()) {
        let reach = stride.unsigned_abs() * (size - 1);
        if stride < 0 { start -= reach } else { end += reach }
    }
    Some((start, end + item_size(array)))
}

/// Whether two elements of an array may share memory: in order of their strides, each dimension must step over all that
/// the ones before it reach.
fn overlaps_itself(array: &Bound<'_, PyUntypedArray>) -> bool {
    let sizes = array.shape().iter().copied();
    let strides = array.strides().iter().map(|stride| stride.unsigned_abs());
    let mut dimensions: Vec<_> = strides.zip(sizes).filter(|&(_, size)| size > 1).collect();
    dimensions.sort_unstable();
    let mut reach = item_size(array);
    for (stride, size) in dimensions {
        if stride < reach {
            return true;
        }
        reach += stride * (size - 1);
    }
    false
}

/// An exact `ndarray` (no subclass) of native float64 or float32.
fn exact<'py>(given: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyUntypedArray>, Dtype)> {
    let array = given.cast_exact::<PyUntypedArray>().ok()?;
    native_dtype(array).map(|dtype| (array.clone(), dtype))
}

/// The type of an array's elements where it is one of ours in native byte order.
fn native_dtype(array: &Bound<'_, PyUntypedArray>) -> Option<Dtype> {
    // SAFETY: the array is alive, and so is its descriptor.
    let descriptor: &PyArray_Descr = unsafe { &*(*array.as_array_ptr()).fields.descr };
    let native = matches!(descriptor.fields.byteorder.cast_unsigned(), b'=' | b'|');
    match descriptor.fields.type_num {
        number if native && number == NPY_TYPES::NPY_DOUBLE as i32 => Some(Dtype::F64),
        number if native && number == NPY_TYPES::NPY_FLOAT as i32 => Some(Dtype::F32),
        _ => None,
    }
}

fn flags_of(array: &Bound<'_, PyUntypedArray>) -> i32 {
    // SAFETY: the array is alive.
    unsafe { (*array.as_array_ptr()).fields.flags }
}

fn data_of(array: &Bound<'_, PyUntypedArray>) -> *mut u8 {
    // SAFETY: the array is alive.
    unsafe { (*array.as_array_ptr()).fields.data.cast() }
}

/// Bytes of one element of an array of ours; arrays of other types only need an upper bound.
fn item_size(array: &Bound<'_, PyUntypedArray>) -> usize {
    array.dtype().itemsize()
}

/// A fresh or the same array, aligned, C-contiguous and of that type, made by NumPy.
fn required<'py>(given: &Bound<'py, PyAny>, dtype: Dtype, copy: bool) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = given.py();
    let array = if copy { numpy_function(py, "array")?.call1((given, dtype.name()))? } else { given.clone() };
    let array = numpy_function(py, "require")?.call1((array, dtype.name(), ["C", "A", "E"]))?;
    Ok(array.cast_into()?)
}

/// What is not on the fast path: converts by NumPy's rules where no number can be lost.
fn converted<'py>(given: &Bound<'py, PyAny>, name: Name) -> PyResult<(Bound<'py, PyUntypedArray>, Dtype)> {
    if is_masked(given) {
        return Err(PyTypeError::new_err(format!("{name} is a masked array, whose mask would be lost: fill it first")));
    }
    let py = given.py();
    let array = numpy_function(py, "asarray")?.call1((given,)).map_err(|error| {
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
fn is_masked(given: &Bound<'_, PyAny>) -> bool {
    given.cast::<PyUntypedArray>().is_ok()
        && given.cast_exact::<PyUntypedArray>().is_err()
        && given.hasattr("mask").unwrap_or(false)
}

fn type_name(given: &Bound<'_, PyAny>) -> String {
    given.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}

fn dtype_name(array: &Bound<'_, PyAny>) -> String {
    array.getattr("dtype").map_or_else(|_| "an unknown dtype".to_owned(), |dtype| dtype.to_string())
}

/// A function of NumPy's.
fn numpy_function<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static NUMPY: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let numpy = NUMPY.get_or_try_init(py, || py.import("numpy").map(Bound::unbind))?;
    numpy.bind(py).getattr(name)
}

/// A `ValueError` about an argument's shape.
pub(super) fn shape_error(name: Name, shape: &[usize], expected: &str) -> PyErr {
    let (argument, expected) = (name.to_string(), expected.to_owned());
    Error::Shape { argument, shape: shape.to_vec(), expected }.into()
}
