//! Overlap: no array that is updated in place shares memory with another argument, or its elements with each other.
//!
//! Extents (the addresses between which an array lies) that do not meet settle almost every call; where they do, NumPy
//! decides exactly.

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::arrays::{Array, Name, Target, data_of, item_size};
use super::convert::numpy_function;

/// Fails if a target shares memory with another target or with an array that is read.
pub(super) fn check_overlap<'a, 'py: 'a>(
    targets: impl Iterator<Item = (&'a Target<'py>, Name)>,
    arrays: impl Iterator<Item = (&'a Array<'py>, Name)>,
) -> PyResult<()> {
    let targets = targets.map(|(target, name)| (target.given(), name, true));
    let arrays = arrays.map(|(array, name)| (array.memory(), name, false));
    let mut extents = Vec::with_capacity(targets.size_hint().0 + arrays.size_hint().0);
    for (array, name, is_target) in targets.chain(arrays) {
        if let Some((start, end)) = extent(array) {
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
    array: &'a Bound<'py, PyUntypedArray>,
    name: Name,
    is_target: bool,
}

/// Whether two arrays whose extents meet have an element in common: NumPy solves that exactly.
fn share_memory(one: &Bound<'_, PyUntypedArray>, other: &Bound<'_, PyUntypedArray>) -> PyResult<bool> {
    numpy_function(one.py(), "shares_memory")?.call1((one, other))?.is_truthy()
}

/// The addresses between which an array's elements lie; none where it has no elements.
#[inline(always)] // returned in memory the pair would be read before its halves have arrived there
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
pub(super) fn overlaps_itself(array: &Bound<'_, PyUntypedArray>) -> bool {
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
