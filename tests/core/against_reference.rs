//! Each kernel against its definition in `kernels::reference`, bit for bit (any NaN equals any NaN), on numbers that the
//! caller chooses. `kernels_agree.rs` chooses them by rules, `fuzzed.rs` out of the bytes of a fuzzer.

use super::levels;
use ironprop::kernels::update::{self, Parameters};
use ironprop::kernels::{Activation, Buffer, Descent, Element, Level, Loss, Matrix, MatrixMut, Slope};
use ironprop::kernels::{dense, elementwise, loss, reference};

/// Numbers whose bits the tests compare.
pub(super) trait Bits: Element {
    fn bits(self) -> u64;
}

impl Bits for f32 {
    fn bits(self) -> u64 {
        if self.is_nan() { u64::MAX } else { u64::from(self.to_bits()) }
    }
}

impl Bits for f64 {
    fn bits(self) -> u64 {
        if self.is_nan() { u64::MAX } else { self.to_bits() }
    }
}

pub(super) fn assert_same<T: Bits>(what: &str, level: Level, actual: &[T], expected: &[T]) {
    assert_eq!(actual.len(), expected.len(), "{what} at {level}");
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert!(actual.bits() == expected.bits(), "{what} at {level}, number {i}: {actual:?}, expected {expected:?}");
    }
}

/// Copies packed rows to rows at a stride, with a NaN in each gap: whoever reads it shows.
pub(super) fn spread<T: Element>(packed: &[T], columns: usize, stride: usize) -> Vec<T> {
    let rows = packed.len() / columns;
    let mut spread = vec![T::from_f64(f64::NAN); rows * stride];
    for row in 0..rows {
        spread[row * stride..][..columns].copy_from_slice(&packed[row * columns..][..columns]);
    }
    spread
}

/// The same from a cache line on, as the rows of a network lie.
fn spread_from_a_line<T: Bits>(packed: &[T], columns: usize, stride: usize) -> Buffer<T> {
    let rows = spread(packed, columns, stride);
    let mut buffer = Buffer::new(rows.len()).unwrap();
    buffer.as_mut_slice().copy_from_slice(&rows);
    buffer
}

/// The reverse, which also sees that the gaps were not written.
pub(super) fn gather<T: Bits>(spread: &[T], columns: usize, stride: usize) -> Vec<T> {
    spread
        .chunks(stride)
        .flat_map(|row| {
            assert!(row[columns..].iter().all(|gap| gap.bits() == u64::MAX), "a gap between rows was written");
            row[..columns].to_vec()
        })
        .collect()
}

/// A workspace in which whoever reads before writing shows.
fn nans<T: Element>(length: usize) -> Vec<T> {
    vec![T::from_f64(f64::NAN); length]
}

/// One layer of that size: forward, output deltas, loss, input gradient, update, each against its definition, with as many
/// numbers as `gap` between two rows.
pub(super) fn check_layer<T: Bits>(
    (b, i, o): (usize, usize, usize),
    gap: usize,
    (x, weights, biases, targets): (&[T], &[T], &[T], &[T]), // (B, I), (I, O), (O), (B, O)
) {
    let learning_rate = T::from_f64(0.375);
    for level in levels() {
        let forward = dense::forward_workspace::<T>(level, b, (i, o));
        let backward = dense::input_gradient_workspace::<T>(level, b, (i, o), o + gap);
        let of_update = update::update_workspace::<T>(level, b, (i, o));
        let workspace = &mut nans::<T>(forward.max(backward).max(of_update));
        let x_spread = spread_from_a_line(x, i, i + gap);
        let w_spread = spread_from_a_line(weights, o, o + gap);
        let x_rows = Matrix::new(x_spread.as_slice(), b, i, i + gap);
        let w_rows = Matrix::new(w_spread.as_slice(), i, o, o + gap);
        let pre_activations = reference::pre_activations(x, weights, biases);
        // What a function makes of a number is seen at small sizes; large ones are about products.
        let few = if b * i * o > 4000 { &[0, 2, 6][..] } else { &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] };
        for (_, activation) in few.iter().map(|&which| Activation::ALL[which]) {
            let expected: Vec<T> = pre_activations.iter().map(|&z| reference::activate(activation, z)).collect();
            let slopes: Vec<T> = pre_activations.iter().map(|&z| reference::derivative_at(activation, z)).collect();
            let nan = T::from_f64(f64::NAN);
            let mut out = vec![nan; b * (o + gap)];
            let mut out_slopes = vec![nan; b * (o + gap)];
            dense::forward(
                level,
                activation,
                x_rows,
                (w_rows, biases),
                MatrixMut::new(&mut out, b, o, o + gap),
                Some(MatrixMut::new(&mut out_slopes, b, o, o + gap)),
                workspace,
            );
            assert_same("activations", level, &gather(&out, o, o + gap), &expected);
            assert_same("derivatives", level, &gather(&out_slopes, o, o + gap), &slopes);
            let mut alone = vec![nan; b * (o + gap)];
            dense::forward(
                level,
                activation,
                x_rows,
                (w_rows, biases),
                MatrixMut::new(&mut alone, b, o, o + gap),
                None,
                workspace,
            );
            assert_same("activations without derivatives", level, &gather(&alone, o, o + gap), &expected);

            let expected_deltas = reference::output_deltas(&expected, targets, &slopes);
            let (pred, target) = (Matrix::packed(&expected, b, o), Matrix::packed(targets, b, o));
            let slopes = Matrix::packed(&slopes, b, o);
            let kept = if activation.keeps_derivative() { slopes } else { pred };
            for slope in [Slope::Stored(slopes), Slope::Of(activation, kept)] {
                let mut deltas = vec![nan; b * (o + gap)];
                let out = MatrixMut::new(&mut deltas, b, o, o + gap);
                loss::output_deltas(level, Loss::HalfSquaredError, pred, target, None, b, slope, out);
                assert_same("output deltas", level, &gather(&deltas, o, o + gap), &expected_deltas);
            }
            let value = loss::half_squared_error(level, pred, target);
            assert_same("loss", level, &[value], &[reference::half_squared_error(o, &expected, targets)]);

            // The layer before has the activation too: its activations are `inputs`, its derivatives theirs.
            let inputs: Vec<T> = x.iter().map(|&z| reference::activate(activation, z)).collect();
            let input_slopes: Vec<T> = x.iter().map(|&z| reference::derivative_at(activation, z)).collect();
            let expected_before = reference::input_gradient(o, &expected_deltas, weights, &input_slopes);
            let deltas = spread_from_a_line(&expected_deltas, o, o + gap);
            let deltas = Matrix::new(deltas.as_slice(), b, o, o + gap);
            let kept = if activation.keeps_derivative() { &input_slopes } else { &inputs };
            for slope in
                [Slope::Stored(Matrix::packed(&input_slopes, b, i)), Slope::Of(activation, Matrix::packed(kept, b, i))]
            {
                let mut before = vec![nan; b * (i + gap)];
                dense::input_gradient(
                    level,
                    deltas,
                    w_rows,
                    slope,
                    MatrixMut::new(&mut before, b, i, i + gap),
                    workspace,
                );
                assert_same("input gradient", level, &gather(&before, i, i + gap), &expected_before);
            }

            let (mut expected_w, mut expected_b) = (weights.to_vec(), biases.to_vec());
            reference::update(learning_rate, x, &expected_deltas, &mut expected_w, &mut expected_b);
            let (mut new_w, mut new_b) = (spread_from_a_line(weights, o, o + gap), biases.to_vec());
            let weights = MatrixMut::new(new_w.as_mut_slice(), i, o, o + gap);
            let parameters = Parameters { weights, biases: Some(&mut new_b[..]) };
            let descent = Descent::plain(learning_rate);
            update::update(level, &descent, x_rows, deltas, parameters, [None, None], workspace);
            assert_same("updated weights", level, &gather(new_w.as_slice(), o, o + gap), &expected_w);
            assert_same("updated biases", level, &new_b, &expected_b);
        }
    }
}

/// Each activation and derivative.
pub(super) fn check_map<T: Bits>(numbers: &[T]) {
    for level in levels() {
        for &(name, activation) in Activation::ALL {
            let mut out = vec![T::ZERO; numbers.len()];
            elementwise::activate(level, activation, numbers, &mut out);
            let expected: Vec<T> = numbers.iter().map(|&z| reference::activate(activation, z)).collect();
            assert_same(name, level, &out, &expected);
            elementwise::derive(level, activation, numbers, &mut out);
            let expected: Vec<T> = numbers.iter().map(|&a| reference::derive(activation, a)).collect();
            assert_same(name, level, &out, &expected);
        }
        let negative: Vec<T> = numbers.iter().map(|&y| -y.abs()).collect();
        let mut out = vec![T::ZERO; numbers.len()];
        elementwise::exp_of_negative(level, &negative, &mut out);
        let expected: Vec<T> = negative.iter().map(|&y| reference::exp_of_negative(y)).collect();
        assert_same("exp of a negative number", level, &out, &expected);
    }
}
