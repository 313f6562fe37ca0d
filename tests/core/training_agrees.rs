//! A whole training equals the naive loop over `kernels::reference` bit for bit: at every level that this CPU has, for both
//! gradients, all activations, single samples (`kernels::online`) and batches, in both number types. Also what is left
//! behind by a training that diverges or is stopped.

use super::levels;
use ironprop::Error;
use ironprop::kernels::{Activation, Element, Level, Matrix, reference};
use ironprop::network::{Network, init};
use ironprop::parallel::Threads;
use ironprop::training::{Batch, Batches, Epoch, Gradient, Observer, Optimizer, Options, Rate, Settings, Trainer};

/// Goes on until so many epochs are over.
pub(super) struct Until(pub(super) usize);

impl<T> Observer<T> for Until {
    fn poll(&mut self) -> bool {
        true
    }

    fn epoch(&mut self, epoch: usize, _loss: f64, _predictions: Option<Matrix<'_, T>>) -> bool {
        epoch + 1 < self.0
    }
}

/// Weights and biases of each layer.
type Parameters<T> = Vec<(Vec<T>, Vec<T>)>;

fn parameters_of<T: Element>(network: &Network<T>) -> Parameters<T> {
    (0..network.layers().len())
        .map(|layer| {
            let (weights, biases) = network.parameters(layer);
            let rows = (0..weights.rows()).flat_map(|i| weights.row(i).to_vec());
            (rows.collect(), biases.to_vec())
        })
        .collect()
}

fn bits<T: Element>(parameters: &Parameters<T>) -> Vec<u64> {
    let numbers = parameters.iter().flat_map(|(weights, biases)| weights.iter().chain(biases));
    numbers.map(|number| number.to_f64().to_bits()).collect()
}

/// Trains, until an epoch or to the end; the losses of the epochs.
pub(super) fn train<T: Element>(
    network: &mut Network<T>,
    (x, y): (Matrix<'_, T>, Matrix<'_, T>),
    (batch_size, seed): (usize, Option<u64>),
    (settings, options): (Settings, Options),
    until: usize,
    epochs: usize,
) -> Result<Vec<f64>, Error> {
    let mut optimizer = Optimizer::new(options, network)?;
    let batches = Batches::new(Batch { x, y, weights: None }, batch_size, seed)?;
    let mut trainer = Trainer::new(network, &optimizer, batches, settings)?;
    let mut records = vec![Epoch::default(); epochs];
    trainer.run(network, &mut optimizer, Rate::Scheduled(1.0), &mut Until(until), &mut records)?;
    Ok(records.into_iter().map(|epoch| epoch.loss).collect())
}

/// The notebook's loop, naively.
fn reference_step<T: Element>(
    parameters: &mut Parameters<T>,
    (x, y): (&[T], &[T]),
    activation: Activation,
    (learning_rate, gradient): (T, Gradient),
) -> f64 {
    let mut activations = vec![x.to_vec()];
    let mut slopes: Vec<Vec<T>> = Vec::new();
    for (weights, biases) in parameters.iter() {
        let pre_activations = reference::pre_activations(activations.last().unwrap(), weights, biases);
        activations.push(pre_activations.iter().map(|&z| reference::activate(activation, z)).collect());
        slopes.push(pre_activations.iter().map(|&z| reference::derivative_at(activation, z)).collect());
    }
    let predictions = activations.last().unwrap();
    let mut deltas = reference::output_deltas(predictions, y, slopes.last().unwrap());
    let loss = reference::half_squared_error(parameters.last().unwrap().1.len(), predictions, y);
    for layer in (0..parameters.len()).rev() {
        let n_outputs = parameters[layer].1.len();
        let old = parameters[layer].0.clone();
        let (weights, biases) = &mut parameters[layer];
        reference::update(learning_rate, &activations[layer], &deltas, weights, biases);
        if layer > 0 {
            let through = if gradient == Gradient::Exact { &old } else { &*weights };
            deltas = reference::input_gradient(n_outputs, &deltas, through, &slopes[layer - 1]);
        }
    }
    loss
}

pub(super) fn numbers<T: Element>(n: usize, step: f64) -> Vec<T> {
    (0..n).map(|i| T::from_f64(libm::sin(i as f64 * step))).collect()
}

fn check<T: Element>(sizes: &[usize], n_samples: usize, batch_size: usize, threads: usize) {
    let threads = Threads::Exactly(threads);
    let n_outputs = sizes[sizes.len() - 1];
    let (x, y) = (numbers::<T>(n_samples * sizes[0], 1.3), numbers::<T>(n_samples * n_outputs, 0.7));
    for level in levels() {
        for &(_, activation) in Activation::ALL {
            for &(name, gradient) in Gradient::ALL {
                let mut network = Network::<T>::new(sizes, &vec![activation; sizes.len() - 1], level).unwrap();
                init::initialize(&mut network, &vec![init::Scheme::GlorotNormal; sizes.len() - 1], 5);
                let mut expected = parameters_of(&network);
                let rows = Matrix::packed(&x, n_samples, sizes[0]);
                let targets = Matrix::packed(&y, n_samples, n_outputs);
                let learning_rate = T::from_f64(0.001_953_125); // with more, activations without bounds diverge
                let settings = Settings { gradient, ..Settings::exact(threads) };
                let (data, how) = ((rows, targets), (batch_size, None));
                let losses =
                    train(&mut network, data, how, (settings, Options::sgd(learning_rate.to_f64())), 9, 3).unwrap();
                for loss in losses {
                    let mut sum = 0.0;
                    for (x, y) in x.chunks(batch_size * sizes[0]).zip(y.chunks(batch_size * n_outputs)) {
                        sum += reference_step(&mut expected, (x, y), activation, (learning_rate, gradient));
                    }
                    assert_eq!(loss.to_bits(), sum.to_bits(), "loss of {sizes:?} at {level}, {name}");
                }
                assert_eq!(
                    bits(&parameters_of(&network)),
                    bits(&expected),
                    "parameters of {sizes:?} at {level}, {activation:?}, {name}"
                );
            }
        }
    }
}

#[test]
fn a_training_equals_the_naive_loop() {
    for (sizes, n_samples, batch_size) in [
        (&[2, 2, 2, 1][..], 1, 1),
        (&[4, 16, 16, 1], 3, 1),
        (&[1, 1], 2, 1),
        (&[3, 9, 17, 33, 2], 2, 1),
        (&[60, 50, 3], 2, 1),
        (&[2, 2, 2, 1], 5, 5),
        (&[5, 7, 3], 11, 4),
        (&[8, 32, 32, 4], 32, 32),
        (&[1, 1, 1, 1, 1, 1], 7, 3),
        (&[20, 300, 5], 13, 13),
    ] {
        for threads in [1, 2, 3, 8] {
            check::<f32>(sizes, n_samples, batch_size, threads);
            check::<f64>(sizes, n_samples, batch_size, threads);
        }
    }
}

/// Trains until a step, the first or a later one than the second copy of the parameters, meets an infinite target, beside the
/// same steps by hand.
fn diverge<T: Element>(gradient: Gradient, batch_size: usize, good_steps: usize) {
    let (sizes, n_samples) = ([2, 3, 1], batch_size * 100);
    let (x, mut y) = (numbers::<T>(n_samples * 2, 1.3), numbers::<T>(n_samples, 0.7));
    y[good_steps * batch_size] = T::from_f64(f64::INFINITY);
    let learning_rate = T::from_f64(0.5);
    let mut network = Network::<T>::new(&sizes, &[Activation::Tanh; 2], Level::current().unwrap()).unwrap();
    init::initialize(&mut network, &[init::Scheme::Normal; 2], 3);
    let mut expected = parameters_of(&network);
    // The parameters of the last step whose loss was finite are those that it started from.
    for step in 0..good_steps.saturating_sub(1) {
        let (x, y) = (&x[step * batch_size * 2..][..batch_size * 2], &y[step * batch_size..][..batch_size]);
        reference_step(&mut expected, (x, y), Activation::Tanh, (learning_rate, gradient));
    }
    let data = (Matrix::packed(&x, n_samples, 2), Matrix::packed(&y, n_samples, 1));
    let settings = Settings { gradient, ..Settings::exact(Threads::AtMost(2)) };
    let error =
        train(&mut network, data, (batch_size, None), (settings, Options::sgd(0.5)), usize::MAX, 3).unwrap_err();
    assert_eq!(error, Error::Diverged { epoch: 0, loss: Some(f64::INFINITY), at_once: good_steps == 0 });
    assert_eq!(bits(&parameters_of(&network)), bits(&expected));
}

#[test]
fn a_diverged_training_keeps_the_parameters_of_its_last_finite_step() {
    for &(_, gradient) in Gradient::ALL {
        for batch_size in [1, 4] {
            for good_steps in [0, 1, 2, 63, 64, 65, 66, 99] {
                diverge::<f32>(gradient, batch_size, good_steps);
                diverge::<f64>(gradient, batch_size, good_steps);
            }
        }
    }
}

#[test]
fn a_stopped_training_is_at_a_whole_step() {
    let (x, y) = (numbers::<f64>(8, 1.3), numbers::<f64>(4, 0.7));
    let run = |epochs, until: usize| {
        let mut network = Network::new(&[2, 3, 1], &[Activation::Sigmoid; 2], Level::current().unwrap()).unwrap();
        init::initialize(&mut network, &[init::Scheme::Normal; 2], 3);
        let data = (Matrix::packed(&x, 4, 2), Matrix::packed(&y, 4, 1));
        let settings = Settings::exact(Threads::AtMost(2));
        let result = train(&mut network, data, (3, Some(8)), (settings, Options::sgd(0.5)), until, epochs);
        (result, bits(&parameters_of(&network)))
    };
    let (stopped, left_behind) = run(100, 17);
    assert_eq!(stopped.unwrap_err(), Error::Stopped);
    let (whole, expected) = run(17, 100);
    assert!(whole.is_ok());
    assert_eq!(left_behind, expected);
}

#[test]
fn a_network_without_layers_or_with_an_empty_one_or_too_large_is_an_error() {
    let level = Level::current().unwrap();
    let new =
        |sizes: &[usize]| Network::<f64>::new(sizes, &vec![Activation::Sigmoid; sizes.len() - 1], level).unwrap_err();
    assert_eq!(
        new(&[3]).to_string(),
        "sizes must be at least two widths, of the features and of each layer's outputs, got [3]"
    );
    assert!(matches!(new(&[3, 0, 1]), Error::EmptyLayer { .. }));
    assert!(matches!(new(&[1 << 40, 1 << 40]), Error::OutOfMemory { .. }));
    assert!(matches!(new(&[1, usize::MAX]), Error::OutOfMemory { .. }));
}
