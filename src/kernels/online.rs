//! Single samples through a whole network: the passes of `dense.rs` and `loss.rs` for a batch of one, and the steps of plain descent
//! of `update.rs`, one after the other.
//!
//! One sample does so little with each weight that a call for each product, blocks and panels cost more than they bring, and in a
//! small network its steps are one chain of dependent operations. Here all layers of a pass are one kernel (`passes.rs`), and so are
//! steps that follow each other, on rows that are padded to whole registers. The parameters take the step of a sample in the forward
//! pass of the next one, when they are at hand, and the last one at the end; so two samples that follow each other leave their
//! activations and deltas in two places. What goes back goes through transposed weights that take the same steps (`mirror.rs`). The
//! chains are those of the other kernels, so the bits are too.

mod mirror;
mod passes;

use std::marker::PhantomData;

use super::layout::{Layout, Place, TOO_LARGE};
use super::level::{Kernel, Level};
use super::matrix::Matrix;
use super::vector::{Element, Vector};
use mirror::Mirror;
use passes::{Passage, backward, forward, update};

/// A network for single samples.
#[derive(Debug)]
pub struct Online<T> {
    level: Level,
    layout: Layout,
    mirrors: Vec<Mirror>,
    n_mirrored: usize,
    number: PhantomData<T>,
}

impl<T: Element> Online<T> {
    /// One for layers that lie so.
    ///
    /// # Panics
    ///
    /// If a row is no whole number of registers, or there is more than one of each layer.
    #[must_use]
    pub fn new(level: Level, layout: Layout) -> Self {
        let lanes = level.lanes::<T>();
        assert!(layout.n_samples == 1, "one row of each layer");
        assert!(layout.layers.iter().all(|layer| layer.width.is_multiple_of(lanes)), "rows are whole registers");
        let (mirrors, n_mirrored) = Mirror::all::<T>(&layout.layers).expect(TOO_LARGE);
        Self { level, layout, mirrors, n_mirrored, number: PhantomData }
    }

    /// Numbers of the transposed weights, which `descend` keeps beside the weights.
    #[must_use]
    pub fn n_mirrored(&self) -> usize {
        self.n_mirrored
    }

    /// Numbers of workspace that `descend` takes: those, and what a sample leaves in the layers.
    #[must_use]
    pub fn workspace(&self) -> usize {
        self.n_mirrored + 2 * self.layout.n_activations
    }

    fn check(&self, (x, y): (usize, Option<usize>), (parameters, activations): (usize, usize)) {
        self.layout.check((1, x), parameters, activations);
        let n_outputs = self.layout.layers.last().map(|last| last.n_outputs);
        assert!(y.is_none_or(|y| Some(y) == n_outputs), "width of the targets");
    }

    /// Fills the activations for `x` and returns the loss against `y`, if there are targets.
    ///
    /// # Panics
    ///
    /// If a slice has the wrong length.
    pub fn forward_pass(&self, (x, y): (&[T], Option<&[T]>), parameters: &[T], activations: &mut [T]) -> f64 {
        self.check((x.len(), y.map(<[T]>::len)), (parameters.len(), activations.len()));
        let y = y.unwrap_or_default();
        self.level.run(ForwardPass { layers: &self.layout.layers, x, y, parameters, activations })
    }

    /// Takes steps as long as the loss is finite and nobody objects: fills the loss before each of them, the first that is not finite
    /// included, and returns how many were taken. If these are all, the activations and the deltas are those of the last sample.
    ///
    /// # Panics
    ///
    /// If a slice has the wrong length, there is no such sample, or no step between two pauses.
    pub fn descend(
        &self,
        steps: Steps<'_, T>,
        parameters: &mut [T],
        (activations, deltas): (&mut [T], &mut [T]),
        (losses, pauses): (&mut [f64], Pauses<'_>),
        workspace: &mut [T],
    ) -> usize {
        let Steps { x, y, order, rates, .. } = steps;
        let widths = (x.columns(), Some(y.columns()));
        self.check(widths, (parameters.len(), activations.len()));
        assert_eq!(deltas.len(), self.layout.n_activations, "number of deltas");
        assert!(workspace.len() >= self.workspace(), "the workspace is too small");
        assert!(pauses.every > 0, "no step between two pauses");
        assert_eq!((rates.len(), losses.len()), (order.len(), order.len()), "rates, losses");
        let n_samples = x.rows().min(y.rows());
        assert!(order.iter().all(|sample| *sample < n_samples), "no such sample");
        self.level.run(Descend { network: self, steps, parameters, activations, deltas, losses, pauses, workspace })
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

/// When to ask whether steps are to go on.
pub struct Pauses<'a> {
    /// Steps from one question to the next.
    pub every: usize,
    /// The question: without its consent no step more is taken.
    pub go_on: &'a mut dyn FnMut() -> bool,
}

struct ForwardPass<'a, T> {
    layers: &'a [Place],
    x: &'a [T],
    y: &'a [T],
    parameters: &'a [T],
    activations: &'a mut [T],
}

impl<T: Element> Kernel<T> for ForwardPass<'_, T> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> f64 {
        let Self { layers, x, y, parameters, activations } = self;
        // SAFETY: `check` has seen that the slices hold what the layers' places say; the parameters are not written, since no step
        // is owed.
        unsafe {
            let parameters = parameters.as_ptr().cast_mut();
            forward::<V>(layers, None, (x.as_ptr(), y), parameters, activations.as_mut_ptr())
        }
    }
}

struct Descend<'a, 'p, T> {
    network: &'a Online<T>,
    steps: Steps<'a, T>,
    parameters: &'a mut [T],
    activations: &'a mut [T],
    deltas: &'a mut [T],
    losses: &'a mut [f64],
    pauses: Pauses<'p>,
    workspace: &'a mut [T],
}

impl<T: Element> Kernel<T> for Descend<'_, '_, T> {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> usize {
        let Self { network, steps, parameters, activations, deltas, losses, pauses, workspace } = self;
        let Steps { x, y, order, rates, exact } = steps;
        let (layers, mirrors) = (&network.layout.layers[..], &network.mirrors[..]);
        let (mirrored, others) = workspace.split_at_mut(network.n_mirrored);
        let (other_activations, other_deltas) = others.split_at_mut(network.layout.n_activations);
        let (parameters, mirrored) = (parameters.as_mut_ptr(), mirrored.as_mut_ptr());
        let last = &layers[layers.len() - 1];
        let padding = last.rows + last.n_outputs..last.rows + last.width; // of the deltas that no register writes
        let mut places = [(activations, deltas), (other_activations, other_deltas)].map(|(activations, deltas)| {
            deltas[padding.clone()].fill(T::ZERO);
            (activations.as_mut_ptr(), deltas.as_mut_ptr())
        });
        if order.len().is_multiple_of(2) {
            places.swap(0, 1); // so that the last sample has the place that the caller sees
        }
        let (mut before, mut taken, mut until_pause) = (None, order.len(), pauses.every);
        // SAFETY: `descend` has checked the widths of the samples, that the slices hold what the layers' places say, and that there is
        // room for what `Mirror::all` has counted and for another place; all these are apart from each other.
        unsafe {
            for (layer, mirror) in layers[1..].iter().zip(mirrors) {
                mirror.fill::<V>(layer, parameters.add(layer.parameters), mirrored);
            }
            for (step, ((&sample, &rate), loss)) in order.iter().zip(rates).zip(losses).enumerate() {
                if until_pause == 0 {
                    if !(pauses.go_on)() {
                        taken = step;
                        break;
                    }
                    until_pause = pauses.every;
                }
                until_pause -= 1;
                let ((activations, deltas), learning_rate) = (places[step % 2], T::from_f64(rate));
                let (x, y) = (x.row(sample).as_ptr(), y.row(sample));
                let now = Passage { x, y, activations, deltas, learning_rate };
                *loss = forward::<V>(layers, before.as_ref(), (x, y), parameters, activations);
                if !loss.is_finite() {
                    return step;
                }
                backward::<V>(layers, exact, (before.as_ref(), &now), (mirrors, mirrored));
                before = Some(now);
            }
            if let Some(last) = before {
                update::<V>(layers, &last, parameters);
            }
        }
        taken
    }
}
