//! Where the layers of a network lie, for the kernels that go through all of them: `online.rs` and `small.rs`.

use super::activation::Activation;

/// Where a layer lies: its weights, row by row, and then its biases in the parameters, and the rows of its samples in the
/// activations and in the deltas.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Width of the input.
    pub n_inputs: usize,
    /// Width of the output.
    pub n_outputs: usize,
    /// What makes activations of the pre-activations.
    pub activation: Activation,
    /// Numbers of a sample's row: those of the output, and padding. Padding of deltas, and of parameters after a step, is zero, or NaN
    /// where a delta was infinite once: no number of a layer comes of it.
    pub width: usize,
    /// Numbers from one row of its parameters to the next.
    pub stride: usize,
    /// Where its parameters begin.
    pub parameters: usize,
    /// Where its rows begin among the activations, and among the deltas.
    pub rows: usize,
}

impl Place {
    /// Where its parameters end.
    fn end(&self) -> Option<usize> {
        self.n_inputs.checked_add(1)?.checked_mul(self.stride)?.checked_add(self.parameters)
    }

    /// Where its rows of so many samples end.
    fn end_of_rows(&self, n_samples: usize) -> Option<usize> {
        self.width.checked_mul(n_samples)?.checked_add(self.rows)
    }
}

/// The layers of a network, checked once, and the lengths of the slices that hold them.
#[derive(Debug)]
pub struct Layout {
    pub(super) layers: Vec<Place>,
    pub(super) n_samples: usize,
    pub(super) n_parameters: usize,
    pub(super) n_activations: usize,
}

/// Of what no memory holds.
pub(super) const TOO_LARGE: &str = "the size of a network overflows";

impl Layout {
    /// Checks a chain of layers that lie one after the other, for batches of at most `n_samples`.
    ///
    /// # Panics
    ///
    /// If there is no layer, one does not take what the one before gives, they do not follow each other, rows overlap, or an
    /// activation needs more than its results for the way back.
    #[must_use]
    pub fn new(layers: Vec<Place>, n_samples: usize) -> Self {
        assert!(!layers.is_empty(), "no layers");
        let (mut n_inputs, mut n_parameters, mut n_activations) = (layers[0].n_inputs, 0, 0);
        for layer in &layers {
            assert!(Self::knows(layer.activation), "the derivative comes from the result");
            assert_eq!(layer.n_inputs, n_inputs, "a layer takes what the one before gives");
            assert!(layer.n_outputs <= layer.width && layer.width <= layer.stride, "rows overlap");
            assert_eq!(layer.parameters, n_parameters, "parameters follow each other");
            assert_eq!(layer.rows, n_activations, "rows follow each other");
            n_inputs = layer.n_outputs;
            n_parameters = layer.end().expect(TOO_LARGE);
            n_activations = layer.end_of_rows(n_samples).expect(TOO_LARGE);
        }
        Self { layers, n_samples, n_parameters, n_activations }
    }

    /// The number of parameters, padding included.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        self.n_parameters
    }

    /// The number of activations, and of deltas, padding included.
    #[must_use]
    pub fn n_activations(&self) -> usize {
        self.n_activations
    }

    /// Whether layers may have this activation: nothing is kept but results, and they are of single numbers.
    #[must_use]
    pub fn knows(activation: Activation) -> bool {
        !activation.keeps_derivative() && activation != Activation::Softmax
    }

    /// Numbers of the transposed weights of each layer but the first.
    pub(super) fn transposed(&self) -> impl Iterator<Item = Option<usize>> {
        self.layers.windows(2).map(|pair| pair[1].n_outputs.checked_mul(pair[0].width))
    }

    /// Checks the lengths of what belongs to so many samples.
    ///
    /// # Panics
    ///
    /// If there are too many, or a length is another one.
    pub(super) fn check(&self, (n_samples, n_inputs): (usize, usize), parameters: usize, activations: usize) {
        assert!(n_samples <= self.n_samples, "more samples than it is made for");
        assert_eq!(n_inputs, self.layers[0].n_inputs, "width of x");
        assert_eq!(parameters, self.n_parameters, "number of parameters");
        assert_eq!(activations, self.n_activations, "number of activations");
    }
}
