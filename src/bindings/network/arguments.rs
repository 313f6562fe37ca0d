//! The arguments of a network's calls: samples, targets, weights and vectors that fit it, and names for its layers.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::super::arrays::{Array, Dtype, Name, Number};
use super::super::convert::type_name;
use super::super::layers::{Targets, check_dtype, shape_error};
use super::super::options::named;
use super::Network;
use crate::error::Error;
use crate::kernels::{Activation, Loss, Matrix};
use crate::training::Batch;

/// A batch as it came, checked but for what the loss wants of its targets.
pub(super) struct Samples<'py> {
    pub(super) x: Array<'py>,
    targets: Targets<'py>,
    weights: Option<Array<'py>>,
}

impl Samples<'_> {
    pub(super) fn n_samples(&self) -> usize {
        self.x.shape()[0]
    }

    /// The numbers, for that loss. `row` lends the memory for a repeated one.
    pub(super) fn batch<'b, T: Number>(&'b self, row: &'b mut Vec<T>, loss: Loss) -> PyResult<Batch<'b, T>> {
        let weights = self.weights.as_ref().map(Array::numbers::<T>).transpose()?;
        let batch = Batch { x: self.x.rows::<T>()?, y: self.targets.rows::<T>(row)?, weights };
        check_targets(loss, batch.y)?;
        Ok(batch)
    }
}

impl Network {
    /// Samples of the network's width and type.
    pub(super) fn samples<'py>(&self, x: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
        let (name, n_features) = (Name("X", None), self.sizes[0]);
        let x = Array::read(x, name)?;
        match *x.shape() {
            [_, columns] if columns == n_features => {}
            [n] if n == n_features => {
                let expected = format!("(n_samples, {n_features}): write X.reshape(1, -1) for one sample");
                return Err(shape_error(name, x.shape(), &expected));
            }
            [_] if n_features == 1 => {
                let expected = "(n_samples, 1): write X.reshape(-1, 1) for one feature";
                return Err(shape_error(name, x.shape(), expected));
            }
            _ => return Err(shape_error(name, x.shape(), &format!("(n_samples, {n_features})"))),
        }
        check_dtype(name, x.dtype(), self.dtype)?;
        Ok(x)
    }

    /// At least one sample.
    pub(super) fn some_samples<'py>(&self, x: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
        let x = self.samples(x)?;
        if x.shape()[0] == 0 {
            return Err(shape_error(Name("X", None), x.shape(), "at least one sample"));
        }
        Ok(x)
    }

    /// Samples, at least one, their targets and weights.
    pub(super) fn batch<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Samples<'py>> {
        let x = self.some_samples(x)?;
        let n_samples = x.shape()[0];
        let targets = Targets::read(y, Name("Y", None), &[n_samples, self.n_outputs()], self.dtype)?;
        let weights = sample_weight.map(|weights| self.weights(weights, n_samples)).transpose()?;
        Ok(Samples { x, targets, weights })
    }

    /// A finite number of at least 0 for each sample.
    fn weights<'py>(&self, weights: &Bound<'py, PyAny>, n_samples: usize) -> PyResult<Array<'py>> {
        let name = Name("sample_weight", None);
        let weights = Array::read(weights, name)?;
        if *weights.shape() != [n_samples] {
            return Err(shape_error(name, weights.shape(), &format!("({n_samples},): one number for each sample")));
        }
        check_dtype(name, weights.dtype(), self.dtype)?;
        let good = match self.dtype {
            Dtype::F32 => weights.numbers::<f32>()?.iter().all(|weight| (0.0..=f32::MAX).contains(weight)),
            Dtype::F64 => weights.numbers::<f64>()?.iter().all(|weight| (0.0..=f64::MAX).contains(weight)),
        };
        if good {
            Ok(weights)
        } else {
            Err(PyValueError::new_err("sample_weight has a number that is negative, infinite or nan"))
        }
    }

    /// A number for each parameter.
    pub(super) fn vector<'py>(&self, vector: &Bound<'py, PyAny>, name: &'static str) -> PyResult<Array<'py>> {
        let name = Name(name, None);
        let vector = Array::read(vector, name)?;
        if *vector.shape() != [self.n_parameters()] {
            return Err(shape_error(name, vector.shape(), &format!("({},)", self.n_parameters())));
        }
        check_dtype(name, vector.dtype(), self.dtype)?;
        Ok(vector)
    }
}

/// Cross-entropies are of probabilities, those of one sample together 1 where classes exclude each other.
fn check_targets<T: Number>(loss: Loss, targets: Matrix<'_, T>) -> PyResult<()> {
    const ROUNDING: f64 = 1e-3;
    let refuse = |what: &str| Err(PyValueError::new_err(format!("Y has {what}")));
    if loss.fused_with().is_none() {
        return Ok(());
    }
    let n_rows = if targets.stride() == 0 { 1.min(targets.rows()) } else { targets.rows() };
    for row in (0..n_rows).map(|row| targets.row(row)) {
        if !row.iter().all(|target| (0.0..=1.0).contains(&target.to_f64()) || !target.is_finite()) {
            return refuse("a number that is no probability: for this loss all are from 0 to 1");
        }
        let sum: f64 = row.iter().map(|target| target.to_f64()).sum();
        if loss == Loss::CategoricalCrossEntropy && sum.is_finite() && (sum - 1.0).abs() > ROUNDING {
            return refuse("a row that does not sum to 1: for this loss a row is the probabilities of the classes");
        }
    }
    Ok(())
}

/// Names, one for each layer.
pub(super) fn read_names<V: Copy>(
    option: &'static str,
    names: &Bound<'_, PyAny>,
    known: &[(&'static str, V)],
    n_layers: usize,
) -> PyResult<Vec<V>> {
    if names.is_instance_of::<PyString>() {
        return Ok(vec![named(option, names, known)?; n_layers]);
    }
    let items = names.try_iter().map_err(|_| {
        PyTypeError::new_err(format!("{option} must be a name or one for each layer, got {}", type_name(names)))
    })?;
    let values = items.map(|name| named(option, &name?, known)).collect::<PyResult<Vec<_>>>()?;
    if values.len() != n_layers {
        let (expected, value) = (format!("one name for each of the {n_layers} layers"), values.len().to_string());
        return Err(Error::OutOfRange { option, expected, value }.into());
    }
    Ok(values)
}

/// The activation of each layer: softmax is for the last one.
pub(super) fn read_activations(activation: &Bound<'_, PyAny>, n_layers: usize) -> PyResult<Vec<Activation>> {
    let all: Vec<_> = Activation::ALL.iter().chain(Activation::OUTPUT).copied().collect();
    let activations = read_names("activation", activation, &all, n_layers)?;
    if activations[..n_layers - 1].contains(&Activation::Softmax) {
        return Err(PyValueError::new_err("softmax is for the output layer: a hidden layer cannot have it"));
    }
    Ok(activations)
}
