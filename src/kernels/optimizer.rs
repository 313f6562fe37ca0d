//! The optimisers: what becomes of a parameter once its gradient is known, register by register.
//!
//! | rule | states | step, with gradient g and learning rate η |
//! |---|---|---|
//! | sgd      |      | p ← p − η g |
//! | momentum | m    | m ← μ m + g; p ← p − η m |
//! | nesterov | m    | m ← μ m + g; p ← p − η (g + μ m) |
//! | rmsprop  | v    | v ← ρ v + (1 − ρ) g²; p ← p − η g / (√v + ε) |
//! | adagrad  | v    | v ← v + g²; p ← p − η g / (√v + ε) |
//! | adam     | m, v | m ← m + (1 − β₁)(g − m); v ← β₂ v + (1 − β₂) g²; p ← p − η′ m / (√v · c + ε) |
//! | rprop    | g′, s | s ← s · grow, shrink or 1 by the sign of g g′, within bounds; p ← p − s · sign g |
//!
//! In adam η′ = η / (1 − β₁ᵗ) and c = 1 / √(1 − β₂ᵗ) come with the step's numbers; in rprop a gradient whose sign has changed
//! counts as 0, and s starts as η. Before the rule, a `Penalty` adds to the gradient, bounds it, and shrinks the parameter.
//! The products of `update.rs` take these steps on gradients that are still in registers; `step` here takes them on stored ones.

use std::marker::PhantomData;

use super::elementwise::each_register;
use super::level::{Kernel, Level};
use super::vector::{Arithmetic, Element, Vector};

/// The kind of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Gradient descent.
    Sgd,
    /// Polyak 1964.
    Momentum,
    /// Nesterov 1983, as Sutskever et al. 2013 write it.
    Nesterov,
    /// Tieleman and Hinton 2012.
    RmsProp,
    /// Duchi, Hazan and Singer 2011.
    Adagrad,
    /// Kingma and Ba 2015.
    Adam,
    /// Riedmiller and Braun 1993, without going back.
    Rprop,
}

impl Rule {
    /// All of them, with the names under which users know them.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("sgd", Self::Sgd),
        ("momentum", Self::Momentum),
        ("nesterov", Self::Nesterov),
        ("rmsprop", Self::RmsProp),
        ("adagrad", Self::Adagrad),
        ("adam", Self::Adam),
        ("rprop", Self::Rprop),
    ];

    /// Numbers that are kept for each parameter from step to step.
    #[must_use]
    pub const fn n_states(self) -> usize {
        match self {
            Self::Sgd => 0,
            Self::Momentum | Self::Nesterov | Self::RmsProp | Self::Adagrad => 1,
            Self::Adam | Self::Rprop => 2,
        }
    }
}

/// What one step is taken with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent<T> {
    /// The kind of step.
    pub rule: Rule,
    /// η, or η′ of adam.
    pub learning_rate: T,
    /// The rule's own: μ; ρ, 1 − ρ, ε; ε; 1 − β₁, β₂, 1 − β₂, ε, c; shrink, grow, least, most.
    pub numbers: [T; 5],
    /// What comes before the rule.
    pub penalty: Option<Penalty<T>>,
}

impl<T: Element> Descent<T> {
    /// Plain gradient descent.
    #[must_use]
    pub fn plain(learning_rate: T) -> Self {
        Self { rule: Rule::Sgd, learning_rate, numbers: [T::ZERO; 5], penalty: None }
    }

    /// The same step for biases, which are bounded but not penalised.
    #[must_use]
    pub fn of_biases(&self) -> Self {
        let penalty = self.penalty.map(|penalty| Penalty { l1: T::ZERO, l2: T::ZERO, keep: T::ONE, ..penalty });
        Self { penalty, ..*self }
    }
}

/// g ← clip( g + l2 · p + l1 · sign p ), p ← keep · p
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalty<T> {
    /// The factor of the parameter's sign.
    pub l1: T,
    /// The factor of the parameter.
    pub l2: T,
    /// What decoupled weight decay leaves: 1 − η · decay.
    pub keep: T,
    /// The bound of the gradient's magnitude.
    pub clip: T,
}

/// A step on registers.
pub(super) trait Advance {
    /// Numbers that are kept for each parameter.
    const STATES: usize;

    /// The parameters and states after a step with `gradient`.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    unsafe fn advance<V: Arithmetic>(
        descent: &Descent<V::Element>,
        parameter: V,
        gradient: V,
        states: [V; 2],
    ) -> (V, [V; 2]);
}

/// Calls `$body` with the type `$Advance` that a `Rule` means.
macro_rules! with_rule {
    ($rule:expr, $Advance:ident => $body:expr) => {
        with_rule!(@ $rule, $Advance => $body; Sgd Momentum Nesterov RmsProp Adagrad Adam Rprop)
    };
    (@ $rule:expr, $Advance:ident => $body:expr; $($name:ident)*) => {
        match $rule {
            $($crate::kernels::optimizer::Rule::$name => {
                type $Advance = $crate::kernels::optimizer::$name;
                $body
            })*
        }
    };
}
pub(super) use with_rule;

/// `Rule::Sgd`
pub(super) struct Sgd;
/// `Rule::Momentum`
pub(super) struct Momentum;
/// `Rule::Nesterov`
pub(super) struct Nesterov;
/// `Rule::RmsProp`
pub(super) struct RmsProp;
/// `Rule::Adagrad`
pub(super) struct Adagrad;
/// `Rule::Adam`
pub(super) struct Adam;
/// `Rule::Rprop`
pub(super) struct Rprop;

macro_rules! advance {
    ($name:ident,
     |$rate:ident, $numbers:ident, $parameter:ident, $gradient:ident, $state:ident| $body:expr) => {
        impl Advance for $name {
            const STATES: usize = Rule::$name.n_states();

            #[inline(always)]
            #[allow(unused_variables)] // not every rule has numbers and states
            unsafe fn advance<V: Arithmetic>(
                descent: &Descent<V::Element>,
                $parameter: V,
                $gradient: V,
                $state: [V; 2],
            ) -> (V, [V; 2]) {
                // SAFETY: the caller runs on a CPU of V's level.
                unsafe {
                    let ($rate, $numbers) = (V::splat(descent.learning_rate), descent.numbers.map(|x| V::splat(x)));
                    $body
                }
            }
        }
    };
}

advance!(Sgd, |rate, numbers, p, g, state| (g.neg_mul_add(rate, p), state));

advance!(Momentum, |rate, numbers, p, g, state| {
    let m = numbers[0].mul_add(state[0], g).flush_subnormal();
    (m.neg_mul_add(rate, p), [m, state[1]])
});

advance!(Nesterov, |rate, numbers, p, g, state| {
    let m = numbers[0].mul_add(state[0], g).flush_subnormal();
    (numbers[0].mul_add(m, g).neg_mul_add(rate, p), [m, state[1]])
});

advance!(RmsProp, |rate, numbers, p, g, state| {
    let [rho, rest, epsilon, ..] = numbers;
    let v = rest.mul(g).mul_add(g, rho.mul(state[0])).flush_subnormal();
    (g.div(v.sqrt().add(epsilon)).neg_mul_add(rate, p), [v, state[1]])
});

advance!(Adagrad, |rate, numbers, p, g, state| {
    let v = g.mul_add(g, state[0]).flush_subnormal();
    (g.div(v.sqrt().add(numbers[0])).neg_mul_add(rate, p), [v, state[1]])
});

advance!(Adam, |rate, numbers, p, g, state| {
    let [rest_1, beta_2, rest_2, epsilon, correction] = numbers;
    let m = g.sub(state[0]).mul_add(rest_1, state[0]).flush_subnormal();
    let v = rest_2.mul(g).mul_add(g, beta_2.mul(state[1])).flush_subnormal();
    (m.div(v.sqrt().mul_add(correction, epsilon)).neg_mul_add(rate, p), [m, v])
});

advance!(Rprop, |rate, numbers, p, g, state| {
    let [shrink, grow, least, most, _] = numbers;
    let (zero, one) = (V::splat(V::Element::ZERO), V::splat(V::Element::ONE));
    // The signs are multiplied, not the gradients: their product may be too small for a number.
    let agreement = sign(g).mul(sign(state[0]));
    let factor = zero.select_less(agreement, grow, agreement.select_less(zero, shrink, one));
    let step = state[1].mul(factor).at_most(most);
    let step = step.select_less(least, least, step);
    let g = agreement.select_less(zero, zero, g);
    (sign(g).neg_mul_add(step, p), [g, step])
});

/// 1, −1 or 0; NaN stays NaN.
///
/// # Safety
///
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn sign<V: Arithmetic>(x: V) -> V {
    // SAFETY: the caller runs on a CPU of V's level.
    unsafe {
        let (zero, one) = (V::splat(V::Element::ZERO), V::splat(V::Element::ONE));
        zero.select_less(x, one, x.select_less(zero, V::splat(-V::Element::ONE), x))
    }
}

impl<T: Element> Penalty<T> {
    /// The gradient that the rule sees.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn gradient<V: Arithmetic<Element = T>>(&self, parameter: V, gradient: V) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe {
            let g = parameter.mul_add(V::splat(self.l2), gradient);
            let g = sign(parameter).mul_add(V::splat(self.l1), g).at_most(V::splat(self.clip));
            let least = V::splat(-self.clip);
            g.select_less(least, least, g)
        }
    }
}

/// Takes the step of `n` parameters at `places[0]`, whose states are at the others, with their `gradient`.
///
/// # Safety
///
/// The places of the parameters and of as many states as the rule has are valid for `n` numbers (`LANES` where `WHOLE`), and
/// the CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn step_at<V: Arithmetic, A: Advance, const PENALISED: bool, const WHOLE: bool>(
    descent: &Descent<V::Element>,
    mut gradient: V,
    places: [*mut V::Element; 3],
    n: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut parameter = V::load_some::<WHOLE>(places[0], n);
        let mut states = [parameter; 2];
        for (state, place) in states.iter_mut().zip(&places[1..]).take(A::STATES) {
            *state = V::load_some::<WHOLE>(*place, n);
        }
        if PENALISED && let Some(penalty) = &descent.penalty {
            gradient = penalty.gradient(parameter, gradient);
            parameter = parameter.mul(V::splat(penalty.keep));
        }
        let (parameter, states) = A::advance(descent, parameter, gradient, states);
        parameter.store_some::<WHOLE>(places[0], n);
        for (state, place) in states.iter().zip(&places[1..]).take(A::STATES) {
            state.store_some::<WHOLE>(*place, n);
        }
    }
}

/// Takes the step of some parameters with their stored gradients, each times `scale`.
///
/// # Panics
///
/// If the lengths differ; states that the rule does not have may be empty.
pub fn step<T: Element>(
    level: Level,
    descent: &Descent<T>,
    (gradients, scale): (&[T], T),
    parameters: &mut [T],
    states: [&mut [T]; 2],
) {
    assert_eq!(gradients.len(), parameters.len(), "gradients, parameters");
    let lengths = states.iter().map(|state| state.len()).take(descent.rule.n_states());
    assert!(lengths.into_iter().all(|length| length == parameters.len()), "states, parameters");
    with_rule!(descent.rule, A => {
        level.run(Step::<'_, T, A> { descent, gradients, scale, parameters, states, rule: PhantomData });
    });
}

struct Step<'a, T, A> {
    descent: &'a Descent<T>,
    gradients: &'a [T],
    scale: T,
    parameters: &'a mut [T],
    states: [&'a mut [T]; 2],
    rule: PhantomData<A>,
}

impl<T: Element, A: Advance> Kernel<T> for Step<'_, T, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { descent, gradients, scale, parameters, states: [first, second], .. } = self;
        let length = gradients.len();
        let gradients = gradients.as_ptr();
        let places = [parameters.as_mut_ptr(), first.as_mut_ptr(), second.as_mut_ptr()];
        let at = |i: usize| places.map(|place| place.wrapping_add(i));
        // SAFETY: `step` has checked the lengths: whole registers end at or before it, a partial one ends there. The places of
        // states that the rule has not are not touched.
        unsafe {
            let scale = V::splat(scale);
            each_register!(V, length, |i, n, WHOLE| {
                let gradient = V::load_some::<WHOLE>(gradients.add(i), n).mul(scale);
                step_at::<V, A, true, WHOLE>(descent, gradient, at(i), n);
            });
        }
    }
}

/// Makes the penalised gradients of some parameters, and returns the sum of their squares: one chain in `f64`, ascending.
///
/// # Panics
///
/// If the lengths differ.
pub fn penalise<T: Element>(level: Level, penalty: Option<&Penalty<T>>, parameters: &[T], gradients: &mut [T]) -> f64 {
    assert_eq!(gradients.len(), parameters.len(), "gradients, parameters");
    level.run(Penalise { penalty, parameters, gradients })
}

struct Penalise<'a, T> {
    penalty: Option<&'a Penalty<T>>,
    parameters: &'a [T],
    gradients: &'a mut [T],
}

impl<T: Element> Kernel<T> for Penalise<'_, T> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> f64 {
        let Self { penalty, parameters, gradients } = self;
        let (from, to, length) = (parameters.as_ptr(), gradients.as_mut_ptr(), gradients.len());
        if let Some(penalty) = penalty {
            // SAFETY: both slices have `length` numbers; whole registers end at or before it, a partial one ends there.
            unsafe {
                each_register!(V, length, |i, n, WHOLE| {
                    let (parameter, gradient) =
                        (V::load_some::<WHOLE>(from.add(i), n), V::load_some::<WHOLE>(to.add(i), n));
                    penalty.gradient(parameter, gradient).store_some::<WHOLE>(to.add(i), n);
                });
            }
        }
        gradients.iter().fold(0.0, |sum, gradient| {
            let gradient = gradient.to_f64();
            gradient.mul_add(gradient, sum)
        })
    }
}
