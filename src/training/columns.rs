//! `Columns`: a product whose jobs are shares of its columns, and not of the samples.
//!
//! Where weights are many for few samples, each thread would read and pack all of them for some rows. Here each has columns of
//! the weights to itself, forward, on the way back and in the update, so that they stay in its cache; what threads then give
//! each other are activations and deltas.

use std::iter::once;
use std::ops::Range;

use super::passes::Passes;
use crate::kernels::Element;
use crate::parallel::{Part, Partition};

/// The shares of the outputs of a layer, forward, or of those of the layer before, on the way back.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) shares: Vec<Range<usize>>,
    /// Of that layer's numbers (B, stride).
    pub(super) of_numbers: Partition,
}

/// Inputs of a layer for each sample beyond which its columns are shared: what is exchanged grows with the samples, what stays
/// with the inputs. 784-128-10, 32 takes 0.8 of the time, 512-512-10, 64 (8 inputs for each) 0.97, 1024 wide, 256 (4) 1 to 1.03
/// (AMD Zen 4).
const INPUTS_PER_SAMPLE: usize = 4;

impl Columns {
    /// Those of a layer's outputs, for its forward pass and its update, and those of its inputs, for its input gradient: nothing
    /// where it is better to share the samples.
    pub(super) fn of<T: Element>(
        passes: &Passes,
        layer: usize,
        n_samples: usize,
        threads: usize,
    ) -> (Option<Self>, Option<Self>) {
        let n_inputs = passes.layers[layer].n_inputs();
        if threads == 1 || n_inputs <= n_samples.saturating_mul(INPUTS_PER_SAMPLE) || passes.needs_whole_rows(layer) {
            return (None, None);
        }
        let shares = |layer: usize, width: usize| {
            let panel = 2 * passes.layers[layer].level().lanes::<T>();
            let cut = |thread: usize| (width * thread / threads).next_multiple_of(panel).min(width);
            let shares: Vec<_> = (0..threads).map(|t| cut(t)..cut(t + 1)).filter(|share| !share.is_empty()).collect();
            let stride = passes.strides[layer];
            let part = |columns: &Range<usize>| once(Part::columns(columns.clone(), n_samples, stride));
            // Samples are better shared where columns do not make work for as many threads.
            let enough = shares.len() > 1 && shares.len() >= threads.min(n_samples);
            enough.then(|| Self { of_numbers: Partition::new(shares.iter().map(part)), shares })
        };
        let of_outputs = shares(layer, passes.widths[layer]);
        let of_inputs = layer.checked_sub(1).filter(|before| of_outputs.is_some() && !passes.needs_whole_rows(*before));
        (of_outputs, of_inputs.and_then(|before| shares(before, n_inputs)))
    }
}
