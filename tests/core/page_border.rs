//! No kernel reads or writes beyond what it was given: every slice ends exactly at a page that may not be touched, and in a
//! second run begins right after one. All kernels, at every level that this CPU has, in both number types, for lengths
//! from 0 to 130 in each dimension, and at sizes that are cut into blocks and copied into panels (goal M3).
//!
//! A touch ends the process. So the kernels run in a process of their own, which prints each case before it begins: the
//! test that starts it can say which one it was. That numbers are right is for `kernels_agree.rs`.

#![allow(unsafe_code)] // pages mapped by hand
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::ptr::null_mut;
use std::slice;

use super::levels;
use super::small_networks::{paddings, places};
use ironprop::kernels::layout::Layout;
use ironprop::kernels::online::{Online, Pauses, Steps};
use ironprop::kernels::small::Small;
use ironprop::kernels::update::{self, Parameters};
use ironprop::kernels::{Activation, Descent, Element, Level, Loss, Matrix, MatrixMut, Penalty, Rule, Slope};
use ironprop::kernels::{dense, elementwise, loss, optimizer};

/// Which end of the numbers is at a border.
#[derive(Clone, Copy, Debug)]
enum Border {
    /// The last number.
    End,
    /// The first one.
    Start,
}

/// Numbers between two pages that may not be touched, with one end at one of them.
struct Guarded<T> {
    map: *mut libc::c_void,
    map_length: usize,
    start: *mut T,
    length: usize,
}

impl<T: Copy> Guarded<T> {
    fn new(border: Border, numbers: &[T]) -> Self {
        let (bytes, page) = (size_of_val(numbers), page());
        let middle = bytes.next_multiple_of(page);
        let map_length = middle + 2 * page;
        // SAFETY: a fresh mapping, whose middle is made writable; the numbers lie in that middle.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let map = libc::mmap(null_mut(), map_length, libc::PROT_NONE, flags, -1, 0);
            assert!(map != libc::MAP_FAILED, "no memory for a test");
            let middle_start = map.byte_add(page);
            if middle > 0 {
                assert_eq!(libc::mprotect(middle_start, middle, libc::PROT_READ | libc::PROT_WRITE), 0);
            }
            let before = if matches!(border, Border::End) { middle - bytes } else { 0 };
            let start = middle_start.byte_add(before).cast::<T>();
            start.copy_from_nonoverlapping(numbers.as_ptr(), numbers.len());
            Self { map, map_length, start, length: numbers.len() }
        }
    }

    fn all(&self) -> &[T] {
        // SAFETY: `new` has written these numbers, and `self` is borrowed.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }

    fn all_mut(&mut self) -> &mut [T] {
        // SAFETY: `new` has written these numbers, and `self` is borrowed by nobody else.
        unsafe { slice::from_raw_parts_mut(self.start, self.length) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is that of `new`, and its numbers are borrowed no more.
        assert_eq!(unsafe { libc::munmap(self.map, self.map_length) }, 0);
    }
}

/// Bytes of a page.
fn page() -> usize {
    // SAFETY: a question about the system.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

/// Says what runs next, and makes its memory.
struct Case {
    level: Level,
    border: Border,
}

impl Case {
    fn say(&self, what: &str, size: impl std::fmt::Debug) {
        println!("{what} of {size:?} at {}, the {:?} of all slices at a border", self.level, self.border);
    }

    /// Small numbers of both signs.
    fn numbers<T: Element>(&self, length: usize) -> Guarded<T> {
        let numbers: Vec<T> = (0..length).map(|i| T::from_f64((i * 37 % 64) as f64 / 32.0 - 1.0)).collect();
        Guarded::new(self.border, &numbers)
    }

    /// The same as rows with gaps between them, but none after the last.
    fn rows<T: Element>(&self, rows: usize, columns: usize, stride: usize) -> Guarded<T> {
        self.numbers(if rows == 0 || columns == 0 { 0 } else { (rows - 1) * stride + columns })
    }

    /// Exactly what the kernels ask for.
    fn workspace<T: Element>(&self, length: usize) -> Guarded<T> {
        Guarded::new(self.border, &vec![T::from_f64(f64::NAN); length])
    }

    fn layer<T: Element>(&self, size: (usize, usize, usize), gap: usize, activation: Activation) {
        let (b, i, o) = size;
        let level = self.level;
        let (x, weights, biases) = (self.rows::<T>(b, i, i + gap), self.rows(i, o, o + gap), self.numbers(o));
        let (mut out, mut slopes) = (self.rows(b, o, o + gap), self.rows(b, o, o + gap));
        let mut workspace = self.workspace(dense::forward_workspace::<T>(level, b, (i, o)));
        let x = Matrix::new(x.all(), b, i, i + gap);
        for with_slopes in [true, false] {
            self.say("forward", (size, gap, activation, with_slopes));
            let slopes = with_slopes.then(|| MatrixMut::new(slopes.all_mut(), b, o, o + gap));
            let parameters = (Matrix::new(weights.all(), i, o, o + gap), biases.all());
            let out = MatrixMut::new(out.all_mut(), b, o, o + gap);
            dense::forward(level, activation, x, parameters, out, slopes, workspace.all_mut());
        }

        let stored = Slope::Stored(Matrix::new(slopes.all(), b, o, o + gap));
        let targets = self.rows::<T>(b, o, o + gap);
        let targets = Matrix::new(targets.all(), b, o, o + gap);
        let (mut deltas, mut errors) = (self.rows::<T>(b, o, o + gap), Guarded::new(self.border, &vec![0.0; b]));
        self.say("losses", (size, gap));
        let _ = loss::half_squared_error(level, Matrix::new(out.all(), b, o, o + gap), targets);
        let weights_of_samples = self.numbers::<T>(b);
        for &(_, loss) in Loss::ALL {
            for weights in [None, Some(weights_of_samples.all())] {
                self.say("output deltas", (size, gap, activation, loss));
                if loss.fused_with().is_some() {
                    let outputs = MatrixMut::new(out.all_mut(), b, o, o + gap);
                    loss::cross_entropy(level, loss, outputs, targets, weights, errors.all_mut());
                } else {
                    let predictions = Matrix::new(out.all(), b, o, o + gap);
                    loss::errors(level, loss, predictions, targets, weights, errors.all_mut());
                }
                let predictions = Matrix::new(out.all(), b, o, o + gap);
                for slope in [stored, Slope::Of(activation, predictions), Slope::Of(Activation::Softmax, predictions)] {
                    let deltas = MatrixMut::new(deltas.all_mut(), b, o, o + gap);
                    loss::output_deltas(level, loss, predictions, targets, weights, b, slope, deltas);
                }
            }
        }
        loss::softmax(level, MatrixMut::new(deltas.all_mut(), b, o, o + gap));

        let deltas = Matrix::new(deltas.all(), b, o, o + gap);
        let (before, mut out) = (self.rows::<T>(b, i, i + gap), self.rows(b, i, i + gap));
        let before = Matrix::new(before.all(), b, i, i + gap);
        let mut workspace = self.workspace(dense::input_gradient_workspace::<T>(level, b, (i, o), o + gap));
        for slope in [Slope::Stored(before), Slope::Of(activation, before)] {
            self.say("input gradient", (size, gap, activation));
            let weights = Matrix::new(weights.all(), i, o, o + gap);
            let out = MatrixMut::new(out.all_mut(), b, i, i + gap);
            dense::input_gradient(level, deltas, weights, slope, out, workspace.all_mut());
        }

        let of_layer = || (self.rows::<T>(i, o, o + gap), self.numbers::<T>(o));
        let (mut places, biased) = ([of_layer(), of_layer(), of_layer()], [true, false]);
        let mut workspace = self.workspace(update::update_workspace::<T>(level, b, (i, o)));
        for (&(_, rule), with_biases) in Rule::ALL.iter().flat_map(|rule| biased.map(|biased| (rule, biased))) {
            self.say("update", (size, gap, rule, with_biases));
            let [parameters, first, second] = places.each_mut().map(|(weights, biases)| Parameters {
                weights: MatrixMut::new(weights.all_mut(), i, o, o + gap),
                biases: with_biases.then_some(biases.all_mut()),
            });
            let descent = Descent { rule, numbers: [T::from_f64(0.5); 5], ..Descent::plain(T::from_f64(0.125)) };
            let states = [(rule.n_states() > 0).then_some(first), (rule.n_states() > 1).then_some(second)];
            update::update(level, &descent, x, deltas, parameters, states, workspace.all_mut());
        }
    }

    /// A step with stored gradients.
    fn step<T: Element>(&self, length: usize) {
        let mut numbers = [0; 4].map(|_| self.numbers::<T>(length));
        let number = T::from_f64;
        let penalty = Penalty { l1: number(0.1), l2: number(0.1), keep: number(0.9), clip: number(0.5) };
        for &(_, rule) in Rule::ALL {
            self.say("step", (length, rule));
            let plain = Descent::plain(number(0.125));
            let descent = Descent { rule, numbers: [number(0.5); 5], penalty: Some(penalty), ..plain };
            let [gradients, parameters, first, second] = numbers.each_mut().map(Guarded::all_mut);
            optimizer::penalise(self.level, Some(&penalty), parameters, gradients);
            optimizer::step(self.level, &descent, (gradients, T::ONE), parameters, [first, second]);
        }
    }

    fn elementwise<T: Element>(&self, length: usize, activation: Activation) {
        let (z, mut out) = (self.numbers::<T>(length), self.numbers(length));
        self.say("elementwise", (length, activation));
        elementwise::activate(self.level, activation, z.all(), out.all_mut());
        elementwise::derive(self.level, activation, z.all(), out.all_mut());
    }

    /// A network of these widths for so many samples, whose rows are padded to multiples of so many numbers.
    fn layout<T: Element>(&self, sizes: &[usize], activation: Activation, n_samples: usize, padding: usize) -> Layout {
        let padding = (padding, self.level.lanes::<T>());
        Layout::new(places(sizes, n_samples, padding, &[activation]), n_samples)
    }

    /// All numbers of such a network: parameters, activations, deltas.
    fn of_layout<T: Element>(&self, layout: &Layout) -> [Guarded<T>; 3] {
        [layout.n_parameters(), layout.n_activations(), layout.n_activations()].map(|length| self.numbers(length))
    }

    /// One sample through a network of these widths.
    fn online<T: Element>(&self, sizes: &[usize], activation: Activation) {
        let layout = self.layout::<T>(sizes, activation, 1, self.level.lanes::<T>());
        let [mut parameters, mut activations, mut deltas] = self.of_layout::<T>(&layout);
        let online = Online::<T>::new(self.level, layout);
        let (x, y) = (self.numbers::<T>(sizes[0]), self.numbers(sizes[sizes.len() - 1]));
        for targets in [None, Some(y.all())] {
            self.say("online forward pass", (sizes, activation));
            let _ = online.forward_pass((x.all(), targets), parameters.all(), activations.all_mut());
        }
        for exact in [true, false] {
            self.say("online steps", (sizes, activation, exact));
            let (x, y) = (Matrix::packed(x.all(), 1, sizes[0]), Matrix::packed(y.all(), 1, sizes[sizes.len() - 1]));
            let steps = Steps { x, y, order: &[0; 3], rates: &[0.0; 3], exact };
            let numbers = (activations.all_mut(), deltas.all_mut());
            let mut workspace = self.workspace(online.workspace());
            let pauses = Pauses { every: 1, go_on: &mut || true };
            online.descend(steps, parameters.all_mut(), numbers, (&mut [0.0; 3], pauses), workspace.all_mut());
            let is_number = parameters.all().iter().all(|number| number.to_f64().is_finite());
            assert!(is_number, "what lay in the workspace got into the parameters of {sizes:?}");
        }
    }

    /// Some samples through a network of these widths.
    fn small<T: Element>(&self, sizes: &[usize], activation: Activation, n_samples: usize) {
        for padding in paddings::<T>(self.level) {
            let layout = self.layout::<T>(sizes, activation, n_samples, padding);
            let [mut parameters, mut activations, mut deltas] = self.of_layout::<T>(&layout);
            let small = Small::<T>::new(self.level, layout);
            let (gap, n) = (n_samples % 3, n_samples - n_samples / 4);
            let x = self.rows::<T>(n, sizes[0], sizes[0] + gap);
            let x = Matrix::new(x.all(), n, sizes[0], sizes[0] + gap);
            let (size, n_layers) = ((sizes, activation, n_samples, padding), sizes.len() - 1);
            let mut workspace = self.workspace(small.workspace());
            self.say("small forward pass", size);
            small.forward_pass(x, parameters.all(), activations.all_mut());
            self.say("small input gradients", size);
            let numbers = (activations.all(), deltas.all_mut());
            small.input_gradients(1..n_layers, n, parameters.all(), numbers, workspace.all_mut());
            let mut states = [self.numbers(parameters.length), self.numbers(parameters.length)];
            for &(_, rule) in Rule::ALL {
                self.say("small update", (size, rule));
                let numbers = [T::from_f64(0.125); 5];
                let descent = Descent { rule, learning_rate: T::from_f64(0.125), numbers, penalty: None };
                let changed = (parameters.all_mut(), states.each_mut().map(Guarded::all_mut));
                let numbers = (activations.all(), deltas.all());
                small.update(0..n_layers, &descent, x, changed, numbers, workspace.all_mut());
                let changed = (parameters.all_mut(), states.each_mut().map(Guarded::all_mut));
                small.update(1..2, &descent, x, changed, numbers, workspace.all_mut());
            }
        }
    }

    fn everything<T: Element>(&self) {
        for length in 0..=130 {
            let (_, activation) = Activation::ALL[length % Activation::ALL.len()];
            let gap = length % 4;
            for other in [1, 3, 18] {
                self.layer::<T>((length, other, 5), gap, activation);
                self.layer::<T>((other, length, 7), gap, activation);
                self.layer::<T>((other, 9, length), gap, activation);
            }
            for &(_, activation) in Activation::ALL {
                self.elementwise::<T>(length, activation);
            }
            self.step::<T>(length);
            if Layout::knows(activation) {
                self.online::<T>(&[length, 3, length, 2], activation);
                self.small::<T>(&[length, 3, length, 2], activation, 1 + length % 13);
                self.small::<T>(&[4, 17, 1, 3], activation, length);
            }
        }
        // Mirrors whose rows would begin in few sets of the cache, in one number type and in the other.
        self.online::<T>(&[3, 128, 40, 2], Activation::Sigmoid);
        self.online::<T>(&[2, 1024, 20], Activation::Sigmoid);
        // Sizes in several blocks of rows and of depth, with copies of both operands, and around the widest registers.
        // Rows of 272 lie from cache lines on where there is no gap; two end in a block of one or two rows; two have input gradients
        // across; in the last the chains of an update would rest in few sets of the cache.
        let blocks = [(37, 130, 270), (37, 130, 272), (215, 300, 133), (270, 33, 140), (1, 3, 255), (2, 17, 513)];
        let more = [(3, 1873, 128), (1874, 17, 128), (16, 70, 60), (64, 340, 300), (270, 33, 128)];
        for size in blocks.into_iter().chain(more) {
            for gap in [0, 1] {
                self.layer::<T>(size, gap, Activation::Sigmoid);
            }
        }
    }
}

/// Runs one of the tests below in a process of its own.
fn run(test: &str) -> (Output, String) {
    let name = format!("page_border::{test}");
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args(["--exact", &name, "--ignored", "--nocapture"]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let last = printed.lines().rfind(|line| !line.is_empty()).unwrap_or_default().to_owned();
    (output, last)
}

#[test]
fn no_kernel_touches_memory_beyond_its_slices() {
    let (output, last) = run("all_kernels_at_the_borders_of_their_memory");
    assert!(output.status.success(), "{}: {last}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(last.contains("1 passed"), "{last}");
}

#[test]
fn a_touch_of_the_numbers_beside_a_slice_is_seen() {
    for fault in ["a_read_after_the_end", "a_read_before_the_start", "a_write_after_the_end"] {
        let (output, _) = run(fault);
        assert!(matches!(output.status.signal(), Some(libc::SIGSEGV | libc::SIGBUS)), "{fault}: {}", output.status);
    }
}

#[test]
#[ignore = "ends its process where a kernel is wrong; the first test above runs it"]
fn all_kernels_at_the_borders_of_their_memory() {
    for level in levels() {
        for border in [Border::End, Border::Start] {
            let case = Case { level, border };
            case.everything::<f32>();
            case.everything::<f64>();
        }
    }
}

#[test]
#[ignore = "ends its process; run by the second test above"]
fn a_read_after_the_end() {
    let numbers = Guarded::new(Border::End, &[1_f32; 5]);
    // SAFETY: none; the process is expected to end here.
    std::hint::black_box(unsafe { numbers.start.add(5).read_volatile() });
}

#[test]
#[ignore = "ends its process; run by the second test above"]
fn a_read_before_the_start() {
    let numbers = Guarded::new(Border::Start, &[1_f32; 5]);
    // SAFETY: none; the process is expected to end here.
    std::hint::black_box(unsafe { numbers.start.sub(1).read_volatile() });
}

#[test]
#[ignore = "ends its process; run by the second test above"]
fn a_write_after_the_end() {
    let numbers = Guarded::new(Border::End, &[1_f64; 5]);
    // SAFETY: none; the process is expected to end here.
    unsafe { numbers.start.add(5).write_volatile(2.0) };
}
