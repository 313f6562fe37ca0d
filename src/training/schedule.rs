//! `Schedule`: the learning rate of each step, counted from 0.

/// How the rate changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// It does not.
    Constant,
    /// rate · factor^⌊t / every⌋
    Step {
        /// What it is multiplied with.
        factor: f64,
        /// Steps between two changes.
        every: f64,
    },
    /// rate · factor^(t / every)
    Exponential {
        /// What it is multiplied with.
        factor: f64,
        /// In so many steps.
        every: f64,
    },
    /// last + (rate − last) · ½ (1 + cos π t/steps), then last (Loshchilov and Hutter 2017)
    Cosine {
        /// Steps until the last rate.
        steps: f64,
        /// The last rate.
        last: f64,
    },
}

/// A learning rate over time: after a linear rise over the first `warm_up` steps, a shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The rate at the shape's first step.
    pub rate: f64,
    /// What becomes of it.
    pub shape: Shape,
    /// Steps of the rise: rate · (t + 1) / `warm_up`. The shape's steps are counted from its end.
    pub warm_up: u64,
}

impl Schedule {
    /// Always the same.
    #[must_use]
    pub fn constant(rate: f64) -> Self {
        Self { rate, shape: Shape::Constant, warm_up: 0 }
    }

    /// The rate of a step.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // steps beyond 2^53 are beyond all patience
    pub fn at(&self, step: u64) -> f64 {
        if self.shape == Shape::Constant && self.warm_up == 0 {
            return self.rate;
        }
        let Some(t) = step.checked_sub(self.warm_up) else {
            return self.rate * (step + 1) as f64 / self.warm_up as f64;
        };
        let t = t as f64;
        match self.shape {
            Shape::Constant => self.rate,
            Shape::Step { factor, every } => self.rate * libm::pow(factor, (t / every).floor()),
            Shape::Exponential { factor, every } => self.rate * libm::pow(factor, t / every),
            Shape::Cosine { steps, last } => {
                let part = t.min(steps) / steps;
                last + (self.rate - last) * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * part))
            }
        }
    }
}
