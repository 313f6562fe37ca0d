//! The array boundary: what a NumPy array must be to become a Rust slice, and fresh arrays for results.
//!
//! An `Array` is read, a `Target` is updated in place. The fast path is an exact `ndarray` of native float64 or float32,
//! aligned and C-contiguous, which is used where it lies. Everything else goes through one copy that NumPy itself makes, so
//! that no other layout is ever read as if it were C order. There is no table of borrows: `overlap.rs` compares memory
//! instead. What an array was when its argument was read is kept (`Seen`) and compared again when its numbers are taken,
//! since reading the other arguments may have run foreign code; no such code runs between that and the end of the work.

#![allow(unsafe_code)] // raw arrays of NumPy, behind the checks of this file

use std::fmt;

use numpy::npyffi::{
    NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_TYPES, NpyTypes, PY_ARRAY_API, PyArray_Descr,
    get_type_object,
};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use super::convert::{converted, dtype_name, is_masked, numpy_function, required, type_name};
use super::overlap::overlaps_itself;
use crate::error::Error;
use crate::kernels::{Element, Matrix};

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

    /// None is infinite or NaN: x − x is +0 for all others. Without an early end, which would cost more than it saves.
    fn are_finite(numbers: &[Self]) -> bool;
}

macro_rules! number {
    ($number:ident, $dtype:ident, $npy_type:ident) => {
        impl Number for $number {
            const DTYPE: Dtype = Dtype::$dtype;
            const NPY_TYPE: NPY_TYPES = NPY_TYPES::$npy_type;

            #[allow(clippy::eq_op)] // see the trait; asking each whether it is finite takes a third longer
            fn are_finite(numbers: &[Self]) -> bool {
                numbers.iter().fold(0, |bits, x| bits | (x - x).to_bits()) == 0
            }
        }
    };
}
number!(f32, F32, NPY_FLOAT);
number!(f64, F64, NPY_DOUBLE);

/// What an array was when it was accepted.
#[derive(Debug)]
struct Seen {
    name: Name,
    dtype: Dtype,
    data: *mut u8,
    shape: Shape,
    /// The flags that it must have.
    flags: i32,
}

/// A shape; that of a matrix needs no memory of its own.
#[derive(Debug)]
enum Shape {
    UpToTwo(usize, [usize; 2]),
    More(Vec<usize>),
}

impl Seen {
    fn new(array: &Bound<'_, PyUntypedArray>, name: Name, dtype: Dtype, flags: i32) -> Self {
        let shape = match *array.shape() {
            [] => Shape::UpToTwo(0, [0, 0]),
            [n] => Shape::UpToTwo(1, [n, 0]),
            [rows, columns] => Shape::UpToTwo(2, [rows, columns]),
            ref more => Shape::More(more.to_vec()),
        };
        Self { name, dtype, data: data_of(array), shape, flags }
    }

    fn shape(&self) -> &[usize] {
        match &self.shape {
            Shape::UpToTwo(n, sizes) => &sizes[..*n],
            Shape::More(sizes) => sizes,
        }
    }

    /// The start and the length of the numbers, if the array still is what it was.
    fn numbers<T: Number>(&self, array: &Bound<'_, PyUntypedArray>) -> PyResult<(*mut T, usize)> {
        assert!(self.dtype == T::DTYPE, "{} is {}, used as {}", self.name, self.dtype.name(), T::DTYPE.name());
        let same = native_dtype(array) == Some(self.dtype)
            && data_of(array) == self.data
            && array.shape() == self.shape()
            && flags_of(array) & self.flags == self.flags;
        if same {
            Ok((self.data.cast(), array.len()))
        } else {
            Err(PyRuntimeError::new_err(format!("{} has changed while the arguments were being used", self.name)))
        }
    }
}

/// Flags of an array whose numbers are one slice.
const SLICE: i32 = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED;

/// An aligned, C-contiguous array of native float64 or float32 that is read.
#[derive(Debug)]
pub(super) struct Array<'py> {
    /// The numbers: the caller's array, or a copy of it.
    numbers: Bound<'py, PyUntypedArray>,
    /// What the caller gave.
    given: Bound<'py, PyAny>,
    /// Where that lies in memory, if it is an array: a view of the plain class, which runs no foreign code.
    memory: Option<Bound<'py, PyUntypedArray>>,
    seen: Seen,
}

impl<'py> Array<'py> {
    /// Reads an argument; lists, integers and booleans become float64.
    pub(super) fn read(given: &Bound<'py, PyAny>, name: Name) -> PyResult<Self> {
        if let Ok(array) = given.cast_exact::<PyUntypedArray>()
            && let Some(dtype) = native_dtype(array)
            && flags_of(array) & SLICE == SLICE
        {
            return Ok(Self::new(array.clone(), given, None, name, dtype));
        }
        let (array, dtype) = converted(given, name)?;
        let memory = given.cast::<PyUntypedArray>().ok().map(plain_view).transpose()?;
        Ok(Self::new(array, given, memory, name, dtype))
    }

    /// Reads an argument that may be a plain number, which takes the type of the arrays that it meets.
    pub(super) fn read_beside(given: &Bound<'py, PyAny>, dtype: Dtype, name: Name) -> PyResult<Self> {
        if !(given.is_instance_of::<PyFloat>() || given.is_instance_of::<PyInt>()) {
            return Self::read(given, name);
        }
        let number: f64 =
            given.extract().map_err(|_| PyValueError::new_err(format!("{name} is too large for {}", dtype.name())))?;
        let array = numpy_function(given.py(), "full")?.call1(((), number, dtype.name()))?;
        Ok(Self::new(array.cast_into()?, given, None, name, dtype))
    }

    fn new(
        numbers: Bound<'py, PyUntypedArray>,
        given: &Bound<'py, PyAny>,
        memory: Option<Bound<'py, PyUntypedArray>>,
        name: Name,
        dtype: Dtype,
    ) -> Self {
        let seen = Seen::new(&numbers, name, dtype, SLICE);
        Self { numbers, given: given.clone(), memory, seen }
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.seen.dtype
    }

    pub(super) fn shape(&self) -> &[usize] {
        self.seen.shape()
    }

    /// What was given, if that is an array, or what it was converted to.
    pub(super) fn given_or_converted(&self) -> &Bound<'py, PyAny> {
        if self.given.is_instance_of::<PyUntypedArray>() { &self.given } else { self.numbers.as_any() }
    }

    /// An array of the plain class that lies where the argument does.
    pub(super) fn memory(&self) -> &Bound<'py, PyUntypedArray> {
        self.memory.as_ref().unwrap_or(&self.numbers)
    }

    /// The numbers, row-major.
    ///
    /// # Panics
    ///
    /// If they are not of type `T`.
    pub(super) fn numbers<T: Number>(&self) -> PyResult<&[T]> {
        let (start, length) = self.seen.numbers::<T>(&self.numbers)?;
        if length == 0 {
            return Ok(&[]);
        }
        // SAFETY: `Seen::numbers` has just checked type, byte order, alignment and C-contiguity. The array lives as long as
        // `self`; that no other thread writes to it meanwhile is the documented contract, and that this call does not, is
        // what `check_overlap` is for.
        Ok(unsafe { std::slice::from_raw_parts(start, length) })
    }
}

impl Array<'_> {
    /// The rows of an array of two dimensions.
    ///
    /// # Panics
    ///
    /// If it has others, or its numbers are not of type `T`.
    pub(super) fn rows<T: Number>(&self) -> PyResult<Matrix<'_, T>> {
        Ok(Matrix::packed(self.numbers::<T>()?, self.shape()[0], self.shape()[1]))
    }
}

/// A writeable array that is updated in place, or, where it is not contiguous, through a copy.
#[derive(Debug)]
pub(super) struct Target<'py> {
    /// The array that was given, or, where there is a copy, a view of it that nobody else can change.
    given: Bound<'py, PyUntypedArray>,
    /// The copy, to be written back.
    copy: Option<Bound<'py, PyUntypedArray>>,
    seen: Seen,
}

impl<'py> Target<'py> {
    /// Accepts an argument that can be updated in place.
    pub(super) fn accept(given: &Bound<'py, PyAny>, name: Name) -> PyResult<Self> {
        let refused = |what: String| {
            let expected = "is updated in place and must be a float64 or float32 array";
            Err(PyTypeError::new_err(format!("{name} {expected}, got {what}")))
        };
        let Ok(array) = given.cast::<PyUntypedArray>() else {
            return refused(type_name(given));
        };
        if is_masked(given) {
            return refused("a masked array".to_owned());
        }
        let Some(dtype) = native_dtype(array) else {
            return refused(dtype_name(given));
        };
        let flags = flags_of(array);
        if flags & NPY_ARRAY_WRITEABLE == 0 {
            return Err(PyValueError::new_err(format!("{name} is updated in place but is read-only")));
        }
        if flags & SLICE == SLICE {
            let array = if given.is_exact_instance_of::<PyUntypedArray>() { array.clone() } else { plain_view(array)? };
            let seen = Seen::new(&array, name, dtype, SLICE | NPY_ARRAY_WRITEABLE);
            return Ok(Self { given: array, copy: None, seen });
        }
        let array = &plain_view(array)?;
        if overlaps_itself(array) {
            return Err(PyValueError::new_err(format!(
                "{name} is updated in place but its elements share memory with each other"
            )));
        }
        let copy = required(array, dtype, true)?;
        let seen = Seen::new(&copy, name, dtype, SLICE | NPY_ARRAY_WRITEABLE);
        Ok(Self { given: array.clone(), copy: Some(copy), seen })
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.seen.dtype
    }

    pub(super) fn shape(&self) -> &[usize] {
        self.seen.shape()
    }

    /// The array that was given.
    pub(super) fn given(&self) -> &Bound<'py, PyUntypedArray> {
        &self.given
    }

    /// The numbers, row-major, to be written. The slice is bound to `&mut self`, so that it is the only one of this target.
    ///
    /// # Panics
    ///
    /// If they are not of type `T`.
    pub(super) fn numbers_mut<T: Number>(&mut self) -> PyResult<&mut [T]> {
        let (start, length) = self.seen.numbers::<T>(self.copy.as_ref().unwrap_or(&self.given))?;
        if length == 0 {
            return Ok(&mut []);
        }
        // SAFETY: `Seen::numbers` has just checked type, byte order, alignment, C-contiguity and that the array is writeable.
        // It lives as long as `self`. `check_overlap` sees to it that no other argument of the call shares the memory; that
        // no other thread uses it meanwhile is the documented contract.
        Ok(unsafe { std::slice::from_raw_parts_mut(start, length) })
    }

    /// Writes a copy back to where it belongs.
    pub(super) fn finish(&self, py: Python<'py>) -> PyResult<()> {
        match &self.copy {
            None => Ok(()),
            Some(copy) => numpy_function(py, "copyto")?.call1((&self.given, copy)).map(|_| ()),
        }
    }
}

/// Bytes up to which a fresh array is cleared here, in the cache, rather than by NumPy.
const SMALL: usize = 64 * 1024;

/// A fresh array for results.
pub(super) struct Fresh<'py, T> {
    array: Bound<'py, PyAny>,
    start: *mut T,
    length: usize,
}

impl<'py, T: Number> Fresh<'py, T> {
    /// Zeros of that shape.
    pub(super) fn new(py: Python<'py>, shape: &[usize]) -> PyResult<Self> {
        let (mut matrix, mut more) = ([0; 2], Vec::new());
        let dimensions = match shape.len() {
            n @ 0..=2 => &mut matrix[..n],
            n => {
                more.resize(n, 0);
                &mut more[..]
            }
        };
        let mut length = 1_usize;
        let too_large = || PyErr::from(Error::OutOfMemory { numbers: usize::MAX });
        for (dimension, &size) in dimensions.iter_mut().zip(shape) {
            *dimension = isize::try_from(size).map_err(|_| too_large())?;
            length = length.checked_mul(size).ok_or_else(too_large)?;
        }
        if length > isize::MAX.unsigned_abs() / size_of::<T>() {
            return Err(too_large());
        }
        // NumPy makes zeros without the GIL: a daemon thread that comes back from there when the interpreter has ended is
        // torn down in the midst of our frames. Small results are not worth that.
        let is_small = length <= SMALL / size_of::<T>();
        // SAFETY: the GIL is held; the descriptor is a new reference that NumPy takes over; the dimensions are as many as
        // it is told. A null result is an exception (memory, most likely).
        let array = unsafe {
            let descriptor = PY_ARRAY_API.PyArray_DescrFromType(py, T::NPY_TYPE as _);
            let n_dimensions = i32::try_from(shape.len()).expect("few dimensions");
            let dimensions = dimensions.as_mut_ptr();
            let array = if is_small {
                PY_ARRAY_API.PyArray_Empty(py, n_dimensions, dimensions, descriptor, 0)
            } else {
                PY_ARRAY_API.PyArray_Zeros(py, n_dimensions, dimensions, descriptor, 0)
            };
            Bound::from_owned_ptr_or_err(py, array)?
        };
        // SAFETY: NumPy has just made this array.
        let start: *mut T = data_of(unsafe { array.cast_unchecked::<PyUntypedArray>() }).cast();
        if is_small {
            // SAFETY: the array has so many numbers, of which all bits zero make 0.
            unsafe { start.write_bytes(0, length) };
        }
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

/// Loads NumPy's interface, which runs Python code the first time: at the import, not between a check and its use.
pub(super) fn load_numpy(py: Python<'_>) -> PyResult<()> {
    Fresh::<f64>::new(py, &[]).map(|_| ())
}

/// A new view of the whole array, of the plain class `ndarray`: a subclass cannot have a say in what is done with it.
fn plain_view<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = array.py();
    // SAFETY: the GIL is held, the array is alive, no other dtype is asked for, and the class is NumPy's own. A null result
    // is an exception.
    let view = unsafe {
        let class = get_type_object(py, NpyTypes::PyArray_Type);
        let view = PY_ARRAY_API.PyArray_View(py, array.as_array_ptr(), std::ptr::null_mut(), class);
        Bound::from_owned_ptr_or_err(py, view)?
    };
    Ok(view.cast_into()?)
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

/// Where an array's first element lies.
pub(super) fn data_of(array: &Bound<'_, PyUntypedArray>) -> *mut u8 {
    // SAFETY: the array is alive.
    unsafe { (*array.as_array_ptr()).fields.data.cast() }
}

/// Bytes of one element.
pub(super) fn item_size(array: &Bound<'_, PyUntypedArray>) -> usize {
    match native_dtype(array) {
        Some(Dtype::F32) => 4,
        Some(Dtype::F64) => 8,
        None => array.dtype().itemsize(),
    }
}
