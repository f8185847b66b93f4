//! Runs one model after another, and prints how much of each was explored.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;

/// Every order of the accesses in `body` that differs in what can be observed, with every value that a load may return;
/// with `preemptions`, only the orders with at most that many preemptions. Within loom's limits: it keeps the last
/// seven stores of an atomic, and treats SeqCst as no more than acquire and release.
pub fn every_order(
    name: &str,
    preemptions: Option<usize>,
    body: impl Fn() + Send + Sync + 'static,
) {
    every_case(name, 0..1, preemptions, Arc::new(move |_| body()));
}

/// As [`every_order`], for each of several cases.
pub fn every_case(
    name: &str,
    cases: Range<usize>,
    preemptions: Option<usize>,
    body: Arc<dyn Fn(usize) + Send + Sync>,
) {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
        return;
    }
    let begun = Instant::now();
    let orders = Arc::new(AtomicUsize::new(0));
    for case in cases {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = preemptions;
        model.max_branches = 100_000;
        let (orders, body) = (orders.clone(), body.clone());
        model.check(move || {
            orders.fetch_add(1, Ordering::Relaxed);
            body(case);
        });
    }
    let bound = preemptions.map_or("all there are".into(), |n| {
        format!("of up to {n} preemptions")
    });
    println!(
        "{name}: {} orders, {bound}, {:.1} s",
        orders.load(Ordering::Relaxed),
        begun.elapsed().as_secs_f32()
    );
}
