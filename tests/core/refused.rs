//! What the core refuses, by a panic that says so: settings that do not fit the network, and what does not follow from the last
//! pass. It would be wrong numbers in silence. Whoever lets users have a say refuses it before, with an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ironprop::kernels::{Activation, Level, Loss, Matrix, MatrixMut};
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
