//! Every rule equals its definition in `kernels::reference`, bit for bit and at every level: fused into the update of a layer,
//! and on stored gradients; with penalties and without; on all rows of a layer's weights and on some.

use super::levels;
use ironprop::kernels::update::{self, Parameters};
use ironprop::kernels::{Descent, Element, Matrix, MatrixMut, Penalty, Rule, optimizer, reference};

/// Numbers of both signs, some of them 0 and some tiny.
fn numbers<T: Element>(n: usize, step: f64) -> Vec<T> {
    let number = |i: usize| match i % 13 {
        5 => 0.0,
        7 => 1e-30 * libm::sin(i as f64 * step),
        _ => libm::sin(i as f64 * step),
    };
    (0..n).map(|i| T::from_f64(number(i))).collect()
}

fn bits<T: Element>(numbers: &[T]) -> Vec<u64> {
    numbers.iter().map(|number| number.to_f64().to_bits()).collect()
}

fn descents<T: Element>() -> Vec<Descent<T>> {
    let of = |rule| match rule {
        Rule::Sgd => [0.0; 5],
        Rule::Momentum | Rule::Nesterov => [0.9, 0.0, 0.0, 0.0, 0.0],
        Rule::RmsProp => [0.99, 0.01, 1e-8, 0.0, 0.0],
        Rule::Adagrad => [1e-10, 0.0, 0.0, 0.0, 0.0],
        Rule::Adam => [0.1, 0.999, 0.001, 1e-8, 1.5],
        Rule::Rprop => [0.5, 1.2, 1e-6, 0.02, 0.0],
    };
    let number = T::from_f64;
    let penalty = Penalty { l1: number(0.01), l2: number(0.1), keep: number(0.999), clip: number(0.7) };
    Rule::ALL
        .iter()
        .flat_map(|&(_, rule)| {
            [None, Some(penalty)].map(|penalty| Descent {
                rule,
                learning_rate: number(0.0625),
                numbers: of(rule).map(number),
                penalty,
            })
        })
        .collect()
}

/// The definition, over all parameters.
fn expected<T: Element>(descent: &Descent<T>, parameters: &mut [T], gradients: &[T], states: &mut [Vec<T>; 2]) {
    let [first, second] = states;
    for (i, parameter) in parameters.iter_mut().enumerate() {
        let (new, [s0, s1]) = reference::optimizer::step(descent, *parameter, gradients[i], [first[i], second[i]]);
        (*parameter, first[i], second[i]) = (new, s0, s1);
    }
}

fn check_stored<T: Element>(n: usize) {
    let (gradients, scale) = (numbers::<T>(n, 0.9), T::from_f64(0.75));
    let scaled: Vec<T> = gradients.iter().map(|&gradient| gradient * scale).collect();
    for level in levels() {
        for descent in descents::<T>() {
            let mut ours = numbers::<T>(n, 1.7);
            let mut states = [numbers::<T>(n, 0.3), numbers::<T>(n, 0.4)].map(|state| -> Vec<T> {
                state.into_iter().map(Element::abs).collect() // v of adam is never negative
            });
            let (mut theirs, mut their_states) = (ours.clone(), states.clone());
            for _ in 0..3 {
                let [first, second] = &mut states;
                optimizer::step(level, &descent, (&gradients, scale), &mut ours, [first, second]);
                expected(&descent, &mut theirs, &scaled, &mut their_states);
            }
            assert_eq!(bits(&ours), bits(&theirs), "{descent:?} at {level}, {n} numbers");
            for state in 0..descent.rule.n_states() {
                assert_eq!(bits(&states[state]), bits(&their_states[state]), "state {state} of {descent:?} at {level}");
            }
        }
    }
}

#[test]
fn a_step_with_stored_gradients_equals_its_definition() {
    for n in [0, 1, 3, 4, 7, 8, 15, 16, 17, 33, 100] {
        check_stored::<f32>(n);
        check_stored::<f64>(n);
    }
}

/// Weights (I, O), and biases where there are any, that lie one after the other.
fn split<T>(numbers: &mut [T], (i, o): (usize, usize)) -> Parameters<'_, T> {
    let (weights, biases) = numbers.split_at_mut(i * o);
    Parameters { weights: MatrixMut::packed(weights, i, o), biases: (!biases.is_empty()).then_some(biases) }
}

fn check_fused<T: Element>((b, i, o): (usize, usize, usize), biases: bool) {
    let (x, deltas) = (numbers::<T>(b * i, 1.3), numbers::<T>(b * o, 0.8));
    let sum = |factor: &dyn Fn(usize) -> T, column: usize| {
        let chain = (0..b).fold(T::ZERO, |chain, sample| factor(sample).mul_add(deltas[sample * o + column], chain));
        chain.flush_subnormal()
    };
    let rows = i + usize::from(biases);
    let factor = |row: usize, sample: usize| if row < i { x[sample * i + row] } else { T::ONE };
    let gradients: Vec<T> = (0..rows * o).map(|at| sum(&|sample| factor(at / o, sample), at % o)).collect();
    for level in levels() {
        let mut workspace = vec![T::from_f64(f64::NAN); update::update_workspace::<T>(level, b, (i, o))];
        let (x, deltas) = (Matrix::packed(&x, b, i), Matrix::packed(&deltas, b, o));
        let mut kept = vec![T::from_f64(f64::NAN); rows * o];
        update::parameter_gradient(level, x, deltas, split(&mut kept, (i, o)), &mut workspace);
        assert_eq!(bits(&kept), bits(&gradients), "gradients of {b}, {i}, {o} at {level}");
        for descent in descents::<T>() {
            let mut ours = numbers::<T>(rows * o, 1.7);
            let mut states = [vec![T::from_f64(0.25); rows * o], vec![T::from_f64(0.125); rows * o]];
            let (mut theirs, mut their_states) = (ours.clone(), states.clone());
            for _ in 0..2 {
                let [first, second] = &mut states;
                let states = [Some(split(first, (i, o))), Some(split(second, (i, o)))];
                update::update(level, &descent, x, deltas, split(&mut ours, (i, o)), states, &mut workspace);
                let (weights, rest) = theirs.split_at_mut(i * o);
                let mut of_biases = their_states.each_mut().map(|state| state.split_off(i * o));
                expected(&descent, weights, &gradients, &mut their_states);
                expected(&descent.of_biases(), rest, &gradients[i * o..], &mut of_biases);
                for (state, rest) in their_states.iter_mut().zip(of_biases) {
                    state.extend(rest);
                }
            }
            assert_eq!(bits(&ours), bits(&theirs), "{descent:?} of {b}, {i}, {o} at {level}");
            assert_eq!(bits(&states[0]), bits(&their_states[0]), "first state of {descent:?} at {level}");
            assert_eq!(bits(&states[1]), bits(&their_states[1]), "second state of {descent:?} at {level}");
        }
    }
}

#[test]
fn a_step_in_registers_equals_its_definition() {
    for size in [(1, 1, 1), (3, 2, 5), (7, 9, 17), (1, 13, 8), (40, 30, 33), (300, 7, 20), (5, 0, 4)] {
        for biases in [false, true] {
            check_fused::<f32>(size, biases);
            check_fused::<f64>(size, biases);
        }
    }
}

fn check_penalise<T: Element>(n: usize) {
    let (parameters, gradients) = (numbers::<T>(n, 1.7), numbers::<T>(n, 0.9));
    let number = T::from_f64;
    let penalty = Penalty { l1: number(0.01), l2: number(0.1), keep: number(1.0), clip: number(0.7) };
    for level in levels() {
        let mut ours = gradients.clone();
        let squares = optimizer::penalise(level, Some(&penalty), &parameters, &mut ours);
        let pairs = parameters.iter().zip(&gradients);
        let theirs: Vec<T> = pairs.map(|(&p, &g)| reference::optimizer::penalised(&penalty, p, g)).collect();
        let sum = theirs.iter().fold(0.0, |sum: f64, g| g.to_f64().mul_add(g.to_f64(), sum));
        assert_eq!(bits(&ours), bits(&theirs), "{n} numbers at {level}");
        assert_eq!(squares.to_bits(), sum.to_bits(), "sum of {n} squares at {level}");
    }
}

#[test]
fn penalised_gradients_and_their_norm_equal_their_definition() {
    for n in [0, 1, 5, 8, 16, 19, 64] {
        check_penalise::<f32>(n);
        check_penalise::<f64>(n);
    }
}
