//! The checks of the notebook tier's lists: `W` and `B`, samples and targets, all before the first write.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::arrays::{Array, Dtype, Name, Number, Target};
use super::convert::Items;
use crate::error::{Error, shape_text};
use crate::kernels::Matrix;

/// An argument that holds numbers of a layer: read, or updated in place.
pub(super) trait Numbers<'py>: Sized {
    fn take(given: &Bound<'py, PyAny>, name: Name) -> PyResult<Self>;
    fn dtype(&self) -> Dtype;
    fn shape(&self) -> &[usize];
}

impl<'py> Numbers<'py> for Array<'py> {
    fn take(given: &Bound<'py, PyAny>, name: Name) -> PyResult<Self> {
        Self::read(given, name)
    }

    fn dtype(&self) -> Dtype {
        self.dtype()
    }

    fn shape(&self) -> &[usize] {
        self.shape()
    }
}

impl<'py> Numbers<'py> for Target<'py> {
    fn take(given: &Bound<'py, PyAny>, name: Name) -> PyResult<Self> {
        Self::accept(given, name)
    }

    fn dtype(&self) -> Dtype {
        self.dtype()
    }

    fn shape(&self) -> &[usize] {
        self.shape()
    }
}

/// Weights (I, O) and biases (O) that make a chain of layers, all of one type.
pub(super) struct Layers<N> {
    pub(super) weights: Vec<N>,
    pub(super) biases: Vec<N>,
}

impl<'py, N: Numbers<'py>> Layers<N> {
    /// Checks `W` and `B`.
    pub(super) fn take(w: &Bound<'py, PyAny>, b: &Bound<'py, PyAny>) -> PyResult<Self> {
        let (w, b) = (Items::of(w, "W")?, Items::of(b, "B")?);
        if w.len() == 0 {
            return Err(Error::NoLayers { argument: "W" }.into());
        }
        if w.len() != b.len() {
            return Err(Error::Lengths { left: ("W", w.len()), right: ("B", b.len()) }.into());
        }
        let n_layers = w.len();
        let mut layers = Self { weights: Vec::with_capacity(n_layers), biases: Vec::with_capacity(n_layers) };
        for i in 0..n_layers {
            let (w_name, b_name) = (Name("W", Some(i)), Name("B", Some(i)));
            let (weights, biases) = (N::take(&w.get(w_name)?, w_name)?, N::take(&b.get(b_name)?, b_name)?);
            layers.check_weights(w_name, weights.shape())?;
            check_biases(b_name, biases.shape(), weights.shape()[1])?;
            let first = layers.weights.first().unwrap_or(&weights).dtype();
            check_dtype(w_name, weights.dtype(), first)?;
            check_dtype(b_name, biases.dtype(), first)?;
            layers.weights.push(weights);
            layers.biases.push(biases);
        }
        Ok(layers)
    }

    /// A layer has two dimensions, something in each, and takes what the layer before gives.
    fn check_weights(&self, name: Name, shape: &[usize]) -> PyResult<()> {
        let &[inputs, outputs] = shape else {
            return Err(shape_error(name, shape, "two dimensions (n_inputs, n_outputs)"));
        };
        if inputs == 0 || outputs == 0 {
            return Err(Error::EmptyLayer { argument: name.to_string(), shape: shape.to_vec() }.into());
        }
        match self.weights.last().map(|before| before.shape()[1]) {
            Some(before) if before != inputs => {
                let expected = format!("{before} rows: W[{}] has {before} columns", self.len() - 1);
                Err(shape_error(name, shape, &expected))
            }
            _ => Ok(()),
        }
    }

    /// The number of layers.
    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }

    /// The type of all arrays.
    pub(super) fn dtype(&self) -> Dtype {
        self.weights[0].dtype()
    }

    /// Width of a layer's input.
    pub(super) fn n_inputs(&self, layer: usize) -> usize {
        self.weights[layer].shape()[0]
    }

    /// Width of a layer's output.
    pub(super) fn n_outputs(&self, layer: usize) -> usize {
        self.weights[layer].shape()[1]
    }

    /// The widths: features first, then the outputs of each layer.
    pub(super) fn sizes(&self) -> Vec<usize> {
        let outputs = (0..self.len()).map(|layer| self.n_outputs(layer));
        std::iter::once(self.n_inputs(0)).chain(outputs).collect()
    }

    /// Weights and biases of all layers.
    pub(super) fn n_parameters(&self) -> usize {
        (0..self.len())
            .map(|layer| self.n_inputs(layer).saturating_add(1).saturating_mul(self.n_outputs(layer)))
            .fold(0, usize::saturating_add)
    }

    /// Reads the samples: `(n_samples, n_features)` of the first layer and of its type.
    pub(super) fn samples(&self, x: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
        let name = Name("X", None);
        let x = Array::read(x, name)?;
        let features = self.n_inputs(0);
        match *x.shape() {
            [_, columns] if columns == features => {}
            [_, _] => {
                let expected = format!("{features} columns: W[0] has {features} rows");
                return Err(shape_error(name, x.shape(), &expected));
            }
            [_] => {
                let expected = "two dimensions (n_samples, n_features): write X.reshape(1, -1) for one sample or \
                                X.reshape(-1, 1) for one feature";
                return Err(shape_error(name, x.shape(), expected));
            }
            _ => return Err(shape_error(name, x.shape(), "two dimensions (n_samples, n_features)")),
        }
        check_dtype(name, x.dtype(), self.dtype())?;
        Ok(x)
    }
}

impl<'py> Layers<Target<'py>> {
    /// Weights and biases of each layer, for writing.
    pub(super) fn numbers_mut<T: Number>(&mut self) -> impl Iterator<Item = PyResult<(&mut [T], &mut [T])>> {
        let pairs = self.weights.iter_mut().zip(&mut self.biases);
        pairs.map(|(weights, biases)| Ok((weights.numbers_mut()?, biases.numbers_mut()?)))
    }

    /// All arrays that are updated, with their names.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&Target<'py>, Name)> + Clone {
        let weights = self.weights.iter().enumerate().map(|(i, array)| (array, Name("W", Some(i))));
        let biases = self.biases.iter().enumerate().map(|(i, array)| (array, Name("B", Some(i))));
        weights.chain(biases)
    }

    /// Writes back what could not be updated where it lies.
    pub(super) fn finish(&self, py: Python<'py>) -> PyResult<()> {
        self.weights.iter().chain(&self.biases).try_for_each(|target| target.finish(py))
    }
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

/// A `ValueError` about an argument's shape.
pub(super) fn shape_error(name: Name, shape: &[usize], expected: &str) -> PyErr {
    let (argument, expected) = (name.to_string(), expected.to_owned());
    Error::Shape { argument, shape: shape.to_vec(), expected }.into()
}

/// Biases are one row, with or without the dimension that says so.
fn check_biases(name: Name, shape: &[usize], outputs: usize) -> PyResult<()> {
    match *shape {
        [n] | [1, n] if n == outputs => Ok(()),
        _ => {
            let expected = format!("(1, {outputs}) or ({outputs},), one bias for each output");
            Err(shape_error(name, shape, &expected))
        }
    }
}

/// The targets of predictions: of their shape, one row of it, or one number.
pub(super) struct Targets<'py> {
    y: Array<'py>,
    /// Rows and columns of the predictions.
    size: (usize, usize),
}

impl<'py> Targets<'py> {
    /// Reads the targets for `predictions` of that shape.
    pub(super) fn read(y: &Bound<'py, PyAny>, name: Name, predictions: &[usize], dtype: Dtype) -> PyResult<Self> {
        let y = Array::read_beside(y, dtype, name)?;
        let n_outputs = predictions.last().copied().unwrap_or(1);
        let n_samples = predictions.iter().rev().skip(1).product();
        match *y.shape() {
            [] => {}
            ref shape if shape == predictions => {}
            [n] | [1, n] if n == n_outputs && predictions.len() == 2 => {}
            [_] if *predictions == [y.shape()[0], 1] => {
                let expected = format!("({n_samples}, 1): write {name}.reshape(-1, 1) for one target a sample");
                return Err(shape_error(name, y.shape(), &expected));
            }
            _ => {
                let expected = match predictions {
                    [_, _] => format!("{}, one row ({n_outputs},), or one number", shape_text(predictions)),
                    _ => format!("{} or one number", shape_text(predictions)),
                };
                return Err(shape_error(name, y.shape(), &expected));
            }
        }
        check_dtype(name, y.dtype(), dtype)?;
        Ok(Self { y, size: (n_samples, n_outputs) })
    }

    /// The array that was given.
    pub(super) fn array(&self) -> &Array<'py> {
        &self.y
    }

    /// All rows: what is given once is repeated. `row` lends the memory for a repeated number.
    pub(super) fn rows<'a, T: Number>(&'a self, row: &'a mut Vec<T>) -> PyResult<Matrix<'a, T>> {
        let (n_samples, n_outputs) = self.size;
        let numbers = self.y.numbers::<T>()?;
        Ok(if self.y.shape().is_empty() && n_outputs > 1 {
            row.resize(n_outputs, numbers[0]);
            Matrix::new(row, n_samples, n_outputs, 0)
        } else if numbers.len() == n_samples * n_outputs {
            Matrix::packed(numbers, n_samples, n_outputs)
        } else {
            Matrix::new(numbers, n_samples, n_outputs, 0)
        })
    }
}
