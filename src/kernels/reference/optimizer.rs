//! The optimisers' steps on one parameter; see `optimizer.rs` for the formulas.

use crate::kernels::vector::Element;
use crate::kernels::{Descent, Penalty, Rule};

fn sign<T: Element>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else {
        x // 0, or NaN
    }
}

/// g + l2 · p + l1 · sign p, inside ±clip.
#[must_use]
pub fn penalised<T: Element>(penalty: &Penalty<T>, parameter: T, gradient: T) -> T {
    let g = parameter.mul_add(penalty.l2, gradient);
    let g = sign(parameter).mul_add(penalty.l1, g);
    if penalty.clip < g {
        penalty.clip
    } else if g < -penalty.clip {
        -penalty.clip
    } else {
        g
    }
}

/// The parameter and its states after a step.
#[must_use]
pub fn step<T: Element>(descent: &Descent<T>, mut p: T, mut g: T, [s0, s1]: [T; 2]) -> (T, [T; 2]) {
    let (rate, [a, b, c, d, e]) = (descent.learning_rate, descent.numbers);
    if let Some(penalty) = &descent.penalty {
        g = penalised(penalty, p, g);
        p = p * penalty.keep;
    }
    let less = |direction: T, p: T| (-direction).mul_add(rate, p);
    match descent.rule {
        Rule::Sgd => (less(g, p), [s0, s1]),
        Rule::Momentum => {
            let m = a.mul_add(s0, g).flush_subnormal();
            (less(m, p), [m, s1])
        }
        Rule::Nesterov => {
            let m = a.mul_add(s0, g).flush_subnormal();
            (less(a.mul_add(m, g), p), [m, s1])
        }
        Rule::RmsProp => {
            let v = (b * g).mul_add(g, a * s0).flush_subnormal();
            (less(g / (v.sqrt() + c), p), [v, s1])
        }
        Rule::Adagrad => {
            let v = g.mul_add(g, s0).flush_subnormal();
            (less(g / (v.sqrt() + a), p), [v, s1])
        }
        Rule::Adam => {
            let m = (g - s0).mul_add(a, s0).flush_subnormal();
            let v = (c * g).mul_add(g, b * s1).flush_subnormal();
            (less(m / v.sqrt().mul_add(e, d), p), [m, v])
        }
        Rule::Rprop => {
            let agreement = sign(g) * sign(s0);
            let factor = if agreement > T::ZERO {
                b
            } else if agreement < T::ZERO {
                a
            } else {
                T::ONE
            };
            let step = s1 * factor;
            let step = if d < step { d } else { step };
            let step = if step < c { c } else { step };
            let g = if agreement < T::ZERO { T::ZERO } else { g };
            ((-sign(g)).mul_add(step, p), [g, step])
        }
    }
}
