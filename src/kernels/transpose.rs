//! Weights whose lanes run along the inputs, for the input gradients of whole networks. (`pack.rs` copies one panel of them at
//! a time, in rows of two registers.)

use super::layout::Place;
use super::vector::{Element, Vector};

/// Copies the weights of a layer: a row of some width for each output, with zeros for the padding; in blocks of whole registers
/// as far as they go.
///
/// # Safety
///
/// The weights are those of the layer, there is room for these rows, the width is no less than the layer's inputs, and the CPU
/// has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn transpose<V: Vector>(
    weights: *const V::Element,
    layer: &Place,
    to: *mut V::Element,
    width: usize,
) {
    let &Place { n_inputs, n_outputs, stride, .. } = layer;
    let (inputs, outputs) = (n_inputs / V::LANES * V::LANES, n_outputs / V::LANES * V::LANES);
    // SAFETY: rows and columns are those of the weights, and of the copy.
    unsafe {
        for input in (0..inputs).step_by(V::LANES) {
            for output in (0..outputs).step_by(V::LANES) {
                let from = weights.add(input * stride + output);
                V::transpose(from, stride, to.add(output * width + input), width);
            }
        }
        for output in 0..n_outputs {
            let row = to.add(output * width);
            for input in if output < outputs { inputs } else { 0 }..n_inputs {
                row.add(input).write(*weights.add(input * stride + output));
            }
            for padding in n_inputs..width {
                row.add(padding).write(V::Element::ZERO);
            }
        }
    }
}
