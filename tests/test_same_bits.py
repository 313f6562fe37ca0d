"""Same bits: one call or a loop, a row alone or a batch, any SIMD level, any process (D2-D4, N8).

All comparisons are between results of ironprop, to the last bit. What the bits are is said once,
independently: each output number is one chain of fused multiply-adds with the summed index
ascending, here computed with exact fractions.
"""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ironprop
import strategies
import training_run
from bits import digest, same_bits
from ironprop.notebook import backward_pass, forward_pass, initialize, mse, sig, train
from oracle import ACTIVATIONS, ALL_ACTIVATIONS, GRADIENTS, batches, copies
from processes import run_python

GOLDEN = Path(__file__).parent / "data" / "golden.json"
SOME = strategies.sample_counts.filter(bool)


# One order of additions ---------------------------------------------------------------------------


def rounded(value, dtype):
    """Round a fraction once, to the nearest number of the type."""
    number = float(value)  # correctly rounded
    if dtype == "float64":
        return np.float64(number)
    if Fraction(number) != value:  # keep the second rounding from seeing a tie that is none
        if abs(Fraction(number)) > abs(value):
            number = math.nextafter(number, 0.0)
        number = (np.array(number).view(np.uint64) | np.uint64(1)).view(np.float64)
    return np.float32(number)


def chain(start, factors, dtype):
    """Return `start + a0 * b0 + a1 * b1 + ...`, rounded after every multiply-add."""
    total = start
    for a, b in factors:
        total = rounded(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(total)), dtype)
    return total


def products(start, left, right, dtype):
    """Return `start + left @ right`, each number one chain."""
    shape = (left.shape[0], right.shape[1])
    start = np.broadcast_to(start, shape)
    result = [
        chain(start[index], zip(left[index[0]], right[:, index[1]], strict=True), dtype)
        for index in np.ndindex(shape)
    ]
    return np.array(result, dtype).reshape(shape)


def through_one_unit(z, activation):
    """Return activation and derivative of each number, from a network of one unit."""
    one, zero = [np.ones((1, 1), z.dtype)], [np.zeros((1, 1), z.dtype)]
    pred, _, dA = forward_pass(z.reshape(-1, 1), one, zero, activation=activation)
    return pred.reshape(z.shape), dA[0].reshape(z.shape)


def step_by_chains(X, Y, W, B, rate, activation, gradient):
    """Return activations, derivatives and new parameters by the definition."""
    dtype = X.dtype.name
    zero, A, dA = X.dtype.type(0), [X], []
    for w, b in zip(W, B, strict=True):
        a, slope = through_one_unit(products(b, A[-1], w, dtype), activation)
        A.append(a)
        if activation == "tanh":
            dA.append(
                np.array([chain(1, [(-x, x)], dtype) for x in a.flat], dtype).reshape(a.shape)
            )
        elif activation in ("sigmoid", "relu"):
            dA.append(a * (1 - a) if activation == "sigmoid" else (a > 0).astype(dtype))
        else:
            dA.append(slope)
    new_W, new_B = copies(W), copies(B)
    E = (A[-1] - Y) * dA[-1]
    ones = np.ones((1, len(X)), dtype)
    for i in reversed(range(len(W))):
        for old, slope in [(new_W[i], A[i].T), (new_B[i], ones)]:
            slope = products(zero, slope, E, dtype)
            for index in np.ndindex(old.shape):
                old[index] = chain(old[index], [(-slope[index], X.dtype.type(rate))], dtype)
        if i > 0:
            w = new_W[i] if gradient == "notebook" else W[i]
            E = products(zero, E, w.T, dtype) * dA[i - 1]
    return A, dA, new_W, new_B


@given(
    st.lists(st.integers(1, 11), min_size=2, max_size=4),
    st.integers(1, 9),
    st.sampled_from(strategies.DTYPES),
    st.sampled_from(ALL_ACTIVATIONS),
    st.sampled_from(GRADIENTS),
    strategies.seeds,
)
@settings(max_examples=60)
def test_every_number_is_one_chain_of_fused_multiply_adds(
    sizes, n_samples, dtype, activation, gradient, seed
):
    X, Y, W, B = strategies.arrays(tuple(sizes), n_samples, dtype, seed)
    true_A, true_dA, true_W, true_B = step_by_chains(X, Y, W, B, 0.3, activation, gradient)
    pred, A, dA = forward_pass(X, W, B, activation=activation)
    assert same_bits([*A, pred], true_A)
    assert same_bits(dA, true_dA)
    backward_pass(W, B, A, dA, pred, Y, 0.3, gradient=gradient)
    assert same_bits(W, true_W)
    assert same_bits(B, true_B)


def test_a_descending_chain_or_a_product_that_is_rounded_would_be_seen():
    X, _, W, B = strategies.arrays((40, 9), 9, "float64", 1)
    z = products(B[0], X, W[0], "float64")
    backwards = products(B[0], X[:, ::-1], W[0][::-1], "float64")
    unfused = np.array(np.broadcast_to(B[0], z.shape))
    for k in range(40):
        unfused = unfused + X[:, k : k + 1] * W[0][k]
    pred = forward_pass(X, W, B, activation="relu")[0]
    assert same_bits(pred, np.maximum(z, 0))
    assert not same_bits(pred, np.maximum(backwards, 0))
    assert not same_bits(pred, np.maximum(unfused, 0))


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_sig_is_the_sigmoid_of_the_layers(dtype):
    z = np.linspace(-800, 800, 4001).astype(dtype)
    assert same_bits(sig(z), through_one_unit(z, "sigmoid")[0])
    for length in range(40):
        assert same_bits(sig(z[2000 : 2000 + length]), sig(z)[2000 : 2000 + length])


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (5, 3), (40, 17), (300, 5)])
def test_the_loss_is_a_chain_for_each_row_and_a_sum_of_the_rows(shape):
    others = 0
    for seed in range(10):
        random = np.random.default_rng(seed)
        x, y = random.normal(size=shape), random.normal(size=shape)
        total = one_chain = 0.0
        for row in x - y:
            total += chain(0.0, zip(row, row, strict=True), "float64")
            one_chain = chain(one_chain, zip(row, row, strict=True), "float64")
        assert mse(x, y) == 0.5 * total
        others += one_chain != total
    assert others > 0 or len(x) < 9, "the order of the additions does not show in these numbers"


# One call, or a loop of two -----------------------------------------------------------------------


def loop_of_pairs(X, Y, W, B, *, epochs, batch_size=None, learning_rate=0.5, **options):
    """Return the losses of the loop that `train` stands for."""
    gradient = options.pop("gradient", "notebook")
    losses = []
    for _ in range(epochs):
        loss = 0.0
        for batch in batches(len(X), batch_size):
            pred, A, dA = forward_pass(X[batch], W, B, **options)
            loss += float(mse(pred.astype(float), Y[batch].astype(float)))
            backward_pass(W, B, A, dA, pred, Y[batch], learning_rate, gradient=gradient)
        losses.append(loss)
    return np.array(losses)


@given(strategies.cases(SOME), st.integers(0, 5), st.integers(1, 300))
@settings(max_examples=200)
def test_train_is_the_loop_of_pairs(case, epochs, batch_size):
    X, Y, W, B = case.arrays()
    batch_size = None if batch_size > case.n_samples else max(batch_size, case.n_samples // 20)
    options = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": 0.2 / (batch_size or case.n_samples) / max(case.sizes),
        "activation": case.activation,
        "gradient": case.gradient,
    }
    loop_W, loop_B = copies(W), copies(B)
    losses = train(X, Y, W, B, **options)
    loop_losses = loop_of_pairs(X, Y, loop_W, loop_B, **options)
    assert same_bits(W, loop_W)
    assert same_bits(B, loop_B)
    if case.dtype == "float64" and batch_size is None:
        assert same_bits(losses, loop_losses)
    else:  # the differences of float32 are rounded, and the batches' sums may be added up later
        assert np.allclose(losses, loop_losses, rtol=1e-5 if case.dtype == "float32" else 1e-13)


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_thousand_epochs_are_the_loop_of_pairs(gradient, activation, dtype):
    X, Y, W, B = strategies.arrays((3, 8, 5, 2), 10, dtype, 3)
    options = {"learning_rate": 0.05, "gradient": gradient, "activation": activation}
    loop_W, loop_B = copies(W), copies(B)
    train(X, Y, W, B, epochs=1000, **options)
    loop_of_pairs(X, Y, loop_W, loop_B, epochs=1000, **options)
    assert same_bits([*W, *B], [*loop_W, *loop_B])


@given(strategies.cases(SOME), st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=60)
def test_two_runs_are_one_long_run(case, first, second):
    X, Y, W, B = case.arrays()
    other_W, other_B = copies(W), copies(B)
    options = {"activation": case.activation, "gradient": case.gradient, "learning_rate": 1e-3}
    losses = train(X, Y, W, B, epochs=first + second, **options)
    parts = [train(X, Y, other_W, other_B, epochs=n, **options) for n in (first, second)]
    assert same_bits(losses, np.concatenate(parts))
    assert same_bits([*W, *B], [*other_W, *other_B])


# A row alone, or in a batch -----------------------------------------------------------------------


@given(strategies.cases(SOME), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_a_row_alone_is_the_row_in_the_batch(case, random):
    X, _, W, B = case.arrays()
    whole, _, whole_dA = forward_pass(X, W, B, activation=case.activation)
    for row in {0, case.n_samples - 1, random.randrange(case.n_samples)}:
        alone, _, dA = forward_pass(X[row : row + 1], W, B, activation=case.activation)
        assert same_bits(alone, whole[row : row + 1])
        assert same_bits(dA, [d[row : row + 1] for d in whole_dA])
    start = random.randrange(case.n_samples)
    stop = random.randint(start, case.n_samples)
    some = forward_pass(X[start:stop], W, B, activation=case.activation)[0]
    assert same_bits(some, whole[start:stop])


@given(strategies.cases(SOME))
@settings(max_examples=100)
def test_permuting_the_rows_permutes_the_results(case):
    X, _, W, B = case.arrays()
    order = np.random.default_rng(case.seed).permutation(case.n_samples)
    pred, A, dA = forward_pass(X, W, B, activation=case.activation)
    permuted, permuted_A, permuted_dA = forward_pass(X[order], W, B, activation=case.activation)
    assert same_bits(permuted, pred[order])
    assert same_bits(permuted_A, [a[order] for a in A])
    assert same_bits(permuted_dA, [d[order] for d in dA])


@given(strategies.cases(SOME))
@settings(max_examples=100)
def test_permuting_the_outputs_permutes_the_results_and_the_step(case):
    # Outputs are split over lanes, sums are not: a column of W means the same wherever it stands.
    X, Y, W, B = case.arrays()
    order = np.random.default_rng(case.seed).permutation(case.sizes[-1])
    pred = forward_pass(X, W, B, activation=case.activation)[0]
    other_W, other_B = [*copies(W[:-1]), W[-1][:, order]], [*copies(B[:-1]), B[-1][:, order]]
    permuted, A, dA = forward_pass(X, other_W, other_B, activation=case.activation)
    assert same_bits(permuted, pred[:, order])
    # The step of the last layer is that of the unpermuted one.
    backward_pass(other_W, other_B, A, dA, permuted, Y[:, order], 0.1, gradient="exact")
    pred, A, dA = forward_pass(X, W, B, activation=case.activation)
    backward_pass(W, B, A, dA, pred, Y, 0.1, gradient="exact")
    assert same_bits(other_W[-1], W[-1][:, order])
    assert same_bits(other_B[-1], B[-1][:, order])


# Any level, any process ---------------------------------------------------------------------------

EVERYTHING = "import training_run; print(training_run.everything())"
QUICK = "import training_run; print(training_run.quick())"
CONFIG = "import ironprop; print(ironprop.show_config()['level'])"


def levels_of_the_cpu():
    """Return the levels that must be there, by /proc/cpuinfo."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    flags = next(
        (set(line.split()) for line in text.splitlines() if line.startswith("flags")), set()
    )
    levels = {"portable"}
    if "avx2" in flags:
        levels.add("avx2")
    if {"avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        levels.add("avx512")
    return levels


def test_every_level_gives_the_same_bits(capsys):
    levels = ironprop.show_config()["levels"]
    with ThreadPoolExecutor(2) as pool:
        hashes = list(pool.map(lambda name: run_python(EVERYTHING, IRONPROP_LEVEL=name), levels))
    used = [run_python(CONFIG, IRONPROP_LEVEL=name).strip() for name in levels]
    with capsys.disabled():
        print(f"\nlevels run: {', '.join(used)}")  # noqa: T201 (a missing level must show)
    assert used == levels
    assert levels_of_the_cpu() <= set(used), "a level that this CPU has was not run"
    assert dict(zip(levels, hashes, strict=True)) == dict.fromkeys(levels, hashes[0])
    assert hashes[0].strip() == training_run.everything()


def test_the_fastest_level_is_the_one_in_use():
    levels = ironprop.show_config()["levels"]
    assert run_python(CONFIG, IRONPROP_LEVEL="").strip() == levels[-1]


@pytest.mark.parametrize("name", ["sse9", "AVX2", "avx2 ", "1"])
def test_an_unknown_level_is_refused_by_name(name):
    program = """
try:
    from ironprop.notebook import sig
    sig([0.0])
except Exception as error:
    print(type(error).__name__, error)
"""
    printed = run_python(program, IRONPROP_LEVEL=name)
    assert printed.startswith("ValueError IRONPROP_LEVEL"), printed
    assert name in printed
    assert "portable" in printed


def hashes_of_processes(count):
    """Run a training in that many processes while the other core is busy."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        return {
            run_python(QUICK, PYTHONHASHSEED=str(seed * 40_009 % 2**32)) for seed in range(count)
        }
    finally:
        busy.kill()
        busy.wait()


def test_five_processes_give_one_hash():
    assert hashes_of_processes(5) == {training_run.quick() + "\n"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_processes_give_one_hash():
    assert hashes_of_processes(100) == {training_run.quick() + "\n"}


def test_the_golden_hashes_are_unchanged():
    stored = json.loads(GOLDEN.read_text())
    now = training_run.golden()
    changed = sorted(name for name in {*stored, *now} if stored.get(name) != now.get(name))
    assert not changed, "bits have changed: python tests/training_run.py prints the new hashes"


def test_the_hash_sees_one_bit():
    W, B = initialize([3, 5, 2], seed=0)
    before = digest(W, B)
    W[1][4, 1] = np.nextafter(W[1][4, 1], 9)
    assert digest(W, B) != before


# Seeds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_a_seed_fixes_the_starting_weights_and_none_does_not(dtype):
    for seed in (0, 1, 2**32, 2**63, 2**64 - 1):
        assert same_bits(*map(_flat, (initialize([5, 4, 3], seed=seed, dtype=dtype) for _ in "ab")))
    starts = [digest(initialize([5, 4, 3], seed=seed)) for seed in range(500)]
    starts += [digest(initialize([5, 4, 3], seed=2**power)) for power in range(9, 64)]
    starts += [digest(initialize([5, 4, 3])) for _ in range(50)]
    assert len(set(starts)) == len(starts)


def _flat(parameters):
    W, B = parameters
    return [*W, *B]


def test_a_generator_gives_one_number_and_is_the_seed_of_that_number():
    X, Y, _, _ = strategies.arrays((3, 2), 8, "float64", 1)

    def shuffled(seed):
        W, B = initialize([3, 2], seed=1)
        train(X, Y, W, B, epochs=3, batch_size=1, shuffle=True, seed=seed)
        return [*W, *B]

    for run in (lambda seed: _flat(initialize([4, 3], seed=seed)), shuffled):
        for start in range(20):
            given, other = np.random.default_rng(start), np.random.default_rng(start)
            number = int(other.integers(2**64, dtype=np.uint64))
            assert same_bits(run(given), run(number))
            assert given.bit_generator.state == other.bit_generator.state
            assert not same_bits(run(given), run(number))


# Shuffling ----------------------------------------------------------------------------------------


def shuffled_run(seed, epochs=1, batch_size=1, n_samples=4):
    """Train on a few samples whose order matters, and return the digest of the parameters."""
    X, Y, W, B = strategies.arrays((2, 3, 1), n_samples, "float64", 1)
    options = {"epochs": epochs, "batch_size": batch_size, "shuffle": True, "seed": seed}
    train(X, Y, W, B, learning_rate=0.5, **options)
    return digest(W, B)


def ordered_runs(n_samples, batch_size, epochs):
    """Return the digests that each choice of orders gives, one order for each epoch.

    Orders that differ within a batch may have the same digest: sums of two do not show their order.
    """
    X, Y, start_W, start_B = strategies.arrays((2, 3, 1), n_samples, "float64", 1)
    results = {}
    permutations = list(itertools.permutations(range(n_samples)))
    for orders in itertools.product(permutations, repeat=epochs):
        W, B = copies(start_W), copies(start_B)
        for order in orders:
            rows = list(order)
            train(X[rows], Y[rows], W, B, epochs=1, batch_size=batch_size)
        results[digest(W, B)] = orders
    if batch_size == 1:
        assert len(results) == len(permutations) ** epochs, "an order like another"
    return results


def test_a_shuffled_epoch_takes_every_sample_once_in_an_order_drawn_evenly():
    orders = ordered_runs(4, 1, 1)
    counts = Counter(orders[shuffled_run(seed)] for seed in range(2400))
    assert len(counts) == 24
    # Chi-square with 23 degrees of freedom: 50 is beyond the 99.9th percentile.
    assert sum((counts[order] - 100) ** 2 / 100 for order in counts) < 50


def test_the_batches_of_a_shuffled_epoch_hold_every_sample_once():
    orders = ordered_runs(5, 2, 1)  # the last batch has one sample: 5! / 2! / 2! partitions
    assert len(orders) >= 30
    assert len({orders[shuffled_run(seed, 1, 2, 5)] for seed in range(500)}) >= 30


def test_every_epoch_draws_a_new_order():
    orders = ordered_runs(3, 1, 3)
    drawn = [orders[shuffled_run(seed, epochs=3, n_samples=3)] for seed in range(300)]
    assert len(set(drawn)) > 140  # of 216
    for one, other in itertools.combinations(range(3), 2):
        same = sum(choice[one] == choice[other] for choice in drawn)
        assert 20 <= same <= 90  # a sixth of 300 is 50


def test_one_batch_of_all_samples_is_always_whole():
    # The order within a batch changes the order of the additions, which may show in the bits.
    orders = ordered_runs(4, 4, 1)
    assert 1 < len(orders) < 24
    assert {shuffled_run(seed, 1, None, 4) for seed in range(50)} <= set(orders)


def test_many_samples_are_used_once_each_in_every_epoch():
    # One-hot samples: sample i moves row i of the weights, by learning_rate * error with errors
    # near 1, and the learning rate is so small that the errors stay there. Twice would be 2.
    n_samples, rate = 1000, 2.0**-30
    W, B = [np.full((n_samples, 1), 1.0)], [np.zeros((1, 1))]
    train(
        np.eye(n_samples),
        np.array(0.0),
        W,
        B,
        epochs=3,
        learning_rate=rate,
        activation="relu",
        batch_size=1,
        shuffle=True,
        seed=1,
    )
    used = (1.0 - W[0]) / rate
    assert np.abs(used - 3).max() < 1e-3


def test_the_same_seed_shuffles_alike_and_another_differently():
    runs = [shuffled_run(seed, epochs=2, n_samples=50) for seed in range(40)]
    assert len(set(runs)) == 40
    assert runs == [shuffled_run(seed, epochs=2, n_samples=50) for seed in range(40)]
    assert len({shuffled_run(None, epochs=2, n_samples=50) for _ in range(10)}) == 10


def test_the_seed_is_nothing_without_shuffling():
    X, Y, start_W, start_B = strategies.arrays((2, 3, 1), 6, "float64", 1)
    results = []
    for options in ({}, {"seed": 1}, {"seed": 2}, {"shuffle": False, "seed": 1}):
        W, B = copies(start_W), copies(start_B)
        train(X, Y, W, B, epochs=3, batch_size=2, **options)
        results.append(digest(W, B))
    assert len(set(results)) == 1


def test_an_order_that_repeats_a_sample_would_be_seen():
    X, Y, W, B = strategies.arrays((2, 3, 1), 4, "float64", 1)
    rows = [0, 1, 1, 3]
    train(X[rows], Y[rows], W, B, epochs=1, batch_size=1)
    assert digest(W, B) not in ordered_runs(4, 1, 1)
