//! What one packet costs, beside the least it could cost.
//!
//! - `pass`: a full segment of a connection that the engine does not serve.
//! - `pure-ack`: an acknowledgement of the sender that is ahead of the receiver, edited in place.
//! - `data`: a cycle of in-order data: a full segment in, its local acknowledgement out, and its
//!   receiver's acknowledgement in.
//!
//! The floors, measured in the same run: adding up a payload (what a verifying forwarder must do),
//! adding up and copying it in one pass with the core's own loop, and the same as two passes of
//! the standard library's copy and the core's sum.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use core::hint::black_box;
use core::time::Duration;

use benches::{Conversation, Gateway, PAYLOAD};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use localack_core::Port;
use localack_core::wire::Sum;
use localack_testkit::memory::Memory;

/// Memory as a small gateway would lend it: 1,024 flows, 4,096 blocks.
fn memory() -> Memory {
    Memory::new(1024, 4096, 1536)
}

/// Packets made ready at a time: few enough to stay in a cache, as they do behind a real receive
/// ring, and the same for the floors.
const BATCH: BatchSize = BatchSize::NumIterations(64);

/// Octets of headers before the payload of [`Conversation::data`].
const HEADERS: usize = 52;

fn floors(c: &mut Criterion) {
    let mut group = c.benchmark_group("floor");
    group.throughput(Throughput::Bytes(PAYLOAD as u64));
    let mut conversation = Conversation::new();
    let mut target = [0; PAYLOAD];
    group.bench_function("checksum", |b| {
        b.iter_batched_ref(
            || conversation.data(),
            |packet| {
                let mut sum = Sum::new();
                sum.add_bytes(black_box(&packet[HEADERS..]));
                sum.fold()
            },
            BATCH,
        );
    });
    group.bench_function("checksum-and-copy", |b| {
        b.iter_batched_ref(
            || conversation.data(),
            |packet| {
                let mut sum = Sum::new();
                sum.copy_bytes(black_box(&mut target), black_box(&packet[HEADERS..]));
                sum.fold()
            },
            BATCH,
        );
    });
    group.bench_function("copy-then-checksum", |b| {
        b.iter_batched_ref(
            || conversation.data(),
            |packet| {
                black_box(&mut target).copy_from_slice(black_box(&packet[HEADERS..]));
                let mut sum = Sum::new();
                sum.add_bytes(black_box(&target));
                sum.fold()
            },
            BATCH,
        );
    });
    group.finish();
}

fn pass(c: &mut Criterion) {
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Bytes(PAYLOAD as u64));
    let mut memory = memory();
    let mut gateway = Gateway::new(memory.storage());
    let mut conversation = Conversation::new();
    group.bench_function("pass", |b| {
        b.iter_batched_ref(
            || conversation.data(),
            |packet| gateway.carry(Port::Inner, packet),
            BATCH,
        );
    });
    group.finish();
}

fn pure_ack(c: &mut Criterion) {
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements(1));
    let mut memory = memory();
    let mut gateway = Gateway::new(memory.storage());
    let mut conversation = Conversation::new();
    gateway.open(&conversation);
    // More than the congestion window lets out, so that the sender is ahead of the receiver.
    for _ in 0..20 {
        let _ = gateway.carry(Port::Inner, &mut conversation.data());
    }
    // Time stands still, or the data would be sent again, and at last given up.
    gateway.tick = Duration::ZERO;
    group.bench_function("pure-ack", |b| {
        b.iter_batched_ref(
            || conversation.pure_ack(),
            |packet| gateway.carry(Port::Inner, packet),
            BATCH,
        );
    });
    group.finish();
}

fn data(c: &mut Criterion) {
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Bytes(PAYLOAD as u64));
    let mut memory = memory();
    let mut gateway = Gateway::new(memory.storage());
    let mut conversation = Conversation::new();
    gateway.open(&conversation);
    group.bench_function("data", |b| {
        b.iter_batched_ref(
            || (conversation.data(), conversation.remote_ack()),
            |(data, ack)| {
                (
                    gateway.carry(Port::Inner, data),
                    gateway.carry(Port::Outer, ack),
                )
            },
            BATCH,
        );
    });
    group.finish();
}

criterion_group!(benches, floors, pass, pure_ack, data);
criterion_main!(benches);
