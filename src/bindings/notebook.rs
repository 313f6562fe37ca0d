//! `forward_pass` and `backward_pass`: the notebook's pair on the caller's own arrays.
//!
//! Each checks all of its arguments, then computes, the way back in one piece, then hands over.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::arrays::{Array, Dtype, Fresh, Name, Number, Target};
use super::boundary::{guarded, run_detached, run_in_pieces, samples_of_a_piece};
use super::convert::Items;
use super::layers::{Layers, Targets, check_dtype, shape_error};
use super::options::{learning_rate, named};
use super::overlap::check_overlap;
use crate::error::Error;
use crate::kernels::{Activation, Level, Loss, Matrix, MatrixMut, Slope, dense, loss, zeros};
use crate::network::Layerwise;
use crate::parallel::Threads;
use crate::training::Gradient;

/// `(pred, A, dA)`
type Passed<'py> = (Bound<'py, PyAny>, Bound<'py, PyList>, Bound<'py, PyList>);

/// See `ironprop.notebook.forward_pass`.
#[pyfunction]
#[pyo3(signature = (X, W, B, activation))]
#[allow(non_snake_case)] // the notebook's argument names
pub(super) fn forward_pass<'py>(
    py: Python<'py>,
    X: &Bound<'py, PyAny>,
    W: &Bound<'py, PyAny>,
    B: &Bound<'py, PyAny>,
    activation: &Bound<'py, PyAny>,
) -> PyResult<Passed<'py>> {
    guarded(|| {
        let activation = named("activation", activation, Activation::ALL)?;
        let layers = Layers::take(W, B)?;
        let x = layers.samples(X)?;
        match layers.dtype() {
            Dtype::F32 => forward::<f32>(py, activation, &x, &layers),
            Dtype::F64 => forward::<f64>(py, activation, &x, &layers),
        }
    })
}

fn forward<'py, T: Number>(
    py: Python<'py>,
    activation: Activation,
    x: &Array<'py>,
    layers: &Layers<Array<'py>>,
) -> PyResult<Passed<'py>> {
    let level = Level::current()?;
    let n_samples = x.shape()[0];
    let mut activations = Vec::with_capacity(layers.len());
    let mut derivatives = Vec::with_capacity(layers.len());
    for layer in 0..layers.len() {
        let shape = [n_samples, layers.n_outputs(layer)];
        activations.push(Fresh::<T>::new(py, &shape)?);
        derivatives.push(Fresh::<T>::new(py, &shape)?);
    }
    let operations = n_samples.saturating_mul(layers.n_parameters()).saturating_mul(2);
    let rows = samples_of_a_piece(layers.n_parameters()).min(n_samples).max(1);
    {
        let x = Matrix::packed(x.numbers::<T>()?, n_samples, layers.n_inputs(0));
        let mut steps = Vec::with_capacity(layers.len());
        for (layer, (a, d)) in activations.iter_mut().zip(&mut derivatives).enumerate() {
            let (n_inputs, n_outputs) = (layers.n_inputs(layer), layers.n_outputs(layer));
            let weights = Matrix::packed(layers.weights[layer].numbers::<T>()?, n_inputs, n_outputs);
            let biases = layers.biases[layer].numbers::<T>()?;
            let [out, slopes] = [a, d].map(|array| array.numbers_mut().chunks_mut(rows * n_outputs));
            steps.push(((weights, biases), out, slopes));
        }
        let threads = threads(operations)?;
        let widths = (0..layers.len()).map(|layer| (layers.n_inputs(layer), layers.n_outputs(layer)));
        let sizes = [rows, n_samples % rows];
        let sizes = &sizes[..if rows < n_samples { 2 } else { 1 }];
        let workspaces =
            widths.flat_map(|widths| sizes.iter().map(move |rows| dense::forward_workspace::<T>(level, *rows, widths)));
        let mut layerwise = Layerwise::new(level, threads, workspaces)?;
        run_in_pieces(py, operations, |pieces| {
            for start in (0..n_samples).step_by(rows) {
                pieces.next()?;
                let n = rows.min(n_samples - start);
                let mut input = x.window(start, n);
                for ((weights, biases), out, slopes) in &mut steps {
                    let [out, slopes] = [out, slopes]
                        .map(|chunks| MatrixMut::packed(chunks.next().expect("a piece"), n, weights.columns()));
                    input = layerwise.forward(activation, input, (*weights, biases), out, slopes);
                }
            }
            Ok(())
        })?;
    }
    let pred = activations.pop().expect("at least one layer").into_array();
    let inputs = PyList::empty(py);
    inputs.append(x.given_or_converted())?;
    for activations in activations {
        inputs.append(activations.into_array())?;
    }
    let derivatives = PyList::new(py, derivatives.into_iter().map(Fresh::into_array))?;
    Ok((pred, inputs, derivatives))
}

/// The threads for a call of so many floating-point operations.
fn threads(operations: usize) -> Result<usize, Error> {
    Ok(Threads::AtMost(Threads::most()?).for_work(operations))
}

/// See `ironprop.notebook.backward_pass`.
#[pyfunction]
#[pyo3(signature = (W, B, A, dA, pred, Y, learning_rate, gradient))]
#[allow(non_snake_case)] // the notebook's argument names
#[allow(clippy::too_many_arguments)] // the notebook's arguments
pub(super) fn backward_pass<'py>(
    py: Python<'py>,
    W: &Bound<'py, PyAny>,
    B: &Bound<'py, PyAny>,
    A: &Bound<'py, PyAny>,
    dA: &Bound<'py, PyAny>,
    pred: &Bound<'py, PyAny>,
    Y: &Bound<'py, PyAny>,
    learning_rate: &Bound<'py, PyAny>,
    gradient: &Bound<'py, PyAny>,
) -> PyResult<()> {
    guarded(|| {
        let gradient = named("gradient", gradient, Gradient::ALL)?;
        let layers = Layers::<Target<'_>>::take(W, B)?;
        let kept = Kept::read(&layers, A, dA, pred, Y)?;
        kept.check_overlap(&layers)?;
        match layers.dtype() {
            Dtype::F32 => backward::<f32>(py, layers, &kept, learning_rate, gradient),
            Dtype::F64 => backward::<f64>(py, layers, &kept, learning_rate, gradient),
        }
    })
}

/// What `forward_pass` kept, and the targets.
struct Kept<'py> {
    n_samples: usize,
    /// `A`: each layer's input (B, I).
    inputs: Vec<Array<'py>>,
    /// `dA`: the derivatives at each layer's output (B, O).
    derivatives: Vec<Array<'py>>,
    pred: Array<'py>,
    targets: Targets<'py>,
}

impl<'py> Kept<'py> {
    fn read(
        layers: &Layers<Target<'py>>,
        a: &Bound<'py, PyAny>,
        da: &Bound<'py, PyAny>,
        pred: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let name = Name("pred", None);
        let pred = Array::read(pred, name)?;
        let n_outputs = layers.n_outputs(layers.len() - 1);
        let n_samples = match *pred.shape() {
            [n_samples, columns] if columns == n_outputs => n_samples,
            _ => {
                let expected = format!("(n_samples, {n_outputs}), as forward_pass returned it");
                return Err(shape_error(name, pred.shape(), &expected));
            }
        };
        check_dtype(name, pred.dtype(), layers.dtype())?;
        let read = |name, list, width: &dyn Fn(usize) -> usize| {
            read_list(name, list, layers.dtype(), (layers.len(), n_samples), width)
        };
        let inputs = read("A", a, &|layer| layers.n_inputs(layer))?;
        let derivatives = read("dA", da, &|layer| layers.n_outputs(layer))?;
        let targets = Targets::read(y, Name("Y", None), pred.shape(), layers.dtype())?;
        Ok(Self { n_samples, inputs, derivatives, pred, targets })
    }

    fn check_overlap(&self, layers: &Layers<Target<'py>>) -> PyResult<()> {
        let inputs = self.inputs.iter().enumerate().map(|(i, a)| (a, Name("A", Some(i))));
        let slopes = self.derivatives.iter().enumerate().map(|(i, a)| (a, Name("dA", Some(i))));
        let single = [(&self.pred, Name("pred", None)), (self.targets.array(), Name("Y", None))];
        check_overlap(layers.targets(), inputs.chain(slopes).chain(single))
    }
}

/// Reads `A` or `dA`: one array for each layer, `(n_samples, width)`.
fn read_list<'py>(
    list_name: &'static str,
    list: &Bound<'py, PyAny>,
    dtype: Dtype,
    (n_layers, n_samples): (usize, usize),
    width: &dyn Fn(usize) -> usize,
) -> PyResult<Vec<Array<'py>>> {
    let list = Items::of(list, list_name)?;
    if list.len() != n_layers {
        let (left, right) = (("W", n_layers), (list_name, list.len()));
        return Err(Error::Lengths { left, right }.into());
    }
    let mut arrays = Vec::with_capacity(n_layers);
    for i in 0..n_layers {
        let name = Name(list_name, Some(i));
        let array = Array::read(&list.get(name)?, name)?;
        if *array.shape() != [n_samples, width(i)] {
            let expected = format!("({n_samples}, {}), as forward_pass returned it", width(i));
            return Err(shape_error(name, array.shape(), &expected));
        }
        check_dtype(name, array.dtype(), dtype)?;
        arrays.push(array);
    }
    Ok(arrays)
}

fn backward<T: Number>(
    py: Python<'_>,
    mut layers: Layers<Target<'_>>,
    kept: &Kept<'_>,
    rate: &Bound<'_, PyAny>,
    gradient: Gradient,
) -> PyResult<()> {
    let level = Level::current()?;
    let rate = learning_rate::<T>(rate)?;
    let n_samples = kept.n_samples;
    let sizes = layers.sizes();
    let widest = sizes.iter().skip(1).copied().max().expect("at least one layer");
    let mut memory = zeros::<T>(widest.saturating_mul(n_samples).saturating_mul(2))?;
    let (mut deltas, mut deltas_before) = memory.split_at_mut(widest * n_samples);
    let mut row = Vec::new();
    let y = kept.targets.rows::<T>(&mut row)?;
    let pred = Matrix::packed(kept.pred.numbers::<T>()?, n_samples, y.columns());
    let operations = n_samples.saturating_mul(layers.n_parameters()).saturating_mul(4);
    let threads = threads(operations)?;
    let workspaces =
        sizes.windows(2).map(|pair| Layerwise::<T>::backward_workspace(level, threads, n_samples, (pair[0], pair[1])));
    let mut layerwise = Layerwise::new(level, threads, workspaces)?;
    let mut steps = Vec::with_capacity(layers.len());
    for (layer, numbers) in layers.numbers_mut::<T>().enumerate() {
        let (weights, biases) = numbers?;
        let (n_inputs, n_outputs) = (sizes[layer], sizes[layer + 1]);
        let weights = MatrixMut::packed(weights, n_inputs, n_outputs);
        let input = Matrix::packed(kept.inputs[layer].numbers::<T>()?, n_samples, n_inputs);
        let derivatives = Matrix::packed(kept.derivatives[layer].numbers::<T>()?, n_samples, n_outputs);
        steps.push((weights, biases, input, derivatives));
    }
    run_detached(py, operations, || {
        let last = steps[steps.len() - 1].3;
        let out = MatrixMut::packed(deltas, n_samples, y.columns());
        loss::output_deltas(level, Loss::HalfSquaredError, pred, y, None, n_samples, Slope::Stored(last), out);
        while let Some((mut weights, biases, input, _)) = steps.pop() {
            let layer_deltas = Matrix::packed(deltas, n_samples, weights.columns());
            let mut go_back = |weights: Matrix<'_, T>, layerwise: &mut Layerwise<T>| {
                if let Some((.., before)) = steps.last() {
                    let out = MatrixMut::packed(deltas_before, n_samples, before.columns());
                    layerwise.input_gradient(layer_deltas, weights, Slope::Stored(*before), out);
                }
            };
            if gradient == Gradient::Exact {
                go_back(weights.as_matrix(), &mut layerwise);
            }
            layerwise.update(rate, input, layer_deltas, (weights.reborrow(), biases));
            if gradient == Gradient::Notebook {
                go_back(weights.as_matrix(), &mut layerwise);
            }
            std::mem::swap(&mut deltas, &mut deltas_before);
        }
    });
    drop(steps);
    layers.finish(py)
}
