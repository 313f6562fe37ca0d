//! The kernels of whole small networks give the bits of those of single layers: passes and steps of all rules, for any batch up
//! to what they are made for, rows padded or not, at every level; also where padding is no number.

use super::levels;
use super::training_agrees::numbers;
use ironprop::kernels::layout::{Layout, Place};
use ironprop::kernels::small::Small;
use ironprop::kernels::update::{self, Parameters};
use ironprop::kernels::{Activation, Descent, Element, Level, Matrix, MatrixMut, Rule, Slope, dense};
use ironprop::network::Network;
use ironprop::parallel::Threads;
use ironprop::training::{Batch, Optimizer, Options, Plan, Rate, Settings};

/// All numbers of a network.
#[derive(Clone)]
struct Numbers<T> {
    parameters: Vec<T>,
    states: [Vec<T>; 2],
    activations: Vec<T>,
    deltas: Vec<T>,
}

impl<T: Element> Numbers<T> {
    /// Those of a layer (rows, columns) in one of the slices, without padding.
    fn bits(slice: &[T], start: usize, (rows, columns, stride): (usize, usize, usize)) -> Vec<u64> {
        let row = |row: usize| slice[start + row * stride..][..columns].iter();
        (0..rows).flat_map(row).map(|number| number.to_f64().to_bits()).collect()
    }
}

/// The places of a network of these widths for so many samples: rows padded to multiples of `lanes`, every other layer with
/// a gap between its rows of parameters, activations in turn.
pub(super) fn places(
    sizes: &[usize],
    n_samples: usize,
    (lanes, gap): (usize, usize),
    activations: &[Activation],
) -> Vec<Place> {
    let (mut places, mut parameters, mut rows) = (Vec::new(), 0, 0);
    for (i, pair) in sizes.windows(2).enumerate() {
        let (n_inputs, n_outputs) = (pair[0], pair[1]);
        let width = n_outputs.next_multiple_of(lanes);
        let stride = width + i % 2 * gap;
        let activation = activations[i % activations.len()];
        places.push(Place { n_inputs, n_outputs, activation, width, stride, parameters, rows });
        parameters += (n_inputs + 1) * stride;
        rows += n_samples * width;
    }
    places
}

/// What a layer has of them.
fn parameters<'a, T: Element>(slice: &'a mut [T], place: &Place) -> Parameters<'a, T> {
    let all = &mut slice[place.parameters..][..(place.n_inputs + 1) * place.stride];
    let (weights, biases) = all.split_at_mut(place.n_inputs * place.stride);
    let weights = MatrixMut::new(weights, place.n_inputs, place.n_outputs, place.stride);
    Parameters { weights, biases: Some(&mut biases[..place.n_outputs]) }
}

/// The same by the kernels of single layers.
fn by_layers<T: Element>(
    level: Level,
    places: &[Place],
    x: Matrix<'_, T>,
    descent: &Descent<T>,
    numbers: &mut Numbers<T>,
) {
    let n = x.rows();
    let mut workspace = vec![T::ZERO; 1 << 18];
    let rows = |slice: &[T], place: &Place| slice[place.rows..place.rows + n * place.width].to_vec();
    for (i, place) in places.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| (rows(&numbers.activations, &places[i]), places[i]));
        let x = before.as_ref().map_or(x, |(rows, place)| Matrix::new(rows, n, place.n_outputs, place.width));
        let (weights, biases) = numbers.parameters[place.parameters..].split_at(place.n_inputs * place.stride);
        let weights = Matrix::new(weights, place.n_inputs, place.n_outputs, place.stride);
        let out = MatrixMut::new(&mut numbers.activations[place.rows..], n, place.n_outputs, place.width);
        dense::forward(level, place.activation, x, (weights, &biases[..place.n_outputs]), out, None, &mut workspace);
    }
    for i in (1..places.len()).rev() {
        let (before, place) = (places[i - 1], places[i]);
        let (deltas, stored) = (rows(&numbers.deltas, &place), rows(&numbers.activations, &before));
        let weights =
            Matrix::new(&numbers.parameters[place.parameters..], place.n_inputs, place.n_outputs, place.stride);
        let slope = Slope::Of(before.activation, Matrix::new(&stored, n, before.n_outputs, before.width));
        let out = MatrixMut::new(&mut numbers.deltas[before.rows..], n, before.n_outputs, before.width);
        let deltas = Matrix::new(&deltas, n, place.n_outputs, place.width);
        dense::input_gradient(level, deltas, weights, slope, out, &mut workspace);
    }
    for (i, place) in places.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| (rows(&numbers.activations, &places[i]), places[i]));
        let x = before.as_ref().map_or(x, |(rows, place)| Matrix::new(rows, n, place.n_outputs, place.width));
        let deltas = rows(&numbers.deltas, place);
        let deltas = Matrix::new(&deltas, n, place.n_outputs, place.width);
        let states = numbers.states.each_mut().map(|state| Some(parameters(state, place)));
        update::update(level, descent, x, deltas, parameters(&mut numbers.parameters, place), states, &mut workspace);
    }
}

/// To what rows are padded: to whole registers, to halves where there are such, or not at all.
pub(super) fn paddings<T: Element>(level: Level) -> Vec<usize> {
    let mut paddings = vec![level.lanes::<T>(), level.half_lanes::<T>(), 1];
    paddings.dedup();
    paddings
}

/// Compares both for `n` samples of a layout that is made for more.
fn check<T: Element>(level: Level, sizes: &[usize], samples: (usize, usize), rule: Rule) {
    for padding in paddings::<T>(level) {
        check_padded::<T>(level, sizes, samples, padding, rule);
    }
}

fn check_padded<T: Element>(level: Level, sizes: &[usize], (n, most): (usize, usize), padding: usize, rule: Rule) {
    let activations = [Activation::Sigmoid, Activation::Tanh, Activation::Elu];
    let places = places(sizes, most, (padding, level.lanes::<T>()), &activations);
    let layout = Layout::new(places.clone(), most);
    let stride = sizes[0] + n % 3;
    let x = numbers::<T>(n * stride + sizes[0], 0.7);
    let x = Matrix::new(&x, n, sizes[0], stride);
    let (n_parameters, n_activations) = (layout.n_parameters(), layout.n_activations());
    let positive = |length: usize, seed| numbers::<T>(length, seed).into_iter().map(|x| x * x).collect::<Vec<_>>();
    let mut expected = Numbers {
        parameters: numbers::<T>(n_parameters, 0.3),
        states: [positive(n_parameters, 0.9), positive(n_parameters, 1.9)],
        activations: vec![T::from_f64(0.5); n_activations],
        deltas: numbers::<T>(n_activations, 1.1),
    };
    let mut actual = expected.clone();
    let numbers = [0.25, 0.125, 0.5, 0.01, 0.75].map(T::from_f64);
    let descent = Descent { rule, learning_rate: T::from_f64(0.125), numbers, penalty: None };
    by_layers(level, &places, x, &descent, &mut expected);

    let (small, n_layers) = (Small::<T>::new(level, layout), places.len());
    let mut workspace = vec![T::from_f64(f64::NAN); small.workspace()];
    let Numbers { parameters, states, activations, deltas } = &mut actual;
    small.forward_pass(x, parameters, activations);
    small.input_gradients(1..n_layers, n, parameters, (activations, deltas), &mut workspace);
    for layers in [0..1, 1..n_layers] {
        let changed = (&mut parameters[..], states.each_mut().map(Vec::as_mut_slice));
        small.update(layers, &descent, x, changed, (activations, deltas), &mut workspace);
    }
    for place in &places {
        let case = format!("{sizes:?} at {level}, {n} of {most} samples, rows of {padding}, {rule:?}, {place:?}");
        let rows = (n, place.n_outputs, place.width);
        let of_samples = |slice: &[T]| Numbers::bits(slice, place.rows, rows);
        assert_eq!(of_samples(&actual.activations), of_samples(&expected.activations), "activations of {case}");
        assert_eq!(of_samples(&actual.deltas), of_samples(&expected.deltas), "deltas of {case}");
        let of_layer =
            |slice: &[T]| Numbers::bits(slice, place.parameters, (place.n_inputs + 1, place.n_outputs, place.stride));
        assert_eq!(of_layer(&actual.parameters), of_layer(&expected.parameters), "parameters of {case}");
        for (actual, expected) in actual.states.iter().zip(&expected.states).take(rule.n_states()) {
            assert_eq!(of_layer(actual), of_layer(expected), "a state of {case}");
        }
    }
}

#[test]
fn all_layers_in_one_kernel_give_the_bits_of_one_layer_after_the_other() {
    let shapes = [
        &[1, 1, 1][..],
        &[3, 5, 2],
        &[24, 8, 2],
        &[8, 32, 32, 4],
        &[2, 150, 7, 33],
        &[17, 64, 1, 64, 6],
        &[3, 20, 9, 40, 12, 24], // rows that end with half of a register, alone or beside one or two, in either number type
    ];
    for level in levels() {
        for sizes in shapes {
            for (i, samples) in [(1, 1), (2, 2), (3, 7), (13, 13), (32, 64), (256, 256)].into_iter().enumerate() {
                for (j, &(_, rule)) in Rule::ALL.iter().enumerate() {
                    if samples.0 < 8 || i % 2 == j % 2 {
                        check::<f32>(level, sizes, samples, rule);
                        check::<f64>(level, sizes, samples, rule);
                    }
                }
            }
        }
    }
}

/// Where a number is none, all of them are the same.
fn bits_of(number: f64) -> u64 {
    if number.is_nan() { u64::MAX } else { number.to_bits() }
}

/// A step whose deltas overflow beside a loss that is finite, and others after it, with the same plan; and the same by the kernels of
/// single layers, since a plan for more samples on two threads is none of the whole network's.
fn check_overflow<T: Element>(level: Level, n: usize, (target, weight): (f64, f64)) {
    let sizes = [2, 3, 5, 2];
    let x = numbers::<T>(n * 2, 0.2);
    let x = Matrix::packed(&x, n, 2);
    let [mut one, mut other] = [(1, n), (2, n + 1)].map(|(threads, most)| {
        let network = Network::<T>::new(&sizes, &[Activation::Identity; 3], level).unwrap();
        let plan = Plan::new(&network, most, Settings::exact(Threads::Exactly(threads))).unwrap();
        let optimizer = Optimizer::new(Options::sgd(1.0), &network).unwrap();
        (network, plan, optimizer)
    });
    let n_parameters = one.0.n_parameters();
    // Predictions of 0, and weights behind which their errors are infinite.
    let mut huge = vec![T::ZERO; n_parameters];
    huge[n_parameters - 12..n_parameters - 2].fill(T::from_f64(weight));
    let usual = numbers::<T>(n_parameters, 0.4);
    for (i, (start, target)) in [(Some(&huge), target), (Some(&usual), 1.0), (None, 1.0)].into_iter().enumerate() {
        let y = vec![T::from_f64(target); n * 2];
        let batch = Batch { x, y: Matrix::packed(&y, n, 2), weights: None };
        let [a, b] = [&mut one, &mut other].map(|(network, plan, optimizer)| {
            if let Some(start) = start {
                let mut buffer = network.buffer().as_slice().to_vec();
                network.unpack(start, &mut buffer); // padding stays what it has become
                network.buffer_mut().as_mut_slice().copy_from_slice(&buffer);
            }
            let loss = plan.step(network, optimizer, batch, Rate::Fixed(0.125));
            assert!(loss.is_finite() && network.is_finite() == (i > 0), "what overflows is the first step");
            let mut packed = vec![T::ZERO; n_parameters];
            network.pack(network.buffer().as_slice(), &mut packed);
            (bits_of(loss), packed.iter().map(|x| bits_of(x.to_f64())).collect::<Vec<_>>())
        });
        assert_eq!(a, b, "{n} samples at {level}, step {i}");
    }
}

#[test]
fn deltas_that_overflow_beside_a_finite_loss_leave_the_same_numbers() {
    for level in levels() {
        for n in [1, 2, 5] {
            check_overflow::<f32>(level, n, (1e30, 1e20));
            check_overflow::<f64>(level, n, (1e150, 1e180));
        }
    }
}
