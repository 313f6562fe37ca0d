//! The tests of the core. One program: each would compile all kernels anew.

#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)] // numbers from bits
#![allow(clippy::float_cmp)] // bits are compared
#![allow(clippy::print_stdout)] // what ran, and the errors that were found

mod accuracy;
mod allocations;
mod exact;
mod kernels_agree;
mod losses;
mod optimizers;
mod training_agrees;

use ironprop::kernels::Level;

/// The levels to check: all that this CPU has, or the one that `IRONPROP_REQUIRE` says must be checked.
fn levels() -> Vec<Level> {
    match std::env::var("IRONPROP_REQUIRE") {
        Ok(name) => vec![Level::named(&name).expect("the required level")],
        Err(_) => Level::available(),
    }
}
