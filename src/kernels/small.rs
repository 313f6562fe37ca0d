//! Some samples through a whole small network: the passes of `dense.rs` and the steps of `update.rs`, all layers in one kernel.
//!
//! Where operands lie in the near caches a product needs neither blocks nor packed copies, and what is decided anew for each
//! of them, the checks and the calls between them cost as much as some of the products do. Here all that is decided once,
//! for layers whose samples lie without gaps: a panel of a product is one call, and what finishes it goes over one long row.
//! The chains are those of the other kernels, so the bits are too.

use std::marker::PhantomData;
use std::ops::Range;

use super::activation::with_activation;
use super::ahead::Ahead;
use super::blocks::KC;
use super::dense::{Activate, Derive};
use super::finish::{AtRest, Finishing};
use super::layout::{Layout, Place, TOO_LARGE};
use super::level::{Kernel, Level};
use super::matrix::{Matrix, Rows};
use super::micro_kernel::{Left, Panel, Tiles};
use super::optimizer::{Advance, Descent, with_rule};
use super::transpose::transpose_weights;
use super::update::Descend;
use super::vector::{Element, Vector};

/// A small network for batches.
#[derive(Debug)]
pub struct Small<T> {
    level: Level,
    layout: Layout,
    workspace: usize,
    number: PhantomData<T>,
}

impl<T: Element> Small<T> {
    /// Most samples of a batch: those of a block of depth in the sums of an update.
    pub const MOST_SAMPLES: usize = KC;

    /// One for layers that lie so.
    ///
    /// # Panics
    ///
    /// If batches are too large.
    #[must_use]
    pub fn new(level: Level, layout: Layout) -> Self {
        assert!(layout.n_samples <= Self::MOST_SAMPLES, "too many samples");
        let lanes = level.lanes::<T>();
        let chains = layout.layers.iter().map(|layer| layer.n_inputs.checked_add(1)?.checked_mul(2 * lanes));
        let workspace = chains.chain(layout.transposed()).fold(0, |most, size| size.expect(TOO_LARGE).max(most));
        Self { level, layout, workspace, number: PhantomData }
    }

    /// Numbers of workspace that its passes and steps take.
    #[must_use]
    pub fn workspace(&self) -> usize {
        self.workspace
    }

    /// Fills the activations of all layers for some samples.
    ///
    /// # Panics
    ///
    /// If a slice has the wrong length, or there are too many samples.
    pub fn forward_pass(&self, x: Matrix<'_, T>, parameters: &[T], activations: &mut [T]) {
        self.layout.check((x.rows(), x.columns()), parameters.len(), activations.len());
        self.level.run(ForwardPass { level: self.level, layers: &self.layout.layers, x, parameters, activations });
    }

    /// From the deltas of some layers to those of the layer before each of them, last layer first.
    ///
    /// # Panics
    ///
    /// If a slice has the wrong length, there are too many samples, or there is no such layer.
    pub fn input_gradients(
        &self,
        layers: Range<usize>,
        n_samples: usize,
        parameters: &[T],
        (activations, deltas): (&[T], &mut [T]),
        workspace: &mut [T],
    ) {
        self.layout.check((n_samples, self.layout.layers[0].n_inputs), parameters.len(), activations.len());
        assert_eq!(deltas.len(), activations.len(), "number of deltas");
        assert!(workspace.len() >= self.workspace, "the workspace is too small");
        assert!(layers.start > 0, "no layer comes before the first");
        let layers = &self.layout.layers[layers.start - 1..layers.end];
        self.level.run(InputGradients {
            level: self.level,
            layers,
            n_samples,
            parameters,
            activations,
            deltas,
            workspace,
        });
    }

    /// One step for the parameters of some layers, of an optimiser that takes gradients as they are.
    ///
    /// # Panics
    ///
    /// As for `input_gradients`, if there is a penalty, or a state of the optimiser is missing.
    pub fn update(
        &self,
        layers: Range<usize>,
        descent: &Descent<T>,
        x: Matrix<'_, T>,
        (parameters, states): (&mut [T], [&mut [T]; 2]),
        (activations, deltas): (&[T], &[T]),
        workspace: &mut [T],
    ) {
        self.layout.check((x.rows(), x.columns()), parameters.len(), activations.len());
        assert_eq!(deltas.len(), activations.len(), "number of deltas");
        assert!(workspace.len() >= self.workspace, "the workspace is too small");
        assert!(descent.penalty.is_none(), "gradients are taken as they are");
        let n_states = descent.rule.n_states();
        assert!(states[..n_states].iter().all(|state| state.len() == parameters.len()), "a state of the optimiser");
        let input = match layers.start.checked_sub(1).map(|before| self.layout.layers[before]) {
            None => x.pointer(),
            // SAFETY: rows lie among the activations, whose number has been checked.
            Some(before) => Rows { start: unsafe { activations.as_ptr().add(before.rows) }, stride: before.width },
        };
        let [first, second] = states.map(<[T]>::as_mut_ptr);
        let work = Work {
            layers: &self.layout.layers[layers],
            descent,
            input,
            n: x.rows(),
            places: [parameters.as_mut_ptr(), first, second],
            activations,
            deltas,
            workspace,
        };
        with_rule!(descent.rule, A => self.level.run(Update::<T, A> { level: self.level, work, rule: PhantomData }));
    }
}

/// The panels of a product without blocks and copies. All operands have these columns, and rows and steps as for `Tiles`, whose own
/// columns are those of each panel in turn; there are no ones.
#[derive(Clone, Copy)]
struct Panels<T> {
    columns: usize,
    tiles: Tiles<T>,
}

impl<T: Element> Kernel<T> for Panels<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { columns, mut tiles } = self;
        let mut column = 0;
        // SAFETY: the panels cover the columns of the operands, for which the maker vouches.
        unsafe {
            while column < columns {
                tiles.panel = Panel::next::<V>(columns - column, tiles.rows, false);
                let done = tiles.panel.columns::<V>();
                tiles.dense = done == columns && tiles.rest.stride == columns;
                tiles.run::<V>(false);
                column += done;
                if column < columns {
                    tiles.right.start = tiles.right.start.add(done);
                    tiles.rest.start = tiles.rest.start.add(done);
                    if let Some(start) = &mut tiles.start {
                        start.start = start.start.add(done);
                    }
                }
            }
        }
    }
}

/// Runs a kernel with registers for rows of so many numbers.
///
/// # Safety
///
/// As for the kernel; the CPU has the instructions of `V`, which are those of the level.
#[inline(always)]
unsafe fn run_for_rows_of<V: Vector, K: Kernel<V::Element, Output = ()>>(level: Level, columns: usize, kernel: K) {
    // SAFETY: the caller's contract; a level that is narrowed is that of AVX2.
    unsafe {
        if level.for_rows_of::<V::Element>(columns).is_narrowed() {
            <V::Element as Element>::Avx2::enter(kernel);
        } else {
            kernel.run::<V>();
        }
    }
}

struct ForwardPass<'a, T> {
    level: Level,
    layers: &'a [Place],
    x: Matrix<'a, T>,
    parameters: &'a [T],
    activations: &'a mut [T],
}

impl<T: Element> Kernel<T> for ForwardPass<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { level, layers, x, parameters, activations } = self;
        let (n, mut input, activations) = (x.rows(), x.pointer(), activations.as_mut_ptr());
        // SAFETY: `forward_pass` has checked that the slices hold what the places say.
        unsafe {
            for layer in layers {
                let weights = Rows { start: parameters.as_ptr().add(layer.parameters), stride: layer.stride };
                let biases = Rows { start: weights.at(layer.n_inputs, 0), stride: 0 };
                let out = Rows { start: activations.add(layer.rows), stride: layer.width };
                let tiles = Tiles {
                    rows: n,
                    depth: layer.n_inputs,
                    left: Left { start: input.start, row: input.stride, step: 1 },
                    right: weights,
                    ahead: Ahead::NOTHING,
                    start: Some(biases),
                    rest: out,
                    panel: Panel::Lanes(0),
                    ones: false,
                    dense: false,
                };
                run_for_rows_of::<V, _>(level, layer.n_outputs, Panels { columns: layer.width, tiles });
                with_activation!(layer.activation, F => {
                    let finish = &Activate::<T, F> { out, function: PhantomData };
                    Finishing { finish, chains: AtRest::all(out.as_const(), n, layer.width) }.run::<V>();
                });
                input = out.as_const();
            }
        }
    }
}

struct InputGradients<'a, T> {
    level: Level,
    /// The layer before the first, and the layers.
    layers: &'a [Place],
    n_samples: usize,
    parameters: &'a [T],
    activations: &'a [T],
    deltas: &'a mut [T],
    workspace: &'a mut [T],
}

impl<T: Element> Kernel<T> for InputGradients<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { level, layers, n_samples, parameters, activations, deltas, workspace } = self;
        let (deltas, weights) = (deltas.as_mut_ptr(), workspace.as_mut_ptr());
        // SAFETY: `input_gradients` has checked that the slices hold what the places say.
        unsafe {
            for pair in layers.windows(2).rev() {
                let (before, layer) = (&pair[0], &pair[1]);
                let copy = Rows { start: weights, stride: before.width };
                transpose_weights::<V>(parameters.as_ptr().add(layer.parameters), layer, copy, before.width);
                let out = Rows { start: deltas.add(before.rows), stride: before.width };
                let tiles = Tiles {
                    rows: n_samples,
                    depth: layer.n_outputs,
                    left: Left { start: deltas.add(layer.rows).cast_const(), row: layer.width, step: 1 },
                    right: Rows { start: weights.cast_const(), stride: before.width },
                    ahead: Ahead::NOTHING,
                    start: None,
                    rest: out,
                    panel: Panel::Lanes(0),
                    ones: false,
                    dense: false,
                };
                run_for_rows_of::<V, _>(level, before.n_outputs, Panels { columns: before.width, tiles });
                let stored = Rows { start: activations.as_ptr().add(before.rows), stride: before.width };
                with_activation!(before.activation, D => {
                    let finish = &Derive::<T, D> { out, stored, derivative: PhantomData };
                    Finishing { finish, chains: AtRest::all(out.as_const(), n_samples, before.width) }.run::<V>();
                });
            }
        }
    }
}

/// What the steps of some layers read and write.
struct Work<'a, T> {
    layers: &'a [Place],
    descent: &'a Descent<T>,
    input: Rows<*const T>,
    n: usize,
    /// All parameters, and as many numbers of the states that the rule has.
    places: [*mut T; 3],
    activations: &'a [T],
    deltas: &'a [T],
    workspace: &'a mut [T],
}

struct Update<'a, T, A> {
    level: Level,
    work: Work<'a, T>,
    rule: PhantomData<A>,
}

impl<T: Element, A: Advance> Kernel<T> for Update<'_, T, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Work { layers, descent, mut input, n, places, activations, deltas, workspace } = self.work;
        let workspace = workspace.as_mut_ptr();
        for layer in layers {
            let step = Step::<T, A> { layer, descent, input, n, places, deltas, workspace, rule: PhantomData };
            // SAFETY: `update` has checked that the slices hold what the layers' places say.
            unsafe {
                run_for_rows_of::<V, _>(self.level, layer.n_outputs, step);
                input = Rows { start: activations.as_ptr().add(layer.rows), stride: layer.width };
            }
        }
    }
}

/// The step of one layer.
struct Step<'a, T, A> {
    layer: &'a Place,
    descent: &'a Descent<T>,
    input: Rows<*const T>,
    n: usize,
    places: [*mut T; 3],
    deltas: &'a [T],
    workspace: *mut T,
    rule: PhantomData<A>,
}

impl<T: Element, A: Advance> Kernel<T> for Step<'_, T, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { layer, descent, input, n, places, deltas, workspace, .. } = self;
        let rows = layer.n_inputs + 1;
        let mut column = 0;
        while column < layer.width {
            let panel = Panel::next::<V>(layer.width - column, usize::MAX, false);
            let width = panel.columns::<V>();
            // A rule without states has none, and no place in them is touched.
            let places =
                places.map(|all| Rows { start: all.wrapping_add(layer.parameters + column), stride: layer.stride });
            // SAFETY: as for `Update`.
            unsafe {
                let tiles = Tiles {
                    rows,
                    depth: n,
                    left: Left { start: input.start, row: 1, step: input.stride },
                    right: Rows { start: deltas.as_ptr().add(layer.rows + column), stride: layer.width },
                    ahead: Ahead::NOTHING,
                    start: None,
                    rest: Rows { start: workspace, stride: width },
                    panel,
                    ones: true,
                    dense: false,
                };
                tiles.run::<V>(false);
                let finish = &Descend::<T, A, false>::new(descent, places);
                Finishing { finish, chains: AtRest::all(tiles.rest.as_const(), rows, width) }.run::<V>();
            }
            column += width;
        }
    }
}
