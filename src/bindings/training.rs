//! `train` and `initialize`: whole loops and whole networks, on copies of the caller's arrays.
//!
//! `train` works without the GIL on parameters and data of its own, so that nothing another thread does to the arrays can
//! reach it; at the end, and also after Ctrl-C or divergence, the parameters are written back.

use pyo3::exceptions::{PyFloatingPointError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::arrays::{Array, Dtype, Fresh, Name, Number, Target};
use super::boundary::{Released, Signals, guarded, run_in_pieces};
use super::layers::{Layers, Targets};
use super::options::{at_most, learning_rate, named, truth, whole_number};
use super::overlap::check_overlap;
use crate::error::Error;
use crate::kernels::{Activation, Level, Matrix, zeros};
use crate::network::{Network, init};
use crate::training::{self, Batch, Batches, Epoch, Gradient, Observer, Optimizer, Rate, Settings, Trainer};

/// How a training goes through its samples.
#[derive(Clone, Copy)]
pub(super) struct Passage {
    pub(super) batch_size: usize,
    /// The seed of the orders, where the samples are shuffled.
    pub(super) seed: Option<u64>,
}

impl Passage {
    /// Reads the options of a training on so many samples.
    pub(super) fn read(
        n_samples: usize,
        batch_size: Option<&Bound<'_, PyAny>>,
        shuffle: &Bound<'_, PyAny>,
        seed: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let seed = read_seed(seed)?;
        Ok(Self {
            batch_size: match batch_size {
                None => n_samples,
                Some(size) => count("batch_size", size, 1, n_samples)?,
            },
            seed: truth("shuffle", shuffle)?.then(|| seed.map_or_else(system_seed, Ok)).transpose()?,
        })
    }
}

/// See `ironprop.notebook.train`.
#[pyfunction]
#[pyo3(signature = (
    X, Y, W, B, epochs, learning_rate, gradient, activation, batch_size, shuffle, seed, n_threads, log_every, log
))]
#[allow(non_snake_case)] // the notebook's argument names
#[allow(clippy::too_many_arguments)] // the options of the public function
pub(super) fn train<'py>(
    py: Python<'py>,
    X: &Bound<'py, PyAny>,
    Y: &Bound<'py, PyAny>,
    W: &Bound<'py, PyAny>,
    B: &Bound<'py, PyAny>,
    epochs: &Bound<'py, PyAny>,
    learning_rate: &Bound<'py, PyAny>,
    gradient: &Bound<'py, PyAny>,
    activation: &Bound<'py, PyAny>,
    batch_size: Option<&Bound<'py, PyAny>>,
    shuffle: &Bound<'py, PyAny>,
    seed: Option<&Bound<'py, PyAny>>,
    n_threads: Option<&Bound<'py, PyAny>>,
    log_every: Option<&Bound<'py, PyAny>>,
    log: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    guarded(|| {
        let layers = Layers::<Target<'_>>::take(W, B)?;
        let x = layers.samples(X)?;
        let n_samples = x.shape()[0];
        if n_samples == 0 {
            let (argument, shape) = ("X".to_owned(), x.shape().to_vec());
            return Err(Error::Shape { argument, shape, expected: "at least one sample".to_owned() }.into());
        }
        let predictions = [n_samples, layers.n_outputs(layers.len() - 1)];
        let targets = Targets::read(Y, Name("Y", None), &predictions, layers.dtype())?;
        let arrays = [(&x, Name("X", None)), (targets.array(), Name("Y", None))];
        check_overlap(layers.targets(), arrays.into_iter())?;
        let gradient = named("gradient", gradient, Gradient::ALL)?;
        let settings = Settings { gradient, ..Settings::exact(at_most(n_threads)?) };
        let activation = named("activation", activation, Activation::ALL)?;
        let passage = Passage::read(n_samples, batch_size, shuffle, seed)?;
        let epochs = count("epochs", epochs, 0, usize::MAX)?;
        let options = Options { epochs, settings, learning_rate, passage };
        let every = log_every.map(|every| count("log_every", every, 1, usize::MAX)).transpose()?;
        let reporter = Reporter { log: every.map(|every| (every, log.clone().unbind())), ..Reporter::silent() };
        match layers.dtype() {
            Dtype::F32 => run::<f32>(py, layers, activation, (&x, &targets), options, reporter),
            Dtype::F64 => run::<f64>(py, layers, activation, (&x, &targets), options, reporter),
        }
    })
}

/// What a training of the notebook tier is asked for, beside the data.
struct Options<'a, 'py> {
    epochs: usize,
    settings: Settings,
    learning_rate: &'a Bound<'py, PyAny>,
    passage: Passage,
}

fn run<'py, T: Number>(
    py: Python<'py>,
    mut layers: Layers<Target<'py>>,
    activation: Activation,
    (x, targets): (&Array<'py>, &Targets<'py>),
    options: Options<'_, 'py>,
    mut reporter: Reporter,
) -> PyResult<Bound<'py, PyAny>> {
    let Options { epochs, settings, learning_rate: rate, passage } = options;
    let rate = learning_rate::<T>(rate)?.to_f64();
    let mut result = Fresh::<f64>::new(py, &[epochs])?;
    let activations = vec![activation; layers.len()];
    let mut network = Network::new(&layers.sizes(), &activations, Level::current()?)?;
    for (layer, numbers) in layers.numbers_mut::<T>().enumerate() {
        let (weights, biases) = numbers?;
        network.set_parameters(layer, weights, biases);
    }
    let mut optimizer = Optimizer::new(training::Options::sgd(rate), &network)?;
    let mut row = Vec::new();
    let data = Batch { x: x.rows::<T>()?, y: targets.rows::<T>(&mut row)?, weights: None };
    check_samples(data.x)?;
    let batches = Batches::new(data, passage.batch_size, passage.seed)?;
    let mut trainer = Trainer::new(&network, &optimizer, batches, settings)?;
    let mut records = zeros::<Epoch>(epochs)?;
    let outcome = run_trainer(
        py,
        &mut trainer,
        (&mut network, &mut optimizer),
        Rate::Scheduled(1.0),
        &mut reporter,
        &mut records,
    );
    let written = write_back(py, &mut layers, &network);
    outcome?;
    written?;
    for (loss, record) in result.numbers_mut().iter_mut().zip(&records) {
        *loss = record.loss;
    }
    Ok(result.into_array())
}

/// Runs a trainer for some epochs, without the GIL if that takes long.
pub(super) fn run_trainer<T: Number>(
    py: Python<'_>,
    trainer: &mut Trainer<T>,
    (network, optimizer): (&mut Network<T>, &mut Optimizer<T>),
    rate: Rate,
    reporter: &mut Reporter,
    epochs: &mut [Epoch],
) -> PyResult<()> {
    let outcome = Released::run(py, trainer.work(epochs.len()), |gil| {
        let mut observer = Reporting { reporter: &mut *reporter, gil };
        trainer.run(network, optimizer, rate, &mut observer, epochs)
    });
    outcome.map_err(|error| reporter.failure.take().unwrap_or_else(|| error.into()))
}

/// Writes the parameters of the network to the caller's arrays, to all or to none.
fn write_back<'py, T: Number>(py: Python<'py>, layers: &mut Layers<Target<'py>>, network: &Network<T>) -> PyResult<()> {
    let targets = layers.numbers_mut::<T>().collect::<PyResult<Vec<_>>>()?;
    for (layer, (weights, biases)) in targets.into_iter().enumerate() {
        let (own_weights, own_biases) = network.parameters(layer);
        for (i, row) in weights.chunks_exact_mut(own_biases.len()).enumerate() {
            row.copy_from_slice(own_weights.row(i));
        }
        biases.copy_from_slice(own_biases);
    }
    layers.finish(py)
}

/// Looks for signals and prints the log lines of a running training.
pub(super) struct Reporter {
    signals: Signals,
    /// What is called after each epoch that is a multiple of the number.
    log: Option<(usize, Py<PyAny>)>,
    /// What the user's code has raised: the reason of a stop.
    failure: Option<PyErr>,
}

impl Reporter {
    /// One that prints nothing.
    pub(super) fn silent() -> Self {
        Self { signals: Signals::new(), log: None, failure: None }
    }

    fn go_on(&mut self, result: PyResult<()>) -> bool {
        match result {
            Ok(()) => true,
            Err(failure) => {
                self.failure = Some(failure);
                false
            }
        }
    }
}

/// A reporter on its way back to Python.
struct Reporting<'a> {
    reporter: &'a mut Reporter,
    gil: &'a Released,
}

impl<T: Number> Observer<T> for Reporting<'_> {
    fn poll(&mut self) -> bool {
        let result = self.reporter.signals.poll(self.gil);
        self.reporter.go_on(result)
    }

    fn wants(&self, epoch: usize) -> bool {
        self.reporter.log.as_ref().is_some_and(|(every, _)| epoch.is_multiple_of(*every))
    }

    fn epoch(&mut self, epoch: usize, loss: f64, predictions: Option<Matrix<'_, T>>) -> bool {
        let Some((_, log)) = &self.reporter.log else { return true };
        let result = self.gil.attach(|py| {
            let predictions = predictions.map(|rows| to_array(py, rows)).transpose()?;
            log.call1(py, (epoch, predictions, loss)).map(|_| ())
        });
        self.reporter.go_on(result)
    }
}

/// A fresh array of these rows.
pub(super) fn to_array<'py, T: Number>(py: Python<'py>, rows: Matrix<'_, T>) -> PyResult<Bound<'py, PyAny>> {
    let mut array = Fresh::<T>::new(py, &[rows.rows(), rows.columns()])?;
    for (i, row) in array.numbers_mut().chunks_exact_mut(rows.columns()).enumerate() {
        row.copy_from_slice(rows.row(i));
    }
    Ok(array.into_array())
}

/// What drawing a number costs, in floating-point operations.
const WORK_PER_DRAW: usize = 100;

/// See `ironprop.notebook.initialize`.
#[pyfunction]
pub(super) fn initialize<'py>(
    py: Python<'py>,
    sizes: &Bound<'py, PyAny>,
    seed: Option<&Bound<'py, PyAny>>,
    scheme: &Bound<'py, PyAny>,
    dtype: &str,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
    guarded(|| {
        let widths = read_widths("sizes", sizes)?;
        let scheme = named("scheme", scheme, init::Scheme::ALL)?;
        let seed = read_seed(seed)?.map_or_else(system_seed, Ok)?;
        match dtype {
            "float32" => draw::<f32>(py, &widths, scheme, seed),
            "float64" => draw::<f64>(py, &widths, scheme, seed),
            _ => Err(dtype_error(dtype)),
        }
    })
}

fn draw<'py, T: Number>(
    py: Python<'py>,
    sizes: &[usize],
    scheme: init::Scheme,
    seed: u64,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
    let activations = vec![Activation::Sigmoid; sizes.len().saturating_sub(1)];
    let mut network = Network::<T>::new(sizes, &activations, Level::current()?)?;
    let schemes = vec![scheme; network.layers().len()];
    draw_parameters(py, &mut network, &schemes, seed)?;
    let (w, b) = (PyList::empty(py), PyList::empty(py));
    for layer in 0..network.layers().len() {
        let (weights, biases) = network.parameters(layer);
        w.append(to_array(py, weights)?)?;
        b.append(to_array(py, Matrix::packed(biases, 1, biases.len()))?)?;
    }
    Ok((w, b))
}

/// Refuses samples that are infinite or NaN, as a loss is refused that they make so: behind a saturated unit the loss would not
/// see them, and the step would make NaN of the weights.
pub(super) fn check_samples<T: Number>(x: Matrix<'_, T>) -> PyResult<()> {
    if T::are_finite(x.data()) {
        return Ok(());
    }
    let message = "X has a number that is infinite or nan, seen before any step: nothing was changed";
    Err(PyFloatingPointError::new_err(message))
}

/// Draws the parameters of a network that nobody has seen yet.
pub(super) fn draw_parameters<T: Number>(
    py: Python<'_>,
    network: &mut Network<T>,
    schemes: &[init::Scheme],
    seed: u64,
) -> PyResult<()> {
    run_in_pieces(py, network.n_parameters().saturating_mul(WORK_PER_DRAW), |pieces| {
        init::initialize_in_pieces(network, schemes, seed, || pieces.next())
    })
}

/// A type that no network has.
pub(super) fn dtype_error(dtype: &str) -> PyErr {
    PyTypeError::new_err(format!("dtype must be float64 or float32, got {dtype}"))
}

/// The widths of a network.
pub(super) fn read_widths(option: &'static str, sizes: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    let expected = || format!("{option} must be a sequence of whole numbers, the widths of the layers");
    let widths = sizes.try_iter().map_err(|_| PyTypeError::new_err(expected()))?;
    widths.map(|width| count(option, &width?, 1, usize::MAX)).collect()
}

/// A whole number that counts something in memory.
pub(super) fn count(option: &'static str, value: &Bound<'_, PyAny>, least: u64, most: usize) -> PyResult<usize> {
    let most = u64::try_from(most.min(isize::MAX.unsigned_abs())).expect("at most 64 bits");
    let number = whole_number(option, value, least, most)?;
    Ok(usize::try_from(number).expect("at most `most`"))
}

pub(super) fn read_seed(seed: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    seed.map(|seed| whole_number("seed", seed, 0, u64::MAX)).transpose()
}

/// A seed from the operating system, by way of Python.
pub(super) fn system_seed() -> PyResult<u64> {
    Python::attach(|py| py.import("secrets")?.call_method1("randbits", (64,))?.extract())
}
