//! The thread team and what a round may write: each job once, parts that have nothing in common.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ironprop::parallel::{self, Alone, Part, Partition};

#[test]
fn a_round_hands_out_each_job_once() {
    for threads in [1, 2, 3, 8] {
        for n_jobs in 0..20 {
            for _ in 0..50 {
                let times: Vec<_> = (0..n_jobs).map(|_| AtomicUsize::new(0)).collect();
                let calls: Vec<_> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
                parallel::run(threads, n_jobs, |thread, jobs| {
                    calls[thread].fetch_add(1, Ordering::Relaxed);
                    for job in jobs {
                        times[job].fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert!(times.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{threads} threads, {n_jobs} jobs");
                assert!(calls.iter().all(|n| n.load(Ordering::Relaxed) <= 1), "a thread is called twice");
                assert_eq!(calls[0].load(Ordering::Relaxed), 1, "the caller takes part");
            }
        }
    }
}

#[test]
fn after_a_panic_in_any_job_the_next_round_is_whole() {
    for bad in 0..5 {
        let round = || {
            parallel::run(3, 5, |_, jobs| {
                for job in jobs {
                    assert!(job != bad, "planted");
                }
            });
        };
        assert!(catch_unwind(round).is_err(), "the panic of job {bad} reaches the caller");
        let done = AtomicUsize::new(0);
        parallel::run(3, 5, |_, jobs| {
            done.fetch_add(jobs.count(), Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 5);
    }
}

#[test]
fn a_round_inside_a_round_is_done_by_its_caller() {
    let done = AtomicUsize::new(0);
    parallel::run(2, 4, |_, jobs| {
        for _ in jobs {
            parallel::run(2, 4, |thread, jobs| {
                assert_eq!(thread, 0);
                done.fetch_add(jobs.count(), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(done.into_inner(), 16);
}

#[test]
fn parts_that_share_a_number_are_refused() {
    let columns = |columns, rows| Part::columns(columns, rows, 10);
    let overlap = |a: &Part, b: &Part| {
        let parts = [[a.clone()], [b.clone()]];
        let swapped = [[b.clone()], [a.clone()]];
        let [one, other] =
            [parts, swapped].map(|parts| catch_unwind(AssertUnwindSafe(|| Partition::new(parts))).is_err());
        assert_eq!(one, other, "the order of {a:?} and {b:?}");
        one
    };
    assert!(!overlap(&columns(0..4, 3), &columns(4..10, 3)));
    assert!(!overlap(&columns(0..4, 3), &columns(4..10, 3).after(10)));
    assert!(!overlap(&columns(0..4, 3), &columns(0..4, 3).after(30)));
    assert!(!overlap(&columns(0..0, 3), &columns(0..4, 3)));
    assert!(overlap(&columns(0..5, 3), &columns(4..10, 3)));
    assert!(overlap(&columns(0..5, 3), &columns(4..10, 3).after(20)), "in the last row");
    assert!(overlap(&columns(0..4, 3), &columns(8..10, 3).after(3)), "the next row begins inside");
    assert!(overlap(&columns(2..6, 2), &Part::from(8..13)), "another stride");
    assert!(overlap(&Part::from(0..5), &Part::from(4..6)));
    assert!(!overlap(&Part::from(0..5), &Part::from(5..6)));
    assert!(catch_unwind(|| Partition::new([[columns(0..11, 2)]])).is_err(), "rows that overlap each other");
    let far = [[columns(0..2, 9)], [columns(4..6, 1)], [columns(1..2, 1).after(70)]];
    assert!(
        catch_unwind(AssertUnwindSafe(|| Partition::new(far))).is_err(),
        "another part lies between them in the order"
    );
}

#[test]
fn a_part_that_goes_farther_than_any_slice_is_refused() {
    let far: [fn() -> Part; 4] = [
        || Part::columns(0..1, 3, 1 << (usize::BITS - 1)),
        || Part::columns(0..1, usize::MAX, 4),
        || Part::columns(0..4, 1, 4).after(usize::MAX - 1),
        || Part::columns(1..2, 1, 4).after(usize::MAX),
    ];
    for part in far {
        let panic = catch_unwind(|| Partition::new([[part()]])).expect_err("its end wraps");
        let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        assert!(text.is_some_and(|text| text.contains("no slice goes as far")), "{text:?}");
    }
}

#[test]
fn jobs_write_columns_of_the_same_rows_and_nothing_else() {
    let (rows, stride) = (7, 10);
    let shares = [0..3, 3..4, 4..8];
    let mut partition =
        Partition::new(shares.iter().map(|share| [Part::columns(share.clone(), rows, stride).after(2)]));
    let mut numbers = vec![0; 2 + rows * stride];
    for round in 1..=50 {
        let parts = partition.split(&mut numbers);
        parallel::run(3, shares.len(), |_, jobs| {
            for job in jobs {
                let mut part = parts.take(job);
                let mut matrix = part.matrix_mut(0);
                assert_eq!((matrix.rows(), matrix.columns()), (rows, shares[job].len()));
                for row in 0..rows {
                    matrix.row_mut(row).fill(round * 10 + job);
                }
            }
        });
        for (i, number) in numbers.iter().enumerate() {
            let owner = i.checked_sub(2).and_then(|i| shares.iter().position(|share| share.contains(&(i % stride))));
            assert_eq!(*number, owner.map_or(0, |job| round * 10 + job), "number {i}");
        }
    }
}

#[test]
fn a_part_with_gaps_is_no_slice() {
    let mut partition = Partition::new([[Part::columns(0..3, 2, 5)]]);
    let mut numbers = vec![0; 10];
    let parts = partition.split(&mut numbers);
    let mut part = parts.take(0);
    assert!(catch_unwind(AssertUnwindSafe(|| part.get(0).len())).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| part.get_mut(0).len())).is_err());
    let whole = catch_unwind(AssertUnwindSafe(|| part.matrix_mut(0).into_data().len()));
    assert!(whole.is_err(), "what lies between the rows belongs to others");
}

#[test]
fn a_jobs_parts_are_taken_once_in_a_round() {
    let mut partition = Partition::new([0..3, 3..5].map(|range| [Part::from(range)]));
    let mut numbers = vec![0; 5];
    for _ in 0..2 {
        let parts = partition.split(&mut numbers);
        let _first = parts.take(0);
        assert!(catch_unwind(AssertUnwindSafe(|| parts.take(0).get(0).len())).is_err());
        assert_eq!(parts.take(1).get(0).len(), 2);
    }
}

/// Rounds of a millisecond, `idle` apart, with a stall of four after every so many of them; how many of the last thousand rounds the
/// caller did alone.
fn alone(rounds_to_a_stall: usize, idle: u64) -> usize {
    let (mut alone, mut now, mut count, mut with_workers) = (Alone::default(), Instant::now(), 0, 0);
    for round in 0..3000 {
        now += Duration::from_millis(1 + idle);
        if alone.is_on(|| now) {
            count += usize::from(round >= 2000);
            continue;
        }
        alone.begin(now);
        with_workers += 1;
        if with_workers % rounds_to_a_stall == 0 {
            let waited = Duration::from_millis(4);
            now += waited;
            alone.stall(now, waited);
        }
    }
    count
}

#[test]
fn callers_do_without_workers_that_often_keep_them_waiting_and_only_then() {
    assert_eq!(alone(1000, 0), 0);
    assert_eq!(alone(20, 0), 0, "a stall of 4 ms in 20 costs less than a second thread gains");
    assert!(alone(2, 0) > 900, "a busy neighbour: {}", alone(2, 0));
    assert!(alone(2, 25) > 800, "what passes between the rounds of a slow caller does not count: {}", alone(2, 25));
}
