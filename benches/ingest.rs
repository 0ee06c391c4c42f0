//! The cases of the figures for developers' comparisons, with `--save-baseline` and `--baseline`. Times per
//! unit of the case; the floors are measured too, once. The binary `figures` measures them beside each
//! other.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use core::time::Duration;
use std::time::Instant;

use benches::figures::{Floor, Task};
use benches::load::cases::every::{every, with};
use benches::load::{Case, PAYLOAD};
use criterion::{Criterion, criterion_group, criterion_main};

fn bench(c: &mut Criterion, name: &str, case: &mut dyn Case) {
    c.bench_function(name, |b| {
        b.iter_custom(|wanted| {
            let (mut done, mut time) = (0, Duration::ZERO);
            while done < wanted {
                case.prepare();
                #[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
                let began = Instant::now();
                done += u64::from(case.run());
                time += began.elapsed();
                case.check().expect("it is what it is called");
            }
            // Batches are whole.
            time.mul_f64(wanted as f64 / done as f64)
        });
    });
}

fn floors(c: &mut Criterion) {
    for (name, task) in [
        ("floor/checksum", Task::Checksum),
        ("floor/copy", Task::Copy),
        ("floor/copy-and-checksum", Task::CopyAndChecksum),
    ] {
        bench(c, name, &mut Floor::in_cache(task, PAYLOAD));
    }
}

fn cases(c: &mut Criterion) {
    for name in every() {
        with(name, |case| bench(c, name, case)).expect("it starts");
    }
}

criterion_group!(benches, floors, cases);
criterion_main!(benches);
