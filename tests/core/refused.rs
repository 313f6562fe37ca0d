//! What the core refuses, by a panic that says so: settings that do not fit the network, and what does not follow from the last
//! pass. It would be wrong numbers in silence. Whoever lets users have a say refuses it before, with an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ironprop::kernels::layout::{Layout, Place};
use ironprop::kernels::online::{Online, Pauses, Steps};
use ironprop::kernels::small::Small;
use ironprop::kernels::{Activation, Descent, Level, Loss, Matrix, MatrixMut, Penalty, Rule};
use ironprop::network::{Network, init};
use ironprop::parallel::Threads;
use ironprop::training::{Batch, Dropout, Gradient, Optimizer, Options, Plan, Rate, Settings};

/// Asserts that some work is refused, in these words.
fn assert_refused(case: &str, words: &str, work: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(work)) else { panic!("{case} is not refused") };
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    assert!(text.is_some_and(|text| text.contains(words)), "{case} is refused as {text:?}");
}

/// A network with two hidden layers, for which single samples go through one kernel.
fn network(output: Activation) -> Network<f64> {
    let activations = [Activation::Sigmoid, Activation::Tanh, output];
    let mut network = Network::new(&[2, 4, 3, 1], &activations, Level::current().unwrap()).unwrap();
    init::initialize(&mut network, &[init::Scheme::GlorotNormal; 3], 1);
    network
}

fn settings() -> Settings {
    Settings::exact(Threads::AtMost(1))
}

#[test]
fn a_loss_that_contains_another_activation_than_the_output_layers_is_refused() {
    for &(name, loss) in Loss::ALL {
        for activation in [Activation::Sigmoid, Activation::Softmax, Activation::Tanh, Activation::Identity] {
            let (network, settings) = (network(activation), Settings { loss, ..settings() });
            let case = format!("{name} of {activation:?}");
            let plan = || _ = Plan::new(&network, 4, settings).unwrap();
            match loss.fused_with() {
                Some(contained) if contained != activation => assert_refused(&case, "but the output layer has", plan),
                _ => plan(),
            }
        }
    }
}

#[test]
fn rates_of_dropout_that_do_not_fit_the_hidden_layers_are_refused() {
    let plan = |rates: &[f64]| {
        let dropout = Dropout { rates: rates.to_vec(), seed: 1 };
        Plan::new(&network(Activation::Tanh), 4, Settings { dropout, ..settings() }).unwrap();
    };
    for rates in [&[][..], &[0.0, 0.0], &[0.5, 0.0], &[0.0, 0.999]] {
        plan(rates);
    }
    for rates in [&[0.5][..], &[0.0; 3], &[0.5; 3], &[0.5, 1.0], &[-0.1, 0.5], &[0.5, f64::NAN], &[f64::INFINITY, 0.0]]
    {
        assert_refused(&format!("dropout {rates:?}"), "for each of 2 hidden layers", || plan(rates));
    }
}

const X: [f64; 8] = [0.3, -0.7, 0.1, 0.9, -0.4, 0.2, 0.8, -0.5];
const Y: [f64; 4] = [0.5, -0.25, 0.125, 0.75];

/// A plan at work on one batch.
struct Work {
    network: Network<f64>,
    optimizer: Optimizer<f64>,
    plan: Plan<f64>,
    batch: Batch<'static, f64>,
}

impl Work {
    fn new(n_samples: usize, gradient: Gradient, clip_norm: Option<f64>) -> Self {
        let network = network(Activation::Tanh);
        let settings = Settings { gradient, stores_gradients: clip_norm.is_some(), ..settings() };
        let (x, y) = (Matrix::packed(&X, n_samples, 2), Matrix::packed(&Y, n_samples, 1));
        Self {
            optimizer: Optimizer::new(Options { clip_norm, ..Options::sgd(0.1) }, &network).unwrap(),
            plan: Plan::new(&network, n_samples, settings).unwrap(),
            batch: Batch { x, y, weights: None },
            network,
        }
    }

    fn predict(&mut self) {
        self.plan.predict(&self.network, self.batch.x);
    }

    fn errors(&mut self) {
        self.plan.errors(&self.network, self.batch, &mut vec![0.0; self.batch.x.rows()]);
    }

    fn forward(&mut self) {
        self.plan.forward(&self.network, self.batch.x);
    }

    fn backward(&mut self) {
        self.plan.backward(&self.network, self.batch.y);
    }

    fn pass(&mut self) {
        self.plan.pass(&self.network, self.batch, Some(0));
    }

    fn gradients(&mut self) {
        let mut out = vec![0.0; self.network.buffer().as_slice().len()];
        self.plan.gradients(&self.network, (self.batch.x, Some(self.batch)), &mut out);
    }

    fn sample_gradient(&mut self) {
        let mut out = vec![0.0; 2 * self.batch.x.rows()];
        let out = MatrixMut::packed(&mut out, self.batch.x.rows(), 2);
        self.plan.sample_gradient(&self.network, self.batch.x, out);
    }

    fn update(&mut self) {
        self.plan.update(&mut self.network, &mut self.optimizer, self.batch, Rate::Scheduled(1.0));
    }

    fn assert_has_no_gradients(&mut self, case: &str) {
        assert_refused(&format!("{case}, gradients"), "a pass that has gone back", || self.gradients());
        assert_refused(&format!("{case}, sample_gradient"), "a pass that has gone back", || self.sample_gradient());
    }
}

/// Plans for one sample and for more, with both gradients.
fn works() -> impl Iterator<Item = (String, Gradient, Work)> {
    [1, 4].into_iter().flat_map(|n_samples| {
        Gradient::ALL.iter().map(move |&(name, gradient)| {
            (format!("{n_samples} samples, {name}"), gradient, Work::new(n_samples, gradient, None))
        })
    })
}

#[test]
fn neither_gradients_nor_a_step_follow_from_a_pass_that_has_not_gone_back() {
    for (case, _, mut work) in works() {
        work.forward();
        work.backward(); // whose deltas are of no use after the next pass
        for (name, pass) in
            [("predict", Work::predict as fn(&mut Work)), ("errors", Work::errors), ("forward", Work::forward)]
        {
            pass(&mut work);
            let case = format!("{case}, {name}");
            work.assert_has_no_gradients(&case);
            assert_refused(&format!("{case}, update"), "a pass that goes back", || work.update());
        }
        work.backward();
        work.gradients();
        work.sample_gradient();
        work.update();
    }
}

#[test]
fn the_notebooks_gradients_are_not_to_be_had_before_its_step() {
    for (case, gradient, mut work) in works() {
        work.pass();
        match gradient {
            Gradient::Notebook => work.assert_has_no_gradients(&case),
            Gradient::Exact => {
                work.gradients();
                work.sample_gradient();
            }
        }
        work.update();
    }
}

#[test]
fn a_pass_is_for_one_step() {
    for (case, _, mut work) in works() {
        work.pass();
        work.update();
        work.assert_has_no_gradients(&case);
        assert_refused(&format!("{case}, update"), "a pass that goes back", || work.update());
    }
}

#[test]
fn a_bound_of_the_norm_is_refused_for_the_notebooks_gradients() {
    for n_samples in [1, 4] {
        let mut work = Work::new(n_samples, Gradient::Exact, Some(0.5));
        work.pass();
        work.update();
        let mut work = Work::new(n_samples, Gradient::Notebook, Some(0.5));
        work.pass();
        let case = format!("a bound with {n_samples} samples");
        assert_refused(&case, "the notebook's gradients have no norm to be bounded", || work.update());
    }
}

#[test]
fn nothing_follows_from_a_pass_before_a_step_with_gradients_from_elsewhere() {
    for n_samples in [1, 4] {
        let mut work = Work::new(n_samples, Gradient::Exact, Some(0.5));
        let gradients = vec![0.25; work.network.buffer().as_slice().len()];
        let case = format!("{n_samples} samples");
        let apply = |work: &mut Work, gradients: &[f64]| {
            work.plan.apply(&mut work.network, &mut work.optimizer, gradients, Rate::Scheduled(1.0));
        };
        assert_refused(&format!("{case}, gradients of another length"), "", || apply(&mut work, &gradients[1..]));
        assert_eq!(work.optimizer.steps(), 0, "{case}, steps that are refused");
        work.forward();
        apply(&mut work, &gradients);
        assert_refused(&format!("{case}, forward, backward"), "the last pass", || work.backward());
        work.pass();
        apply(&mut work, &gradients);
        work.assert_has_no_gradients(&case);
        assert_refused(&format!("{case}, update"), "a pass that goes back", || work.update());
    }
}

/// The places of a network of these widths for so many samples, as they should be.
fn places(sizes: &[usize], n_samples: usize) -> Vec<Place> {
    super::small_networks::places(sizes, n_samples, (16, 0), &[Activation::Tanh])
}

#[test]
fn layers_that_do_not_lie_as_a_kernel_of_all_layers_takes_them_are_refused() {
    let _ = Layout::new(places(&[3, 5, 2], 4), 4);
    let refused = |case: &str, words: &str, change: fn(&mut [Place])| {
        let mut places = places(&[3, 5, 2], 4);
        change(&mut places);
        assert_refused(case, words, || _ = Layout::new(places, 4));
    };
    assert_refused("no layer", "no layers", || _ = Layout::new(Vec::new(), 4));
    refused("another width", "takes what the one before gives", |places| places[1].n_inputs = 4);
    refused("a narrow row", "rows overlap", |places| places[0].width = 4);
    refused("a narrow row of weights", "rows overlap", |places| places[0].stride = 15);
    refused("a gap between parameters", "parameters follow", |places| places[1].parameters += 1);
    refused("rows too early", "rows follow", |places| places[1].rows -= 1);
    refused("softmax", "the derivative comes", |places| places[1].activation = Activation::Softmax);
    refused("gelu", "the derivative comes", |places| places[0].activation = Activation::Gelu);
    refused("the largest width", "overflows", |places| places[1].stride = usize::MAX);
    assert_refused("samples without end", "overflows", || _ = Layout::new(places(&[3, 5], 4), usize::MAX));

    let level = Level::current().unwrap();
    let online = |places, n| Online::<f64>::new(level, Layout::new(places, n));
    assert_refused("two samples", "one row of each layer", || _ = online(places(&[3, 5], 2), 2));
    let mut narrow = places(&[3, 5], 1);
    narrow[0].width = 7;
    assert_refused("half a register", "whole registers", || _ = online(narrow, 1));
    assert_refused("many samples", "too many samples", || {
        let n = Small::<f64>::MOST_SAMPLES + 1;
        let _ = Small::<f64>::new(level, Layout::new(places(&[3, 5], n), n));
    });
}

#[test]
fn what_does_not_fit_steps_of_single_samples_is_refused() {
    let layout = Layout::new(places(&[3, 5, 2], 1), 1);
    let (n_parameters, n) = (layout.n_parameters(), layout.n_activations());
    let online = Online::<f64>::new(Level::current().unwrap(), layout);
    let descend = |lengths: [usize; 4], order: &[usize], n_rates: usize, every: usize| {
        let [mut parameters, mut activations, mut deltas, mut workspace] = lengths.map(|n| vec![0.5; n]);
        let (x, y) = (Matrix::packed(&[0.5; 6], 2, 3), Matrix::packed(&[0.5; 4], 2, 2));
        let steps = Steps { x, y, order, rates: &[0.1; 4][..n_rates], exact: true };
        let (pauses, mut losses) = (Pauses { every, go_on: &mut || true }, vec![0.0; n_rates]);
        let numbers = (&mut activations[..], &mut deltas[..]);
        online.descend(steps, &mut parameters, numbers, (&mut losses, pauses), &mut workspace)
    };
    let lengths = [n_parameters, n, n, online.workspace()];
    assert_eq!(descend(lengths, &[1, 0, 1], 3, 1), 3);
    let with = |which: usize, change: usize| {
        let mut lengths = lengths;
        lengths[which] -= change;
        lengths
    };
    for (which, defect) in
        ["number of parameters", "number of activations", "number of deltas", "the workspace"].iter().enumerate()
    {
        assert_refused("a slice one too short", defect, || _ = descend(with(which, 1), &[1, 0, 1], 3, 1));
    }
    assert_refused("a sample that is not there", "no such sample", || _ = descend(lengths, &[1, 2], 2, 1));
    assert_refused("fewer rates", "rates, losses", || _ = descend(lengths, &[1, 0, 1], 2, 1));
    assert_refused("no step between two pauses", "no step between", || _ = descend(lengths, &[1, 0], 2, 0));
}

#[test]
fn what_does_not_fit_a_small_network_is_refused() {
    let layout = Layout::new(places(&[3, 5, 2], 4), 4);
    let (n_parameters, n) = (layout.n_parameters(), layout.n_activations());
    let small = Small::<f64>::new(Level::current().unwrap(), layout);
    let step = |x: (usize, usize), lengths: [usize; 6], rule: Rule, penalty: bool| {
        let [mut parameters, mut first, mut second, activations, deltas, mut workspace] = lengths.map(|n| vec![0.5; n]);
        let penalty = penalty.then_some(Penalty { l1: 0.0, l2: 0.1, keep: 1.0, clip: f64::INFINITY });
        let descent = Descent { rule, learning_rate: 0.1, numbers: [0.1; 5], penalty };
        let x = Matrix::packed(&[0.5; 15][..x.0 * x.1], x.0, x.1);
        let changed = (&mut parameters[..], [&mut first[..], &mut second[..]]);
        small.update(0..2, &descent, x, changed, (&activations, &deltas), &mut workspace);
    };
    let whole = [n_parameters, n_parameters, n_parameters, n, n, small.workspace()];
    step((4, 3), whole, Rule::Adam, false);
    step((2, 3), [n_parameters, 0, 0, n, n, small.workspace()], Rule::Sgd, false);
    assert_refused("five samples", "more samples", || step((5, 3), whole, Rule::Adam, false));
    assert_refused("two features", "width of x", || step((4, 2), whole, Rule::Adam, false));
    assert_refused("a penalty", "as they are", || step((4, 3), whole, Rule::Adam, true));
    let words = ["parameters", "a state", "a state", "number of activations", "number of deltas", "workspace"];
    for (i, words) in words.into_iter().enumerate() {
        let mut short = whole;
        short[i] -= 1;
        assert_refused(words, words, || step((4, 3), short, Rule::Adam, false));
    }
    assert_refused("the first layer", "no layer comes before", || {
        let (parameters, activations) = (vec![0.5; n_parameters], vec![0.5; n]);
        let (mut deltas, mut workspace) = (vec![0.5; n], vec![0.5; small.workspace()]);
        small.input_gradients(0..2, 4, &parameters, (&activations, &mut deltas), &mut workspace);
    });
}
