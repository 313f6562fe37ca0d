//! `Rounds`: the jobs of a step, laid out once: which samples, which rows or columns of parameters, and where what
//! they write lies.

use std::iter::once;
use std::ops::Range;
use std::time::Instant;

use super::columns::Columns;
use super::pace::Pace;
use super::passes::Passes;
use super::settings::{Gradient, Settings};
use crate::kernels::update::update_workspace;
use crate::kernels::{Element, LINE, dense};
use crate::network::Dense;
use crate::parallel::{Part, Partition, Threads};

/// The jobs of a step.
#[derive(Debug)]
pub(super) struct Rounds {
    /// Those that take part: as many as are sure to pay, and where there is a pace, from the first step on as the last one had it.
    pub(super) threads: usize,
    /// Whether they pay, where it depends on how fast they reach each other.
    pace: Option<Pace>,
    began: Option<Instant>,
    /// The samples of each job of a pass, and its parts of `numbers` and of `errors`.
    pub(super) samples: Vec<Range<usize>>,
    pub(super) of_numbers: Partition,
    pub(super) of_errors: Partition,
    pub(super) of_workspaces: Partition,
    /// The layers whose columns are shared forward, and on the way back to the layer before.
    pub(super) forward: Vec<Option<Columns>>,
    pub(super) way_back: Vec<Option<Columns>>,
    /// One round with all layers, or one for each layer, last layer first.
    pub(super) updates: Vec<Update>,
}

/// Some rows of a layer's parameters, or some columns. The row after the weights is the biases.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) layer: usize,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

/// A round of updates: the blocks of parameters of each job, and where they lie: those of the parameters, and likewise of the
/// optimiser's two states and of gradients.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) jobs: Vec<Vec<Block>>,
    pub(super) of_parameters: Partition,
    pub(super) of_states: [Partition; 2],
    pub(super) of_gradients: Partition,
    /// The place of each row among all rows, of blocks of rows.
    pub(super) of_squares: Partition,
}

/// What the activations and deltas of one job of a pass may take of the L2 cache, so that they come back from it.
const JOB_BYTES: usize = 256 * 1024;

/// Samples of a job below which it is not made smaller for the cache's sake: the weights are read, and their panels packed,
/// once in each job.
const JOB_SAMPLES: usize = 128;

/// What an output costs beside its products, its activation above all, in floating-point operations.
const WORK_PER_OUTPUT: usize = 40;

/// Floating-point operations of a step from which on threads pay wherever their cores are: a millisecond of one core, of
/// which the exchange is a small part.
const MOST_PACED: usize = 64_000_000;

impl Rounds {
    /// The jobs of steps of at most so many samples. Threads are tried for little work only where steps of one thread are one kernel
    /// (`one_kernel.rs`): others would lose by jobs that are cut for two.
    pub(super) fn of<T: Element>(passes: &Passes, n_samples: usize, settings: &Settings, one_kernel: bool) -> Self {
        let n = passes.layers.len();
        let of_layer = |layer: &Dense| {
            let products = layer.n_inputs().saturating_mul(layer.width()).saturating_mul(6);
            products.saturating_add(layer.width().saturating_mul(WORK_PER_OUTPUT))
        };
        let work = passes.layers.iter().map(of_layer).fold(0, usize::saturating_add).saturating_mul(n_samples);
        let sure = settings.threads.for_work(work);
        let threads = if one_kernel { settings.threads.for_tried_work(work) } else { sure };
        let paces = threads > 1 && matches!(settings.threads, Threads::AtMost(_)) && work < MOST_PACED;
        let samples = Self::samples::<T>(passes, n_samples, threads);
        let columns = |layer| {
            let threads = if settings.stores_gradients { 1 } else { threads }; // whose norm is a sum of rows
            Columns::of::<T>(passes, layer, n_samples, threads)
        };
        let (forward, way_back): (Vec<_>, Vec<_>) = (0..n).map(columns).unzip();
        let update = |group| Update::of(passes, group, threads, &forward);
        let updates = match settings.gradient {
            Gradient::Exact => vec![update(0..n)],
            Gradient::Notebook => (0..n).rev().map(|layer| update(layer..layer + 1)).collect(),
        };
        let of_numbers = samples.iter().map(|rows| passes.parts(rows));
        let line = LINE / size_of::<T>();
        let shared = (&forward[..], &way_back[..]);
        let workspace = Self::workspace::<T>(passes, n_samples, &samples, shared, &updates).next_multiple_of(line);
        Self {
            threads: sure,
            pace: paces.then(|| Pace::new(threads, sure == 1)),
            began: None,
            of_numbers: Partition::new(of_numbers),
            of_errors: Partition::new(samples.iter().map(|rows| once(rows.clone()))),
            of_workspaces: Partition::new(
                (0..threads).map(|thread| once(thread * workspace..(thread + 1) * workspace)),
            ),
            samples,
            forward,
            way_back,
            updates,
        }
    }

    /// Whether one thread takes some steps, or all.
    pub(super) fn has_steps_of_one(&self) -> bool {
        self.threads == 1 || self.pace.is_some()
    }

    /// Whether all samples are one job where there is one thread.
    pub(super) fn are_one_job<T: Element>(passes: &Passes, n_samples: usize) -> bool {
        Self::samples::<T>(passes, n_samples, 1).len() == 1
    }

    /// A step begins. (One that is not taken, or in another way, never ends; the next one begins anew.)
    pub(super) fn begin(&mut self) {
        if let Some(pace) = &self.pace {
            self.threads = pace.threads();
            self.began = pace.is_timed().then(Instant::now);
        }
    }

    /// It has been taken.
    pub(super) fn end(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.step(self.began.take().map(|began| began.elapsed()));
        }
    }

    /// The first of the layers through which errors go back with their samples, right after the loss.
    pub(super) fn alone_on_the_way_back(&self) -> usize {
        self.way_back.iter().rposition(Option::is_some).map_or(1, |layer| layer + 1)
    }

    /// Numbers of workspace that the largest job takes.
    fn workspace<T: Element>(
        passes: &Passes,
        n_samples: usize,
        samples: &[Range<usize>],
        (forward, way_back): (&[Option<Columns>], &[Option<Columns>]),
        updates: &[Update],
    ) -> usize {
        let rows = samples.iter().map(Range::len).max().unwrap_or(0);
        let widest = |columns: &Option<Columns>, width: usize| {
            let shares = columns.as_ref().and_then(|columns| columns.shares.iter().map(Range::len).max());
            shares.map_or((rows, width), |width| (n_samples, width))
        };
        let of_samples = passes.layers.iter().enumerate().map(|(i, layer)| {
            let (n_inputs, width) = (layer.n_inputs(), passes.widths[i]);
            let before = if i == 0 { passes.level } else { passes.layers[i - 1].level() };
            let (n, share) = widest(&forward[i], width);
            let forward = dense::forward_workspace::<T>(layer.level(), n, (n_inputs, share));
            let (n, share) = widest(&way_back[i], n_inputs);
            forward.max(dense::input_gradient_workspace::<T>(before, n, (share, width), layer.stride()))
        });
        let of_parameters = updates.iter().flat_map(|update| &update.jobs).flatten().map(|block| {
            let size = (block.rows.len(), block.columns.len());
            update_workspace::<T>(passes.layers[block.layer].level(), n_samples, size)
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
    /// A job for each thread, of about equal work: its columns of the layers whose columns are shared, and rows of the others.
    pub(super) fn of(passes: &Passes, group: Range<usize>, threads: usize, shared: &[Option<Columns>]) -> Self {
        let rows = |layer: usize| passes.layers[layer].n_inputs() + 1;
        let width = |layer: usize| passes.widths[layer];
        let mut jobs: Vec<Vec<Block>> = (0..threads).map(|_| Vec::new()).collect();
        for layer in group.clone() {
            for (job, share) in jobs.iter_mut().zip(shared[layer].iter().flat_map(|columns| &columns.shares)) {
                job.push(Block { layer, rows: 0..rows(layer), columns: share.clone() });
            }
        }
        let by_rows = || group.clone().filter(|layer| shared[*layer].is_none());
        let total: usize = by_rows().map(|layer| rows(layer) * width(layer)).sum();
        let (mut job, mut done) = (0, 0);
        for layer in by_rows() {
            let mut row = 0;
            while row < rows(layer) {
                let due = (total * (job + 1)).div_ceil(threads).saturating_sub(done);
                let n = due.div_ceil(width(layer)).clamp(1, rows(layer) - row);
                jobs[job].push(Block { layer, rows: row..row + n, columns: 0..width(layer) });
                done += n * width(layer);
                row += n;
                if done * threads >= total * (job + 1) && done < total {
                    job += 1;
                }
            }
        }
        jobs.retain(|job| !job.is_empty());
        let is_of_rows = |block: &Block| shared[block.layer].is_none();
        let part = |block: &Block| {
            let Block { layer, rows, columns } = block;
            let (dense, all) = (&passes.layers[*layer], 0..passes.layers[*layer].stride());
            let columns = if is_of_rows(block) { all } else { columns.clone() };
            Part::columns(columns, rows.len(), dense.stride()).after(dense.rows(rows.clone()).start)
        };
        let partition = || Partition::new(jobs.iter().map(|job| job.iter().map(part)));
        let before = |layer: usize| passes.layers[..layer].iter().map(|layer| layer.n_inputs() + 1).sum::<usize>();
        let places = |block: &Block| {
            let start = before(block.layer);
            if is_of_rows(block) { start + block.rows.start..start + block.rows.end } else { 0..0 }
        };
        Self {
            of_parameters: partition(),
            of_states: [partition(), partition()],
            of_gradients: partition(),
            of_squares: Partition::new(jobs.iter().map(|job| job.iter().map(places))),
            jobs,
        }
    }
}
