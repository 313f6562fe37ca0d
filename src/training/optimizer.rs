//! `Optimizer`: how steps are taken, and what is remembered between them.

use super::Schedule;
use crate::error::Error;
use crate::kernels::{Buffer, Descent, Element, Penalty, Rule};
use crate::network::Network;

/// What is asked of an optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The kind of a step.
    pub rule: Rule,
    /// The rule's own numbers: μ; ρ, ε; ε; β₁, β₂, ε; shrink, grow, least, most.
    pub numbers: [f64; 4],
    /// The learning rates.
    pub schedule: Schedule,
    /// The factor of Σ |w| in what is minimised: its gradient is added to that of the weights.
    pub l1: f64,
    /// The factor of ½ Σ w².
    pub l2: f64,
    /// Decoupled decay: weights shrink by learning rate times this in each step (Loshchilov and Hutter 2019).
    pub weight_decay: f64,
    /// The bound of the norm of all gradients together.
    pub clip_norm: Option<f64>,
    /// The bound of each gradient's magnitude.
    pub clip_value: Option<f64>,
}

impl Options {
    /// Plain gradient descent.
    #[must_use]
    pub fn sgd(learning_rate: f64) -> Self {
        Self {
            rule: Rule::Sgd,
            numbers: [0.0; 4],
            schedule: Schedule::constant(learning_rate),
            l1: 0.0,
            l2: 0.0,
            weight_decay: 0.0,
            clip_norm: None,
            clip_value: None,
        }
    }

    fn is_penalised(&self) -> bool {
        self.l1 != 0.0 || self.l2 != 0.0 || self.weight_decay != 0.0 || self.clip_value.is_some()
    }
}

/// Which learning rates a training takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Those of the schedule, times a factor.
    Scheduled(f64),
    /// Always this one.
    Fixed(f64),
}

/// An optimiser at work on one network.
#[derive(Debug)]
pub struct Optimizer<T> {
    options: Options,
    /// Steps taken.
    steps: u64,
    /// What the rule remembers, laid out as the network's parameters; empty where it remembers nothing.
    states: [Buffer<T>; 2],
}

impl<T: Element> Optimizer<T> {
    /// One that has taken no step.
    ///
    /// # Errors
    ///
    /// `Error::OutOfMemory`
    pub fn new(options: Options, network: &Network<T>) -> Result<Self, Error> {
        let length = |state| if state < options.rule.n_states() { network.buffer().as_slice().len() } else { 0 };
        Ok(Self { options, steps: 0, states: [Buffer::new(length(0))?, Buffer::new(length(1))?] })
    }

    /// What was asked for.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Other learning rates from now on.
    pub fn set_schedule(&mut self, schedule: Schedule) {
        self.options.schedule = schedule;
    }

    /// Steps taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// As if so many steps had been taken.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// What the rule remembers, laid out as the network's parameters.
    #[must_use]
    pub fn states(&self) -> [&[T]; 2] {
        self.states.each_ref().map(Buffer::as_slice)
    }

    /// The same, to be written.
    pub fn states_mut(&mut self) -> [&mut [T]; 2] {
        self.states.each_mut().map(Buffer::as_mut_slice)
    }

    /// The learning rate of the next step.
    #[must_use]
    #[inline]
    pub fn learning_rate(&self, rate: Rate) -> f64 {
        self.learning_rate_after(0, rate)
    }

    /// That of the step after so many others.
    #[inline]
    pub(super) fn learning_rate_after(&self, steps: u64, rate: Rate) -> f64 {
        match rate {
            Rate::Scheduled(factor) => self.options.schedule.at(self.steps + steps) * factor,
            Rate::Fixed(rate) => rate,
        }
    }

    /// The numbers of the next step, which is counted as taken.
    pub(super) fn next(&mut self, rate: Rate) -> Descent<T> {
        let learning_rate = self.learning_rate(rate);
        self.steps += 1;
        if self.is_plain() {
            return Descent::plain(T::from_f64(learning_rate));
        }
        let [a, b, c, d] = self.options.numbers;
        let mut effective = learning_rate;
        let numbers = match self.options.rule {
            Rule::Sgd | Rule::Momentum | Rule::Nesterov | Rule::Adagrad => [a, 0.0, 0.0, 0.0, 0.0],
            Rule::RmsProp => [a, 1.0 - a, b, 0.0, 0.0],
            Rule::Adam => {
                #[allow(clippy::cast_precision_loss)] // steps beyond 2^53 are beyond all patience
                let t = self.steps as f64;
                effective = learning_rate / (1.0 - libm::pow(a, t));
                [1.0 - a, b, 1.0 - b, c, 1.0 / (1.0 - libm::pow(b, t)).sqrt()]
            }
            Rule::Rprop => {
                if self.steps == 1 {
                    self.states[1].as_mut_slice().fill(T::from_f64(learning_rate));
                }
                [a, b, c, d, 0.0]
            }
        };
        let options = &self.options;
        let penalty = Penalty {
            l1: T::from_f64(options.l1),
            l2: T::from_f64(options.l2),
            keep: T::from_f64(1.0 - learning_rate * options.weight_decay),
            clip: T::from_f64(options.clip_value.unwrap_or(f64::INFINITY)),
        };
        Descent {
            rule: options.rule,
            learning_rate: T::from_f64(effective),
            numbers: numbers.map(T::from_f64),
            penalty: options.is_penalised().then_some(penalty),
        }
    }

    /// Steps are those of plain gradient descent, on gradients that need not be known all at once.
    pub(super) fn is_plain(&self) -> bool {
        self.options.rule == Rule::Sgd && !self.options.is_penalised() && self.options.clip_norm.is_none()
    }
}
