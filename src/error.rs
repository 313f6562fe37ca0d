//! What can be wrong with a call: one variant for each defect, with the sizes in it.
//!
//! The sentences are written for the user of the Python package: they name the argument, what was expected and what
//! came. The bindings choose the exception from [`Error::kind`].

use std::fmt;

/// The family of exceptions that an error belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value, a shape or a size is wrong.
    Value,
    /// Memory for the result or for the work is not to be had.
    Memory,
    /// The training has diverged.
    Diverged,
    /// The caller's own code has asked to stop; its reason is with the caller.
    Stopped,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// `IRONPROP_LEVEL` names no level.
    UnknownLevel {
        /// The name that came.
        name: String,
    },
    /// `IRONPROP_LEVEL` names a level that this CPU lacks.
    MissingLevel {
        /// The name that came.
        name: String,
        /// What the CPU has.
        available: Vec<&'static str>,
    },
    /// A name that is not among those of an option.
    UnknownName {
        /// The option.
        option: &'static str,
        /// The name that came.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// A number that is outside the range of an option.
    OutOfRange {
        /// The option.
        option: &'static str,
        /// What its values are.
        expected: String,
        /// The value that came.
        value: String,
    },
    /// A network without a layer.
    NoLayers {
        /// The argument that says so.
        argument: &'static str,
    },
    /// A layer without inputs or outputs.
    EmptyLayer {
        /// The argument and the index in it.
        argument: String,
        /// Its shape as it came.
        shape: Vec<usize>,
    },
    /// An array whose shape does not fit.
    Shape {
        /// The argument.
        argument: String,
        /// The shape as it came.
        shape: Vec<usize>,
        /// What was expected, and why.
        expected: String,
    },
    /// Two lists that must have the same length have not.
    Lengths {
        /// One list and its length.
        left: (&'static str, usize),
        /// The other.
        right: (&'static str, usize),
    },
    /// An allocation of that many numbers has failed.
    OutOfMemory {
        /// Numbers asked for.
        numbers: usize,
    },
    /// The loss or a parameter is infinite or NaN.
    Diverged {
        /// The epoch of the last good step, counted from 0.
        epoch: usize,
        /// The loss after it; none where it is a parameter that is not finite.
        loss: Option<f64>,
        /// No step has been finite: nothing was changed.
        at_once: bool,
    },
    /// The observer of the training has asked to stop.
    Stopped,
}

impl Error {
    /// Which family of exceptions this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::OutOfMemory { .. } => Kind::Memory,
            Self::Diverged { .. } => Kind::Diverged,
            Self::Stopped => Kind::Stopped,
            _ => Kind::Value,
        }
    }
}

/// A shape as NumPy prints it: `()`, `(3,)`, `(3, 4)`.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    format!("({}{comma})", sizes.join(", "))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLevel { name } => {
                write!(f, "IRONPROP_LEVEL is {name:?}, but the levels are {}", crate::kernels::Level::NAMES.join(", "))
            }
            Self::MissingLevel { name, available } => {
                write!(f, "IRONPROP_LEVEL is {name:?}, but this CPU has only {}", available.join(", "))
            }
            Self::UnknownName { option, name, known } => {
                write!(f, "{option} must be one of {}, got {name:?}", known.join(", "))
            }
            Self::OutOfRange { option, expected, value } => {
                write!(f, "{option} must be {expected}, got {value}")
            }
            Self::NoLayers { argument } => {
                write!(f, "{argument} is empty: a network has at least one layer")
            }
            Self::EmptyLayer { argument, shape } => write!(
                f,
                "{argument} has shape {}: every layer has at least one input and one output",
                shape_text(shape)
            ),
            Self::Shape { argument, shape, expected } => {
                write!(f, "{argument} has shape {}, expected {expected}", shape_text(shape))
            }
            Self::Lengths { left, right } => write!(
                f,
                "{} has {} arrays but {} has {}: one of each for every layer",
                left.0, left.1, right.0, right.1
            ),
            Self::OutOfMemory { numbers } => {
                write!(f, "not enough memory for {numbers} more numbers")
            }
            Self::Diverged { epoch, loss, at_once } => {
                let what = loss.map_or("a parameter is not finite".to_owned(), |loss| format!("the loss is {loss}"));
                if *at_once {
                    write!(
                        f,
                        "{what} before any step: nothing was changed; look for inf, nan or huge numbers in the data and \
                         the weights"
                    )
                } else {
                    write!(
                        f,
                        "training diverged after epoch {epoch} ({what}): the weights and biases are those of the last \
                         step before that; try a smaller learning_rate"
                    )
                }
            }
            Self::Stopped => write!(f, "stopped by the observer of the training"),
        }
    }
}

impl std::error::Error for Error {}
