//! Single samples through a whole small network: the passes of `dense.rs` and `loss.rs` for a batch of one, and the steps of
//! plain descent of `update.rs`, in one piece.
//!
//! One sample does so little with each weight that a call for each product, blocks and panels cost more than they bring, and in a
//! small network its steps are one chain of dependent operations. Here all layers of a pass are one kernel (`passes.rs`), and
//! so are steps that follow each other, on rows that are padded to whole registers, with nothing decided inside. What goes back
//! goes through transposed weights that take the same steps (`mirror.rs`). The chains are those of the other kernels, so the bits
//! are too.

mod mirror;
mod passes;

use super::activation::Activation;
use super::level::{Kernel, Level};
use super::matrix::Matrix;
use super::vector::{Element, Vector};
use passes::{Numbers, backward, forward};

/// Where a layer lies: its weights, row by row, and then its biases in the parameters, and its row in the activations and
/// in the deltas.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Width of the input.
    pub n_inputs: usize,
    /// Width of the output.
    pub n_outputs: usize,
    /// What makes activations of the pre-activations.
    pub activation: Activation,
    /// The width of a row: whole registers.
    pub width: usize,
    /// Numbers from one row of its parameters to the next.
    pub stride: usize,
    /// Where its parameters begin.
    pub parameters: usize,
    /// Where its row begins among the activations, and among the deltas.
    pub row: usize,
}

/// The layers of a network, checked once, and the lengths of the slices that hold them.
#[derive(Debug)]
pub struct Places {
    level: Level,
    lanes: usize,
    layers: Vec<Place>,
    n_parameters: usize,
    n_activations: usize,
    n_mirrored: usize,
}

impl Places {
    /// Checks a chain of layers that lie one after the other.
    ///
    /// # Panics
    ///
    /// If there is none, one does not take what the one before gives, a row is no whole number of registers, they do
    /// not follow each other, or an activation needs more than its results for the way back.
    #[must_use]
    pub fn new<T: Element>(level: Level, layers: Vec<Place>) -> Self {
        assert!(!layers.is_empty(), "no layers");
        let lanes = level.lanes::<T>();
        let (mut n_parameters, mut n_activations, mut n_mirrored) = (0_usize, 0_usize, 0_usize);
        let mut width_before = 0_usize;
        let mut n_inputs = layers[0].n_inputs;
        for layer in &layers {
            assert!(Self::knows(layer.activation), "the derivative comes from the result");
            assert_eq!(layer.n_inputs, n_inputs, "a layer takes what the one before gives");
            let whole = layer.width >= layer.n_outputs && layer.width.is_multiple_of(lanes);
            assert!(whole && layer.stride >= layer.width, "rows are whole registers");
            assert_eq!(layer.parameters, n_parameters, "parameters follow each other");
            assert_eq!(layer.row, n_activations, "rows follow each other");
            let size = layer.n_inputs.checked_add(1).and_then(|rows| rows.checked_mul(layer.stride));
            let end = size.and_then(|size| size.checked_add(n_parameters));
            n_parameters = end.expect("the size of a network overflows");
            n_activations = layer.width.checked_add(n_activations).expect("the size of a network overflows");
            let size = width_before.checked_mul(layer.n_outputs.saturating_add(1));
            let end = size.and_then(|size| size.checked_add(n_mirrored));
            n_mirrored = end.expect("the size of a network overflows");
            (n_inputs, width_before) = (layer.n_outputs, layer.width);
        }
        Self { level, lanes, layers, n_parameters, n_activations, n_mirrored }
    }

    /// Numbers of workspace that `descend` takes.
    #[must_use]
    pub fn workspace(&self) -> usize {
        self.n_mirrored
    }

    /// Whether layers may have this activation: here nothing is kept but results, and they are of single numbers.
    #[must_use]
    pub fn knows(activation: Activation) -> bool {
        !activation.keeps_derivative() && activation != Activation::Softmax
    }

    fn last(&self) -> &Place {
        &self.layers[self.layers.len() - 1]
    }

    fn check<T: Element>(&self, (x, y): (usize, Option<usize>), (parameters, activations): (usize, usize)) {
        assert_eq!(self.lanes, self.level.lanes::<T>(), "made for another number type");
        assert_eq!(x, self.layers[0].n_inputs, "width of x");
        assert!(y.is_none_or(|y| y == self.last().n_outputs), "width of the targets");
        assert_eq!(parameters, self.n_parameters, "number of parameters");
        assert_eq!(activations, self.n_activations, "number of activations");
    }

    /// Fills the activations for `x` and returns the loss against `y`, if there are targets.
    ///
    /// # Panics
    ///
    /// If a slice has the wrong length.
    pub fn forward_pass<T: Element>(
        &self,
        (x, y): (&[T], Option<&[T]>),
        parameters: &[T],
        activations: &mut [T],
    ) -> f64 {
        self.check::<T>((x.len(), y.map(<[T]>::len)), (parameters.len(), activations.len()));
        let y = y.unwrap_or_default();
        self.level.run(ForwardPass { places: self, x, y, parameters, activations })
    }

    /// Takes steps as long as the loss is finite: fills the loss before each of them, the first that is not included, and
    /// returns how many were taken.
    ///
    /// # Panics
    ///
    /// If a slice has the wrong length, or there is no such sample.
    pub fn descend<T: Element>(
        &self,
        steps: Steps<'_, T>,
        parameters: &mut [T],
        (activations, deltas): (&mut [T], &mut [T]),
        losses: &mut [f64],
        workspace: &mut [T],
    ) -> usize {
        let Steps { x, y, order, rates, .. } = steps;
        let widths = (x.columns(), Some(y.columns()));
        self.check::<T>(widths, (parameters.len(), activations.len()));
        assert_eq!(deltas.len(), self.n_activations, "number of deltas");
        assert!(workspace.len() >= self.n_mirrored, "the workspace is too small");
        assert_eq!((rates.len(), losses.len()), (order.len(), order.len()), "rates, losses");
        let n_samples = x.rows().min(y.rows());
        assert!(order.iter().all(|sample| *sample < n_samples), "no such sample");
        self.level.run(Descend { places: self, steps, parameters, activations, deltas, losses, workspace })
    }
}

/// Steps of gradient descent, each with one sample.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a, T> {
    /// All samples (B, I).
    pub x: Matrix<'a, T>,
    /// Their targets (B, O).
    pub y: Matrix<'a, T>,
    /// The sample of each step.
    pub order: &'a [usize],
    /// The learning rate of each step.
    pub rates: &'a [f64],
    /// The error goes back through the old weights, otherwise through those just updated.
    pub exact: bool,
}

struct ForwardPass<'a, T> {
    places: &'a Places,
    x: &'a [T],
    y: &'a [T],
    parameters: &'a [T],
    activations: &'a mut [T],
}

impl<T: Element> Kernel<T> for ForwardPass<'_, T> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> f64 {
        let Self { places, x, y, parameters, activations } = self;
        // SAFETY: `check` has seen that the slices hold what the layers' places say.
        unsafe { forward::<V>(&places.layers, (x.as_ptr(), y), parameters.as_ptr(), activations.as_mut_ptr()) }
    }
}

struct Descend<'a, T> {
    places: &'a Places,
    steps: Steps<'a, T>,
    parameters: &'a mut [T],
    activations: &'a mut [T],
    deltas: &'a mut [T],
    losses: &'a mut [f64],
    workspace: &'a mut [T],
}

impl<T: Element> Kernel<T> for Descend<'_, T> {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> usize {
        let Self { places, steps, parameters, activations, deltas, losses, workspace } = self;
        let Steps { x, y, order, rates, exact } = steps;
        let layers = &places.layers[..];
        let numbers = Numbers {
            parameters: parameters.as_mut_ptr(),
            activations: activations.as_mut_ptr(),
            deltas: deltas.as_mut_ptr(),
            mirrors: workspace[..places.n_mirrored].as_mut_ptr_range(),
        };
        // SAFETY: `descend` has checked the widths of the samples, and that the slices hold what the layers' places say.
        unsafe {
            numbers.fill_mirrors::<V>(layers);
            for (step, ((&sample, &rate), loss)) in order.iter().zip(rates).zip(losses).enumerate() {
                let sample = (x.row(sample).as_ptr(), y.row(sample));
                *loss = forward::<V>(layers, sample, numbers.parameters, numbers.activations);
                if !loss.is_finite() {
                    return step;
                }
                let is_last = step + 1 == order.len();
                backward::<V>(layers, (T::from_f64(rate), exact, is_last), sample, &numbers);
            }
        }
        order.len()
    }
}
