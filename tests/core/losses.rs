//! The losses: each equals its definition bit for bit at every level, each gradient is that of its value, and both are the
//! numbers that PyTorch gives (`tests/data/losses.txt`, made by `tests/golden/losses.py`).

use super::against_reference::{Bits, assert_same, gather, spread};
use super::kernels_agree::{Numbers, SPECIAL};
use super::levels;
use ironprop::kernels::reference::{self, loss as definition};
use ironprop::kernels::{Activation, Level, Loss, Matrix, MatrixMut, Slope, loss};
use proptest::prelude::*;

/// All losses, those with parameters at others than their defaults too.
fn losses() -> impl Iterator<Item = Loss> {
    let more = [Loss::Huber { delta: 0.3 }, Loss::Quantile { quantile: 0.9 }];
    Loss::ALL.iter().map(|&(_, loss)| loss).chain(more)
}

/// Activations of an output layer.
const ACTIVATIONS: [Activation; 4] = [Activation::Sigmoid, Activation::Tanh, Activation::Relu, Activation::Softmax];

/// One batch: outputs (pre-activations of a fused loss, else predictions), targets, weights.
struct Batch<T> {
    n_outputs: usize,
    outputs: Vec<T>,
    targets: Vec<T>,
    weights: Vec<T>,
}

impl<T: Bits> Batch<T> {
    fn new((b, o): (usize, usize), seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let (outputs, targets) = (numbers.take(b * o), numbers.take(b * o));
        let weights = (0..b).map(|_| T::from_f64(numbers.next().abs())).collect();
        Self { n_outputs: o, outputs, targets, weights }
    }

    /// With that number at some place of the outputs (even) or of the targets (odd).
    fn with(mut self, place: usize, number: f64) -> Self {
        let numbers = if place.is_multiple_of(2) { &mut self.outputs } else { &mut self.targets };
        numbers[place / 2] = T::from_f64(number);
        self
    }

    fn size(&self) -> (usize, usize) {
        (self.weights.len(), self.n_outputs)
    }

    /// Errors and deltas of every loss against their definitions, at a stride of `gap` more than the columns.
    fn check(&self, gap: usize) {
        let (b, o) = self.size();
        let targets_spread = spread(&self.targets, o, o + gap);
        let targets = Matrix::new(&targets_spread, b, o, o + gap);
        for loss in losses() {
            for weights in [None, Some(&self.weights[..])] {
                let expected_errors = definition::errors(loss, o, &self.outputs, &self.targets, weights);
                let predictions = definition::predictions(loss, o, &self.outputs);
                for level in levels() {
                    let mut outputs = spread(&self.outputs, o, o + gap);
                    let mut errors = vec![f64::NAN; b];
                    if loss.fused_with().is_some() {
                        let outputs = MatrixMut::new(&mut outputs, b, o, o + gap);
                        loss::cross_entropy(level, loss, outputs, targets, weights, &mut errors);
                    } else {
                        let outputs = Matrix::new(&outputs, b, o, o + gap);
                        loss::errors(level, loss, outputs, targets, weights, &mut errors);
                    }
                    let name = format!("{loss:?} of {:?}, weights {}", self.size(), weights.is_some());
                    assert_same(&format!("errors, {name}"), level, &errors, &expected_errors);
                    assert_same(&format!("predictions, {name}"), level, &gather(&outputs, o, o + gap), &predictions);
                    self.check_deltas(loss, level, weights, &predictions, gap);
                }
            }
        }
    }

    fn check_deltas(&self, loss: Loss, level: Level, weights: Option<&[T]>, predictions: &[T], gap: usize) {
        let (b, o) = self.size();
        let n_samples = b + 3; // these rows are a part of the batch
        let predictions_spread = spread(predictions, o, o + gap);
        let (rows, targets) = (Matrix::new(&predictions_spread, b, o, o + gap), Matrix::packed(&self.targets, b, o));
        let any: Vec<T> = Numbers(b as u64).take(b * o);
        let slopes = ACTIVATIONS.map(|activation| {
            let slopes = predictions.iter().map(|&a| reference::derive(activation, a)).collect();
            (Slope::Of(activation, rows), slopes)
        });
        for (slope, derivatives) in slopes.into_iter().chain([(Slope::Stored(Matrix::packed(&any, b, o)), any.clone())])
        {
            let mut out = spread(&vec![T::ONE; b * o], o, o + gap);
            let deltas = MatrixMut::new(&mut out, b, o, o + gap);
            loss::output_deltas(level, loss, rows, targets, weights, n_samples, slope, deltas);
            let mut expected =
                definition::output_deltas(loss, (n_samples, o), (predictions, &self.targets), weights, &derivatives);
            if matches!(slope, Slope::Of(Activation::Softmax, _)) && loss.fused_with().is_none() {
                expected = definition::softmax_deltas(o, predictions, &expected);
            }
            let name = format!("deltas, {loss:?} of {:?}, weights {}", self.size(), weights.is_some());
            assert_same(&name, level, &gather(&out, o, o + gap), &expected);
        }
    }
}

/// The loss of a batch from its outputs.
fn value(loss: Loss, (b, o): (usize, usize), outputs: &[f64], targets: &[f64], weights: Option<&[f64]>) -> f64 {
    let (level, targets, mut errors) = (Level::current().unwrap(), Matrix::packed(targets, b, o), vec![0.0; b]);
    if loss.fused_with().is_some() {
        let outputs = &mut outputs.to_vec();
        loss::cross_entropy(level, loss, MatrixMut::packed(outputs, b, o), targets, weights, &mut errors);
    } else {
        loss::errors(level, loss, Matrix::packed(outputs, b, o), targets, weights, &mut errors);
    }
    loss.of_batch(&errors, o)
}

/// The gradient at the pre-activations `z` of an output layer with that activation; None is the identity.
fn gradient(
    (loss, activation): (Loss, Option<Activation>),
    (b, o): (usize, usize),
    z: &[f64],
    targets: &[f64],
    weights: Option<&[f64]>,
) -> Vec<f64> {
    let (level, ones, mut deltas) = (Level::current().unwrap(), vec![1.0; b * o], vec![0.0; b * o]);
    let activations = activate(loss.fused_with().or(activation), o, z);
    let rows = Matrix::packed(&activations, b, o);
    let slope = match activation {
        Some(activation) => Slope::Of(activation, rows),
        None => Slope::Stored(Matrix::packed(&ones, b, o)),
    };
    let (targets, out) = (Matrix::packed(targets, b, o), MatrixMut::packed(&mut deltas, b, o));
    loss::output_deltas(level, loss, rows, targets, weights, b, slope, out);
    deltas
}

fn activate(activation: Option<Activation>, n_outputs: usize, z: &[f64]) -> Vec<f64> {
    match activation {
        None => z.to_vec(),
        Some(Activation::Softmax) => {
            let mut rows = z.to_vec();
            let matrix = MatrixMut::packed(&mut rows, z.len() / n_outputs.max(1), n_outputs);
            loss::softmax(Level::current().unwrap(), matrix);
            rows
        }
        Some(activation) => z.iter().map(|&z| reference::activate(activation, z)).collect(),
    }
}

#[test]
fn every_loss_equals_its_definition_at_every_small_size() {
    for b in [0, 1, 2, 5, 13] {
        for o in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 67] {
            Batch::<f32>::new((b, o), (b * 100 + o) as u64).check(o % 4);
            Batch::<f64>::new((b, o), (b * 100 + o) as u64).check(o % 3);
        }
    }
    for o in [511, 512, 513, 1100] {
        Batch::<f32>::new((3, o), o as u64).check(1);
        Batch::<f64>::new((3, o), o as u64).check(0);
    }
}

#[test]
fn a_special_number_anywhere_gives_the_definitions_bits() {
    for o in [1, 3, 8, 19, 33] {
        for place in 0..2 * o {
            for special in SPECIAL.into_iter().chain([1e4, -1e4]) {
                Batch::<f32>::new((2, o), place as u64).with(place, special).check(0);
                Batch::<f64>::new((2, o), place as u64).with(place, special).check(1);
            }
        }
    }
}

#[test]
fn softmax_equals_its_definition_and_its_rows_sum_to_one() {
    fn check<T: Bits>(o: usize, size: f64) {
        let mut numbers = Numbers(o as u64);
        let z: Vec<T> = (0..5 * o).map(|_| T::from_f64(numbers.next() * size)).collect();
        for level in levels() {
            let mut rows = spread(&z, o, o + 2);
            loss::softmax(level, MatrixMut::new(&mut rows, 5, o, o + 2));
            let rows = gather(&rows, o, o + 2);
            assert_same("softmax", level, &rows, &definition::softmax(o, &z));
            for row in rows.chunks(o) {
                let sum: f64 = row.iter().map(|a| a.to_f64()).sum();
                let epsilon = if size_of::<T>() == 4 { 2e-7 } else { 4e-16 };
                assert!((sum - 1.0).abs() <= epsilon * (1.0 + (o as f64).sqrt()), "{o} outputs sum to {sum:e}");
            }
        }
    }
    for o in (1..70).chain([512, 1000]) {
        for size in [1.0, 100.0, 1e5] {
            check::<f32>(o, size);
            check::<f64>(o, size);
        }
    }
}

#[test]
fn the_exponentials_of_a_softmax_are_within_2_ulp() {
    // Beside exp 0 = 1 the other one is too small to change the sum, so that it comes out as it is.
    let mut numbers = Numbers(1);
    for _ in 0..200_000 {
        let t = (numbers.next() + 2.0) / 4.0;
        let (y, z) = (-20.0 - 67.0 * t as f32, -40.0 - 668.0 * t);
        let mut row = [0.0, y];
        loss::softmax(Level::current().unwrap(), MatrixMut::packed(&mut row, 1, 2));
        let exact = f64::from(y).exp();
        let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
        assert!((f64::from(row[1]) - exact).abs() <= 2.0 * ulp, "exp {y:e} is {exact:e}, not {:e}", row[1]);
        let mut row = [0.0, z];
        loss::softmax(Level::current().unwrap(), MatrixMut::packed(&mut row, 1, 2));
        // What it is compared with is itself up to 1 ulp off.
        let (exact, distance) = (libm::exp(z), row[1].to_bits().abs_diff(libm::exp(z).to_bits()));
        assert!(distance <= 2, "exp {z:e} is {exact:e}, not {:e}", row[1]);
    }
}

#[test]
fn every_gradient_is_that_of_the_loss() {
    let size @ (b, o) = (4, 5);
    for loss in losses() {
        let activations = ACTIVATIONS.map(Some).into_iter().chain([None]);
        for activation in if loss.fused_with().is_some() { vec![None] } else { activations.collect() } {
            for seed in 0..20 {
                let mut batch = Batch::<f64>::new(size, seed);
                // Targets between 0 and 1; those of the categorical loss sum to 1. Poisson needs positive predictions.
                batch.targets = definition::softmax(o, &batch.targets);
                if loss == Loss::Poisson && activation != Some(Activation::Softmax) {
                    if activation == Some(Activation::Relu) || activation == Some(Activation::Tanh) {
                        batch.outputs.iter_mut().for_each(|z| *z = z.abs());
                    } else if activation.is_none() {
                        batch.outputs.iter_mut().for_each(|z| *z = z.abs() + 0.1);
                    }
                }
                for weights in [None, Some(&batch.weights[..])] {
                    let deltas = gradient((loss, activation), size, &batch.outputs, &batch.targets, weights);
                    let of = |z: &[f64]| value(loss, size, &activate(activation, o, z), &batch.targets, weights);
                    for (i, delta) in deltas.into_iter().enumerate().take(b * o) {
                        let mut z = batch.outputs.clone();
                        if loss == Loss::Poisson && z[i] < 0.01 && activation != Some(Activation::Softmax) {
                            continue; // near the logarithm's pole, and over the edge of relu
                        }
                        if activation == Some(Activation::Relu) && z[i].abs() < 1e-5 {
                            continue;
                        }
                        let step = 1e-6;
                        z[i] += step;
                        let above = of(&z);
                        z[i] -= 2.0 * step;
                        let difference = (above - of(&z)) / (2.0 * step);
                        let tolerance = 2e-8 * (1.0 + difference.abs());
                        assert!(
                            (difference - delta).abs() <= tolerance,
                            "{loss:?} through {activation:?}, weights {}, seed {seed}, output {i}: {delta} is not {difference}",
                            weights.is_some(),
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn ties_have_no_gradient_and_nan_passes_on() {
    for loss in losses() {
        let fused = loss.fused_with().is_some();
        if !fused && loss != Loss::Poisson {
            assert_eq!(gradient((loss, None), (1, 2), &[0.5, -2.0], &[0.5, -2.0], None), [0.0, 0.0], "{loss:?}");
            assert_eq!(value(loss, (1, 2), &[0.5, -2.0], &[0.5, -2.0], None), 0.0, "{loss:?}");
        }
        for at in 0..4 {
            let (mut numbers, mut weights) = ([1.0, 1.0, 0.5, 0.5], [1.0]);
            numbers[at] = f64::NAN;
            let (outputs, targets) = numbers.split_at(2);
            assert!(value(loss, (1, 2), outputs, targets, None).is_nan(), "{loss:?} of {numbers:?}");
            let deltas = gradient((loss, None), (1, 2), outputs, targets, None);
            assert!(deltas[at % 2].is_nan(), "{loss:?} of {numbers:?}: {deltas:?}");
            weights[0] = f64::NAN;
            assert!(value(loss, (1, 2), &[1.0, 1.0], &[0.5, 0.5], Some(&weights)).is_nan(), "{loss:?}");
        }
    }
}

#[test]
fn pre_activations_of_ten_thousand_give_finite_losses() {
    for huge in [1e4, 700.0, 89.0] {
        for targets in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] {
            let z = [huge, -huge, 0.0];
            let categorical = value(Loss::CategoricalCrossEntropy, (1, 3), &z, &targets, None);
            assert_eq!(categorical, huge * (1.0 - targets[0]) + huge * targets[1]);
            let binary = 3.0 * value(Loss::BinaryCrossEntropy, (1, 3), &z, &targets, None);
            let expected = huge * (1.0 - targets[0]) + huge * targets[1] + std::f64::consts::LN_2;
            assert!((binary - expected).abs() <= 1e-15 * expected, "{binary} is not {expected}");
            for loss in [Loss::BinaryCrossEntropy, Loss::CategoricalCrossEntropy] {
                let deltas = gradient((loss, None), (1, 3), &z, &targets, None);
                assert!(deltas.iter().all(|delta| delta.is_finite()), "{loss:?}: {deltas:?}");
            }
        }
    }
    // A sure and right prediction still has an error above 0.
    let sure = value(Loss::BinaryCrossEntropy, (1, 1), &[100.0], &[1.0], None);
    assert!((sure / libm::exp(-100.0) - 1.0).abs() < 1e-15, "{sure:e}");
}

#[test]
fn weights_of_one_change_no_bit_and_parts_of_a_batch_are_the_batch() {
    let mut batch = Batch::<f64>::new((11, 7), 3);
    batch.outputs.iter_mut().for_each(|z| *z = z.abs() + 0.1); // Poisson's predictions are positive
    let (level, ones) = (Level::current().unwrap(), vec![1.0; 11]);
    for loss in losses() {
        let of = |weights| {
            let deltas = gradient((loss, None), (11, 7), &batch.outputs, &batch.targets, weights);
            (value(loss, (11, 7), &batch.outputs, &batch.targets, weights), deltas)
        };
        let (value, deltas) = of(None);
        assert_eq!(of(Some(&ones)), (value, deltas.clone()), "{loss:?}");
        let predictions = definition::predictions(loss, 7, &batch.outputs);
        let (rows, targets) = (Matrix::packed(&predictions, 11, 7), Matrix::packed(&batch.targets, 11, 7));
        for (start, n) in [(0, 4), (4, 7)] {
            let (mut part, slopes) = (vec![0.0; n * 7], vec![1.0; n * 7]);
            let slope = Slope::Stored(Matrix::packed(&slopes, n, 7));
            let out = MatrixMut::packed(&mut part, n, 7);
            loss::output_deltas(level, loss, rows.window(start, n), targets.window(start, n), None, 11, slope, out);
            assert_same(&format!("{loss:?}"), level, &part, &deltas[start * 7..][..n * 7]);
        }
    }
}

#[test]
fn a_batch_of_nothing_has_no_loss() {
    for loss in losses() {
        assert_eq!(value(loss, (0, 3), &[], &[], None), 0.0);
        assert_eq!(value(loss, (3, 0), &[], &[], None), 0.0);
        assert!(gradient((loss, None), (3, 0), &[], &[], Some(&[1.0; 3])).is_empty());
    }
}

/// The losses of PyTorch, float64: see the head of the file.
const GOLDEN: &str = include_str!("../data/losses.txt");

#[test]
fn every_loss_and_gradient_is_that_of_pytorch() {
    let mut n_cases = 0;
    for case in GOLDEN.split("\n\n").filter(|case| !case.starts_with('#')) {
        let line = |name: &str| -> &str {
            let found = case.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            found.unwrap_or_else(|| panic!("no {name} in {case}"))
        };
        let numbers = |name| line(name).split(' ').map(|word| word.parse().unwrap()).collect::<Vec<f64>>();
        let parameter = || numbers("parameter")[0];
        let loss = match line("loss") {
            "huber" => Loss::Huber { delta: parameter() },
            "quantile" => Loss::Quantile { quantile: parameter() },
            name => Loss::ALL.iter().find(|(other, _)| *other == name).expect(name).1,
        };
        let activation = (line("activation") == "softmax").then_some(Activation::Softmax);
        let (z, targets, n_outputs) = (numbers("outputs"), numbers("targets"), numbers("n_outputs")[0] as usize);
        let size = (z.len() / n_outputs, n_outputs);
        let close = |actual: f64, expected: f64| (actual - expected).abs() <= 1e-12 * expected.abs().max(1e-3);
        let value = value(loss, size, &activate(activation, n_outputs, &z), &targets, None);
        assert!(close(value, numbers("value")[0]), "{case}\nis {value}");
        let deltas = gradient((loss, activation), size, &z, &targets, None);
        let expected = numbers("gradient");
        assert_eq!(deltas.len(), expected.len(), "{case}");
        assert!(deltas.iter().zip(expected).all(|(&a, b)| close(a, b)), "{case}\nis {deltas:?}");
        n_cases += 1;
    }
    assert_eq!(n_cases, 27, "cases in the golden data");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn every_loss_of_any_size_equals_its_definition(b in 0_usize..30, o in 1_usize..80, gap in 0_usize..5, seed: u64) {
        Batch::<f32>::new((b, o), seed).check(gap);
        Batch::<f64>::new((b, o), seed).check(gap);
    }
}
