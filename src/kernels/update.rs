//! The gradients of a layer's parameters, and the step that is taken with them.
//!
//! ```text
//! weights[i, o]   ← step( Σ_b x[b, i] · deltas[b, o] )         (I, O)
//! biases[o]       ← step( Σ_b deltas[b, o] )                   (O)
//! ```
//!
//! Each Σ is one chain of fused multiply-adds, samples ascending. In `update` gradients exist in registers only, where the
//! step of `optimizer.rs` is taken; `parameter_gradient` keeps them.

use std::marker::PhantomData;

use super::blocks::Kind;
use super::dense::Workspaces;
use super::finish::Finish;
use super::level::{Kernel, Level};
use super::matrix::{Matrix, MatrixMut, Rows};
use super::micro_kernel::Left;
use super::optimizer::{Advance, Descent, step_at, with_rule};
use super::product::{Operand, Product, multiply, multiply_and_sum};
use super::vector::{Arithmetic, Element, Vector};

/// A layer's parameters, or what belongs to each of them: all rows of the weights or some, and the biases or not.
#[derive(Debug)]
pub struct Parameters<'a, T> {
    /// (I, O)
    pub weights: MatrixMut<'a, T>,
    /// (O)
    pub biases: Option<&'a mut [T]>,
}

impl<T> Parameters<'_, T> {
    fn check(&self, (n_inputs, n_outputs): (usize, usize)) {
        assert_eq!((self.weights.rows(), self.weights.columns()), (n_inputs, n_outputs), "size of the weights");
        assert!(self.biases.as_ref().is_none_or(|biases| biases.len() == n_outputs), "columns of deltas, biases");
    }

    fn of_weights(&mut self) -> Rows<*mut T> {
        self.weights.pointer()
    }

    fn of_biases(&mut self) -> Option<Rows<*mut T>> {
        self.biases.as_mut().map(|biases| Rows { start: biases.as_mut_ptr(), stride: 0 })
    }
}

/// One step of an optimiser on a layer's parameters, or on some rows of its weights with as many columns of `x`, and on
/// its biases or not. There are as many states as the optimiser's rule has.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn update<T: Element>(
    level: Level,
    descent: &Descent<T>,
    x: Matrix<'_, T>,      // (B, I)
    deltas: Matrix<'_, T>, // (B, O)
    mut parameters: Parameters<'_, T>,
    [mut first, mut second]: [Option<Parameters<'_, T>>; 2],
    workspace: &mut [T],
) {
    assert_eq!(x.rows(), deltas.rows(), "rows of x, of deltas");
    let size = (x.columns(), deltas.columns());
    parameters.check(size);
    for (i, state) in [&first, &second].into_iter().enumerate() {
        assert!(state.is_some() || i >= descent.rule.n_states(), "a state of the optimiser is missing");
        if let Some(state) = state {
            state.check(size);
            assert_eq!(state.biases.is_some(), parameters.biases.is_some(), "biases of a state");
        }
    }
    let state = |state: Option<&mut Parameters<'_, T>>| {
        state.map_or((Rows::NOWHERE, None), |state| (state.of_weights(), state.of_biases()))
    };
    let places = [(parameters.of_weights(), parameters.of_biases()), state(first.as_mut()), state(second.as_mut())];
    let of_biases = places[0].1.is_some().then(|| places.map(|(_, biases)| biases.unwrap_or(Rows::NOWHERE)));
    let sums = Sums { x, deltas, of_weights: places.map(|(weights, _)| weights), of_biases, workspace };
    with_rule!(descent.rule, A => match descent.penalty {
        None => level.run(Update::<T, A, false> { descent, sums, rule: PhantomData }),
        Some(_) => level.run(Update::<T, A, true> { descent, sums, rule: PhantomData }),
    });
}

/// The gradients of a layer's parameters, as for `update`.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn parameter_gradient<T: Element>(
    level: Level,
    x: Matrix<'_, T>,      // (B, I)
    deltas: Matrix<'_, T>, // (B, O)
    mut out: Parameters<'_, T>,
    workspace: &mut [T],
) {
    assert_eq!(x.rows(), deltas.rows(), "rows of x, of deltas");
    out.check((x.columns(), deltas.columns()));
    let (of_weights, of_biases) = ([out.of_weights()], out.of_biases().map(|biases| [biases]));
    level.run(ParameterGradient(Sums { x, deltas, of_weights, of_biases, workspace }));
}

/// The sums over the samples for each parameter, and the `N` places where something is to be done with them.
struct Sums<'a, T, const N: usize> {
    x: Matrix<'a, T>,
    deltas: Matrix<'a, T>,
    of_weights: [Rows<*mut T>; N],
    of_biases: Option<[Rows<*mut T>; N]>,
    workspace: &'a mut [T],
}

impl<T: Element, const N: usize> Sums<'_, T, N> {
    /// # Safety
    ///
    /// The places are those of all parameters, as far as the finishes touch them; the CPU has the instructions of `V`.
    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>, F: Finish<T>>(
        self,
        finish_weights: impl FnOnce([Rows<*mut T>; N]) -> F,
        finish_biases: impl FnOnce([Rows<*mut T>; N]) -> F,
    ) {
        let Self { x, deltas, of_weights, of_biases, workspace } = self;
        let product = Product {
            rows: x.columns(),
            columns: deltas.columns(),
            depth: x.rows(),
            left: Left { start: x.pointer().start, row: 1, step: x.stride() },
            right: Operand::Rows(deltas.pointer()),
            start: None,
            rest: None,
            beside: of_weights.first().map(|weights| weights.as_const()),
        };
        let finish = &finish_weights(of_weights);
        // SAFETY: the entry has checked that all sizes agree, `Matrix` that its slice holds them.
        unsafe {
            match of_biases {
                None => multiply::<V, _>(&product, finish, workspace),
                Some(of_biases) => {
                    multiply_and_sum::<V, _>(&product, (finish, &finish_biases(of_biases)), workspace);
                }
            }
        }
    }
}

struct Update<'a, T, A, const PENALISED: bool> {
    descent: &'a Descent<T>,
    sums: Sums<'a, T, 3>,
    rule: PhantomData<A>,
}

impl<T: Element, A: Advance, const PENALISED: bool> Kernel<T> for Update<'_, T, A, PENALISED> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let (descent, of_biases) = (self.descent, self.descent.of_biases());
        let finish = |descent, places| Descend::<'_, T, A, PENALISED>::new(descent, places);
        // SAFETY: `update` has checked the sizes of the parameters and of the states that the rule has.
        unsafe { self.sums.run::<V, _>(|places| finish(descent, places), |places| finish(&of_biases, places)) };
    }
}

/// A chain is a gradient, and the step is taken where it is.
pub(super) struct Descend<'a, T, A, const PENALISED: bool> {
    descent: &'a Descent<T>,
    places: [Rows<*mut T>; 3],
    rule: PhantomData<A>,
}

impl<'a, T, A, const PENALISED: bool> Descend<'a, T, A, PENALISED> {
    /// The step of these parameters and their states.
    pub(super) fn new(descent: &'a Descent<T>, places: [Rows<*mut T>; 3]) -> Self {
        Self { descent, places, rule: PhantomData }
    }
}

impl<T: Element, A: Advance, const PENALISED: bool> Finish<T> for Descend<'_, T, A, PENALISED> {
    #[inline(always)]
    unsafe fn finish<V: Arithmetic<Element = T>, const WHOLE: bool>(
        &self,
        chains: V,
        row: usize,
        column: usize,
        n: usize,
    ) {
        let places = self.places.map(|place| place.start.wrapping_add(row * place.stride + column));
        // SAFETY: the outputs lie inside the product, whose size the parameters and the rule's states have.
        unsafe { step_at::<V, A, PENALISED, WHOLE>(self.descent, chains.flush_subnormal(), places, n) };
    }

    fn stride(&self) -> Option<usize> {
        let [stride, states @ ..] = self.places.map(|place| place.stride);
        states[..A::STATES].iter().all(|of_state| *of_state == stride).then_some(stride)
    }
}

struct ParameterGradient<'a, T>(Sums<'a, T, 1>);

impl<T: Element> Kernel<T> for ParameterGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        // SAFETY: `parameter_gradient` has checked the size of the result.
        unsafe { self.0.run::<V, _>(|[out]| Keep { out }, |[out]| Keep { out }) };
    }
}

/// A chain is a gradient, and is kept.
struct Keep<T> {
    out: Rows<*mut T>,
}

impl<T: Element> Finish<T> for Keep<T> {
    #[inline(always)]
    unsafe fn finish<V: Arithmetic<Element = T>, const WHOLE: bool>(
        &self,
        chains: V,
        row: usize,
        column: usize,
        n: usize,
    ) {
        // SAFETY: the outputs lie inside the product, whose size `out` has.
        unsafe { chains.flush_subnormal().store_some::<WHOLE>(self.out.at(row, column), n) };
    }

    fn stride(&self) -> Option<usize> {
        Some(self.out.stride)
    }
}

/// Numbers of workspace that the update of a layer, or its gradient, takes for `n_samples`.
#[must_use]
pub fn update_workspace<T: Element>(level: Level, n_samples: usize, (n_inputs, n_outputs): (usize, usize)) -> usize {
    let rows = [n_inputs, 1, n_inputs + 1];
    let products = rows.map(|rows| (Kind::Update, (rows, n_outputs, n_samples)));
    level.run(Workspaces { products, number: PhantomData::<T> })
}
