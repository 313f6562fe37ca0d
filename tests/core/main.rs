//! The tests of the core. One program: each would compile all kernels anew.

#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)] // numbers from bits
#![allow(clippy::float_cmp)] // bits are compared
#![allow(clippy::print_stdout)] // what ran, and the errors that were found

mod accuracy;
mod against_reference;
mod allocations;
mod derivatives;
mod determinism;
mod exact;
mod fuzzed;
mod golden;
mod kernels_agree;
mod losses;
mod network;
mod optimizers;
mod pace;
mod page_border;
mod parallel;
mod planted;
mod refused;
mod single_samples;
mod small_networks;
mod training_agrees;

use ironprop::kernels::Level;

/// The levels to check: all that this CPU has, or the one that `IRONPROP_REQUIRE` says must be checked.
fn levels() -> Vec<Level> {
    match std::env::var("IRONPROP_REQUIRE") {
        Ok(name) => vec![Level::named(&name).expect("the required level")],
        Err(_) => Level::available(),
    }
}

/// Says which levels run, so that one which the CPU lacks does not go missing in silence.
fn print_levels() {
    let ran: Vec<_> = levels().into_iter().map(Level::name).collect();
    println!("levels that run here: {}", ran.join(", "));
    for name in Level::NAMES.iter().filter(|name| !ran.contains(name)) {
        println!("level {name} was NOT run");
    }
}

/// Whether large shapes are to be left out, since an emulator or a memory checker runs the tests.
fn small() -> bool {
    std::env::var("IRONPROP_SMALL").is_ok()
}
