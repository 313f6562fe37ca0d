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
    targets: impl Iterator<Item = (&'a Target<'py>, Name)> + Clone,
    arrays: impl Iterator<Item = (&'a Array<'py>, Name)> + Clone,
) -> PyResult<()> {
    let targets = targets.map(|(target, name)| (target.given(), name, true));
    let arrays = arrays.map(|(array, name)| (array.memory(), name, false));
    let all = targets.chain(arrays);
    let mut extents = Vec::with_capacity(all.size_hint().0);
    for (index, (array, ..)) in all.clone().enumerate() {
        if let Some((start, end)) = extent(array) {
            extents.push(Extent { start, end, index });
        }
    }
    extents.sort_unstable_by_key(|extent| extent.start);
    for (i, one) in extents.iter().enumerate() {
        for other in extents[i + 1..].iter().take_while(|other| other.start < one.end) {
            let argument = |extent: &Extent| all.clone().nth(extent.index).expect("an argument for each extent");
            let (one, other) = (argument(one), argument(other));
            let (target, other) = if one.2 { (one, other) } else { (other, one) };
            if target.2 && share_memory(target.0, other.0)? {
                let (target, other) = (target.1, other.1);
                return Err(PyValueError::new_err(format!(
                    "{target} is updated in place but shares memory with {other}"
                )));
            }
        }
    }
    Ok(())
}

/// Where an argument lies in memory: small, since it is sorted in every call.
struct Extent {
    start: usize,
    end: usize,
    /// The argument's place among all.
    index: usize,
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
