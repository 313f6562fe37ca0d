//! The activations' derivatives: those of the exact functions, their limits, and NaN.

use ironprop::kernels::{Activation, Level, Matrix, MatrixMut, dense};

/// Derivatives at many numbers, by the one kernel that takes them from pre-activations: a layer whose weight is 1.
fn derivatives(level: Level, activation: Activation, z: &[f64]) -> Vec<f64> {
    let (n, mut activations, mut derivatives) = (z.len(), vec![0.0; z.len()], vec![0.0; z.len()]);
    let parameters = (Matrix::packed(&[1.0], 1, 1), &[0.0][..]);
    let (out, slopes) = (MatrixMut::packed(&mut activations, n, 1), MatrixMut::packed(&mut derivatives, n, 1));
    let mut workspace = vec![0.0; dense::forward_workspace::<f64>(level, n, (1, 1))];
    dense::forward(level, activation, Matrix::packed(z, n, 1), parameters, out, Some(slopes), &mut workspace);
    derivatives
}

#[test]
fn derivatives_are_those_of_the_exact_functions() {
    let z: Vec<f64> = (0..20_000).map(|i| f64::from(i) * 0.003_7 - 36.9).collect();
    for (activation, exact) in [
        (Activation::Sigmoid, (|z| libm::exp(-z) / (1.0 + libm::exp(-z)).powi(2)) as fn(f64) -> f64),
        (Activation::Tanh, |z| 1.0 / libm::cosh(z).powi(2)),
        (Activation::Relu, |z| if z > 0.0 { 1.0 } else { 0.0 }),
        (Activation::LeakyRelu, |z| if z > 0.0 { 1.0 } else { 0.01 }),
        (Activation::Elu, |z| libm::exp(z.min(0.0))),
        (Activation::Selu, |z| {
            1.050_700_987_355_480_5 * if z > 0.0 { 1.0 } else { 1.673_263_242_354_377_2 * libm::exp(z) }
        }),
        (Activation::Gelu, |z| {
            0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
                + z * libm::exp(-z * z / 2.0) * 0.398_942_280_401_432_7
        }),
        (Activation::Silu, |z| {
            let sigmoid = 1.0 / (1.0 + libm::exp(-z));
            sigmoid + z * sigmoid * (1.0 / (1.0 + libm::exp(z)))
        }),
        (Activation::Softplus, |z| 1.0 / (1.0 + libm::exp(-z))),
        (Activation::Sin, libm::cos),
        (Activation::Identity, |_| 1.0),
    ] {
        for level in super::levels() {
            for (&z, derivative) in z.iter().zip(derivatives(level, activation, &z)) {
                assert!(
                    (derivative - exact(z)).abs() < 1e-15,
                    "{activation:?}′ of {z} is {derivative}, not {}",
                    exact(z)
                );
            }
        }
    }
}

#[test]
fn derivatives_have_their_limits_and_keep_nan() {
    let z = [f64::NEG_INFINITY, -f64::MAX, -1e4, 1e4, f64::MAX, f64::INFINITY];
    for level in super::levels() {
        for (activation, below, above) in [
            (Activation::Sigmoid, 0.0, 0.0),
            (Activation::Tanh, 0.0, 0.0),
            (Activation::Relu, 0.0, 1.0),
            (Activation::LeakyRelu, 0.01, 1.0),
            (Activation::Elu, 0.0, 1.0),
            (Activation::Selu, 0.0, 1.050_700_987_355_480_5),
            (Activation::Gelu, 0.0, 1.0),
            (Activation::Silu, 0.0, 1.0),
            (Activation::Softplus, 0.0, 1.0),
            (Activation::Identity, 1.0, 1.0),
        ] {
            let expected = [below, below, below, above, above, above];
            assert!(derivatives(level, activation, &z) == expected, "{activation:?} at {level}");
        }
        for activation in [Activation::Gelu, Activation::Silu, Activation::Sin, Activation::Softplus, Activation::Elu] {
            assert!(derivatives(level, activation, &[f64::NAN])[0].is_nan(), "{activation:?} at {level}");
        }
    }
}
