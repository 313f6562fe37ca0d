//! Which networks are gone through in one kernel: layer by layer costs more there than the arithmetic.

use super::passes::Passes;
use crate::kernels::layout::{Layout, Place};
use crate::kernels::online::Online;
use crate::kernels::small::Small;
use crate::kernels::{Element, Loss};
use crate::network::Dense;

/// Bytes of the parameters up to which steps of single samples are one kernel, where they had one thread, two or more: beyond them the
/// memory is what counts, and several threads share it. (More than two are not measured.) 2048-1024-10 in float64 has 17 MB and takes
/// 0.5 of the time of one thread, but 1.3 of that of two; 2048-512-10 has 8.4 MB and takes 0.4 and 0.6 (Zen 4, 32 MiB of L3).
const ONLINE_BYTES: [usize; 3] = [32 << 20, 10 << 20, 8 << 20];

/// Bytes of the mirrors of its weights, which take every step too, likewise: 511-511-511 in float64 has 2.1 MB and takes 0.5 and 0.7
/// of the time where steps follow each other (1.1 of that of two threads where each is a call), 725-725-725 has 4.2 MB and takes
/// 0.5 and 0.9 (0.8 and 1.4).
const MIRRORED_BYTES: [usize; 3] = [9 << 19, 5 << 19, 3 << 18];

/// Bytes of the parameters for batches, on one thread: 64-128-128-16 in float64, with 220 KB, takes 0.96 to 1 of the time at 2 to
/// 64 samples, 256-256-256-16 1 to 1.2.
const SMALL_BYTES: usize = 256 << 10;

impl Passes {
    /// For single samples, if the network is small for so many threads and does nothing special.
    pub(super) fn online<T: Element>(&self, threads: usize) -> Option<Online<T>> {
        if self.n_samples > 1 || self.loss != Loss::HalfSquaredError {
            return None;
        }
        let [most, most_mirrored] = [ONLINE_BYTES, MIRRORED_BYTES].map(|bytes| bytes[threads.min(3) - 1]);
        let narrowest = self.layers.iter().map(Dense::n_outputs).min().unwrap_or(0);
        let online = Online::new(self.level.for_rows_of::<T>(narrowest), self.layout::<T>(most)?);
        (online.n_mirrored() <= most_mirrored / size_of::<T>()).then_some(online)
    }

    /// For batches, likewise.
    pub(super) fn small<T: Element>(&self) -> Option<Small<T>> {
        let is_large = self.n_samples > Small::<T>::MOST_SAMPLES;
        if is_large || self.loss.fused_with().is_some() {
            return None;
        }
        Some(Small::new(self.level, self.layout::<T>(SMALL_BYTES)?))
    }

    /// Where the layers lie, if there is no more of them and such a kernel knows them.
    fn layout<T: Element>(&self, most_bytes: usize) -> Option<Layout> {
        let end = self.layers.last().map_or(0, |layer| layer.rows(0..layer.n_inputs() + 1).end);
        let knows = |(i, layer): (usize, &Dense)| {
            let has_gaps = self.widths[i] != self.strides[i];
            Layout::knows(layer.activation()) && !self.keeps_derivatives(i) && !has_gaps
        };
        let all = end <= most_bytes / size_of::<T>() && self.layers.iter().enumerate().all(knows);
        all.then(|| {
            let places = self.layers.iter().enumerate().map(|(i, layer)| Place {
                n_inputs: layer.n_inputs(),
                n_outputs: layer.n_outputs(),
                activation: layer.activation(),
                width: self.widths[i],
                stride: layer.stride(),
                parameters: layer.rows(0..0).start,
                rows: self.starts[i],
            });
            Layout::new(places.collect(), self.n_samples)
        })
    }
}
