//! `Rounds`: the jobs of a step, laid out once: which samples, which rows of parameters, and where what they write lies.

use std::iter::once;
use std::ops::Range;

use super::passes::Passes;
use super::settings::{Gradient, Settings};
use crate::kernels::update::update_workspace;
use crate::kernels::{Element, LINE, dense};
use crate::network::Dense;
use crate::parallel::Partition;

/// The jobs of a step.
#[derive(Debug)]
pub(super) struct Rounds {
    pub(super) threads: usize,
    /// The samples of each job of a pass, and its parts of `numbers` and of `errors`.
    pub(super) samples: Vec<Range<usize>>,
    pub(super) of_numbers: Partition,
    pub(super) of_errors: Partition,
    pub(super) of_workspaces: Partition,
    /// One round with all layers, or one for each layer, last layer first.
    pub(super) updates: Vec<Update>,
}

/// A round of updates: the rows of parameters of each job, and where they lie: those of the parameters, and likewise of the
/// optimiser's two states and of gradients.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) jobs: Vec<Vec<(usize, Range<usize>)>>,
    pub(super) of_parameters: Partition,
    pub(super) of_states: [Partition; 2],
    pub(super) of_gradients: Partition,
    /// The place of each row among all rows.
    pub(super) of_squares: Partition,
}

/// What the activations and deltas of one job of a pass may take of the L2 cache, so that they come back from it.
const JOB_BYTES: usize = 256 * 1024;

/// Samples of a job below which it is not made smaller for the cache's sake: the weights are read, and their panels packed,
/// once in each job.
const JOB_SAMPLES: usize = 128;

/// What an output costs beside its products, its activation above all, in floating-point operations.
const WORK_PER_OUTPUT: usize = 40;

impl Rounds {
    pub(super) fn of<T: Element>(passes: &Passes, n_samples: usize, settings: &Settings, online: bool) -> Self {
        let n = passes.layers.len();
        let of_layer = |layer: &Dense| {
            let products = layer.n_inputs().saturating_mul(layer.width()).saturating_mul(6);
            products.saturating_add(layer.width().saturating_mul(WORK_PER_OUTPUT))
        };
        let work = passes.layers.iter().map(of_layer).fold(0, usize::saturating_add).saturating_mul(n_samples);
        let threads = if online { 1 } else { settings.threads.for_work(work) };
        let samples = Self::samples::<T>(passes, n_samples, threads);
        let update = |group| Update::of(passes, group, threads);
        let updates = match settings.gradient {
            Gradient::Exact => vec![update(0..n)],
            Gradient::Notebook => (0..n).rev().map(|layer| update(layer..layer + 1)).collect(),
        };
        let of_numbers = samples.iter().map(|rows| passes.parts(rows));
        let line = LINE / size_of::<T>();
        let workspace = Self::workspace::<T>(passes, n_samples, &samples, &updates).next_multiple_of(line);
        Self {
            threads,
            of_numbers: Partition::new(of_numbers),
            of_errors: Partition::new(samples.iter().map(|rows| once(rows.clone()))),
            of_workspaces: Partition::new(
                (0..threads).map(|thread| once(thread * workspace..(thread + 1) * workspace)),
            ),
            samples,
            updates,
        }
    }

    /// Numbers of workspace that the largest job takes.
    fn workspace<T: Element>(passes: &Passes, n_samples: usize, samples: &[Range<usize>], updates: &[Update]) -> usize {
        let rows = samples.iter().map(Range::len).max().unwrap_or(0);
        let of_samples = passes.layers.iter().enumerate().map(|(i, layer)| {
            let widths = (layer.n_inputs(), passes.widths[i]);
            let before = if i == 0 { passes.level } else { passes.layers[i - 1].level() };
            let forward = dense::forward_workspace::<T>(layer.level(), rows, widths);
            forward.max(dense::input_gradient_workspace::<T>(before, rows, widths))
        });
        let of_parameters = updates.iter().flat_map(|update| &update.jobs).flatten().map(|(layer, rows)| {
            update_workspace::<T>(passes.layers[*layer].level(), n_samples, (rows.len(), passes.widths[*layer]))
        });
        of_samples.chain(of_parameters).max().unwrap_or(0)
    }

    /// Equal shares of the samples: some for each thread, small enough for the cache, but not too small.
    fn samples<T: Element>(passes: &Passes, n_samples: usize, threads: usize) -> Vec<Range<usize>> {
        let bytes = passes.strides.iter().map(|stride| 2 * stride * size_of::<T>()).sum::<usize>();
        let share = (JOB_BYTES / bytes.max(1)).max(JOB_SAMPLES);
        let n_jobs = n_samples.div_ceil(share).next_multiple_of(threads).min(n_samples);
        let share = n_samples.div_ceil(n_jobs.max(1)).max(1);
        (0..n_samples).step_by(share).map(|start| start..n_samples.min(start + share)).collect()
    }
}

impl Update {
    /// A job for each thread, of about equal work.
    pub(super) fn of(passes: &Passes, group: Range<usize>, threads: usize) -> Self {
        let rows = |layer: usize| passes.layers[layer].n_inputs() + 1;
        let work = |layer: usize| passes.layers[layer].width();
        let total: usize = group.clone().map(|layer| rows(layer) * work(layer)).sum();
        let mut jobs = vec![Vec::new()];
        let mut done = 0;
        for layer in group {
            let mut row = 0;
            while row < rows(layer) {
                let due = (total * jobs.len()).div_ceil(threads).saturating_sub(done);
                let n = due.div_ceil(work(layer)).clamp(1, rows(layer) - row);
                let last = jobs.len() - 1;
                jobs[last].push((layer, row..row + n));
                done += n * work(layer);
                row += n;
                if done * threads >= total * jobs.len() && done < total {
                    jobs.push(Vec::new());
                }
            }
        }
        let partition = || {
            let parts = |job: &Vec<(usize, Range<usize>)>| {
                job.iter().map(|(layer, rows)| passes.layers[*layer].rows(rows.clone())).collect::<Vec<_>>()
            };
            Partition::new(jobs.iter().map(parts))
        };
        let before = |layer: usize| passes.layers[..layer].iter().map(|layer| layer.n_inputs() + 1).sum::<usize>();
        let places = |(layer, rows): &(usize, Range<usize>)| before(*layer) + rows.start..before(*layer) + rows.end;
        Self {
            of_parameters: partition(),
            of_states: [partition(), partition()],
            of_gradients: partition(),
            of_squares: Partition::new(jobs.iter().map(|job| job.iter().map(places))),
            jobs,
        }
    }
}
