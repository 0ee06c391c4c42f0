//! The functions that C calls. All pointers come from C, and are believed.
//!
//! # Safety
//! For every function: pointers that are not said to be optional are valid for what the function says it reads
//! or writes, for the time of the call. An engine comes from [`localack_engine_new`], its memory is still lent,
//! no other call with it is under way (callers lock), and the caller is none of its callbacks.

use core::ffi::{CStr, c_char};

use localack_core::wire::{self, Parsed};
use localack_core::{
    FlowId, Instant, PassReason, ShapingId, Storage, TransmitKind, Verdict as CoreVerdict,
};

use crate::abi::{
    Arrangement, Callbacks, CounterView, Custody, FlowView, LOCALACK_ABI, LOCALACK_BAD_ARGUMENT,
    LOCALACK_BAD_MEMORY, LOCALACK_BAD_SETTINGS, LOCALACK_CUBIC, LOCALACK_FULL, LOCALACK_LOCAL_ACK,
    LOCALACK_NO_FLOW, LOCALACK_OK, LOCALACK_PASS, Lost, Meta, Names, PacketInfo, Part, Rule,
    Serving, Settings, Verdict,
};
use crate::control::{self, Surroundings};
use crate::convert;
use crate::output::{Output, Packet};
use crate::plan::{ALIGNMENT, BLOCK, plan};
use crate::report;
use crate::rules::{Ruled, Rules};

/// An engine over lent memory.
#[expect(missing_debug_implementations, reason = "C knows it by its address")]
pub struct Handle {
    engine: Ruled<'static>,
    output: Output,
    around: Surroundings<'static>,
}

/// The version of the interface that the library was built with: `LOCALACK_ABI` of its header.
#[unsafe(no_mangle)]
pub extern "C" fn localack_abi_version() -> u32 {
    LOCALACK_ABI
}

/// Fills in usual settings: 1024 flows with 16 MiB together, and local acknowledgement of data from the inner
/// side. The hash key must still be chosen at random, and `mtu` set.
///
/// # Safety
/// See the module: `settings` is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_settings_default(settings: *mut Settings) {
    let usual = Settings {
        abi: LOCALACK_ABI,
        flows: 1024,
        buffer: 16 << 20,
        mtu: [u16::MAX; 2],
        paths: 256,
        serving: Serving {
            adopt: 1,
            inner_to_outer: LOCALACK_LOCAL_ACK,
            controller: LOCALACK_CUBIC,
            inward_controller: LOCALACK_CUBIC,
            ..Serving::default()
        },
        ..Settings::default()
    };
    // SAFETY: the caller lets us write there.
    unsafe { settings.write(usual) };
}

/// Octets of memory that an engine of these settings needs; 0 if they make no sense.
///
/// # Safety
/// See the module: `settings` is read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_memory_size(settings: *const Settings) -> usize {
    // SAFETY: the caller lets us read there.
    let settings = unsafe { &*settings };
    plan::<Handle>(settings).map_or(0, |plan| plan.end)
}

/// Makes an engine in `memory`, which begins at a multiple of 64 and has `length` octets, at least
/// `localack_memory_size`. It is lent from now on, until the engine is used no more; there is nothing to free.
///
/// Returns `LOCALACK_OK`, `LOCALACK_BAD_SETTINGS` or `LOCALACK_BAD_MEMORY`, and writes to `engine` only when
/// it is the first.
///
/// # Safety
/// See the module. `memory` is used by nobody else as long as the engine is; the callbacks and their context
/// can be called as long.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_engine_new(
    settings: *const Settings,
    callbacks: *const Callbacks,
    memory: *mut u8,
    length: usize,
    engine: *mut *mut Handle,
) -> i32 {
    // SAFETY: the caller lets us read both.
    let (settings, callbacks) = unsafe { (&*settings, *callbacks) };
    let (Some(plan), Some(output)) = (plan::<Handle>(settings), Output::new(callbacks)) else {
        return LOCALACK_BAD_SETTINGS;
    };
    if memory.is_null() || memory.addr().checked_rem(ALIGNMENT) != Some(0) || length < plan.end {
        return LOCALACK_BAD_MEMORY;
    }
    // SAFETY: `plan.end` octets from `memory` on are ours. The three parts do not overlap: each begins where
    // the one before it ends, rounded up. All zeroes are sound rules, and sound octets.
    let (handle, rules, storage) = unsafe {
        memory.write_bytes(0, plan.end);
        let rules: &'static mut Rules = &mut *memory.add(plan.rules).cast();
        let octets = plan.end.saturating_sub(plan.storage);
        let storage: &'static mut [u8] =
            core::slice::from_raw_parts_mut(memory.add(plan.storage), octets);
        (memory.cast::<Handle>(), rules, storage)
    };
    if !rules.serve_rest(&settings.serving) {
        return LOCALACK_BAD_SETTINGS;
    }
    let Ok(storage) = Storage::cut(storage, &plan.geometry) else {
        return LOCALACK_BAD_MEMORY;
    };
    let Ok(made) = Ruled::new(storage, convert::config(settings), rules) else {
        return LOCALACK_BAD_SETTINGS;
    };
    let around = Surroundings {
        devices: [&[]; 2],
        since: Instant::from_micros(settings.now_us),
        draining: false,
        slots: settings.flows,
        blocks: wide(plan.geometry.blocks),
        block: wide(BLOCK),
    };
    // SAFETY: the first part is as large as a handle and aligned for one; nothing that needs dropping is there.
    // The caller lets us write to `engine`.
    unsafe {
        handle.write(Handle {
            engine: made,
            output,
            around,
        });
        engine.write(handle);
    }
    LOCALACK_OK
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Decides about one IP packet of `length` octets that arrived on `side` at `now_us`, in microseconds of a clock
/// that does not go back. Packets that the engine sends meanwhile go to the callback, and leave before it.
/// After it, call `localack_poll` until it has no more to do.
///
/// # Safety
/// See the module: `packet` is read and written, `meta` is read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_ingest(
    engine: *mut Handle,
    side: u8,
    now_us: u64,
    packet: *mut u8,
    length: usize,
    meta: *const Meta,
) -> Verdict {
    // SAFETY: the caller gives us all three for the time of the call, and nobody else uses them meanwhile.
    let (handle, packet, meta) = unsafe {
        (
            &mut *engine,
            core::slice::from_raw_parts_mut(packet, length),
            &*meta,
        )
    };
    let (Some(port), Some(meta)) = (convert::port(side), convert::meta(meta)) else {
        return Verdict {
            kind: LOCALACK_PASS,
            reason: PassReason::Malformed.number(),
            headers: 0,
        };
    };
    let now = Instant::from_micros(now_us);
    let verdict = handle
        .engine
        .ingest(port, now, packet, meta, &mut handle.output);
    let (kind, reason) = convert::verdict(verdict);
    let headers = match verdict {
        CoreVerdict::Forward => headers(packet),
        _ => 0,
    };
    Verdict {
        kind,
        reason,
        headers,
    }
}

/// Octets of headers before the payload.
fn headers(packet: &[u8]) -> u16 {
    match wire::parse_headers(packet) {
        Parsed::Tcp(seg) => seg.payload_offset,
        _ => u16::try_from(packet.len()).unwrap_or(u16::MAX),
    }
}

/// Sends what timers and opened windows allow, at most `budget` packets. Returns `LOCALACK_IDLE`,
/// `LOCALACK_MORE` or `LOCALACK_BLOCKED`.
///
/// # Safety
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_poll(engine: *mut Handle, now_us: u64, budget: usize) -> u8 {
    // SAFETY: the caller gives us the engine for the time of the call.
    let handle = unsafe { &mut *engine };
    let now = Instant::from_micros(now_us);
    convert::poll(handle.engine.poll(now, budget, &mut handle.output))
}

/// When `localack_poll` must be called at the latest; false if nothing waits for time, and then `at_us` stays
/// as it is.
///
/// # Safety
/// See the module: `at_us` is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_next_due(engine: *const Handle, at_us: *mut u64) -> bool {
    // SAFETY: the caller gives us the engine for the time of the call.
    let handle = unsafe { &*engine };
    let Some(at) = handle.engine.next_deadline() else {
        return false;
    };
    // SAFETY: the caller lets us write there.
    unsafe { at_us.write(at.as_micros()) };
    true
}

/// Asks for another service of one direction of a flow. Returns `LOCALACK_OK`, `LOCALACK_NO_FLOW` or
/// `LOCALACK_BAD_ARGUMENT`.
///
/// # Safety
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_set_service(
    engine: *mut Handle,
    flow: u64,
    direction: u8,
    service: u8,
    now_us: u64,
) -> i32 {
    // SAFETY: the caller gives us the engine for the time of the call.
    let handle = unsafe { &mut *engine };
    let (Some(direction), Some(service)) =
        (convert::direction(direction), convert::service(service))
    else {
        return LOCALACK_BAD_ARGUMENT;
    };
    let (flow, now) = (FlowId::from_bits(flow), Instant::from_micros(now_us));
    match handle.engine.set_service(flow, direction, service, now) {
        Ok(()) => LOCALACK_OK,
        Err(_) => LOCALACK_NO_FLOW,
    }
}

/// Lets these rules hold for new connections instead of those before. Returns `LOCALACK_OK`, or
/// `LOCALACK_BAD_ARGUMENT` if there are more than `LOCALACK_MOST_RULES` or one means nothing; then all stay.
///
/// # Safety
/// See the module: `count` rules are read; with none, `rules` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_set_rules(
    engine: *mut Handle,
    rules: *const Rule,
    count: usize,
) -> i32 {
    // SAFETY: the caller gives us the engine for the time of the call, and so many rules to read.
    let (handle, rules) = unsafe {
        let rules = if count == 0 {
            &[]
        } else {
            core::slice::from_raw_parts(rules, count)
        };
        (&mut *engine, rules)
    };
    if handle.engine.policy_mut().replace(rules) {
        LOCALACK_OK
    } else {
        LOCALACK_BAD_ARGUMENT
    }
}

/// Lets new connections that no rule matches be served so. Returns `LOCALACK_OK` or `LOCALACK_BAD_ARGUMENT`.
///
/// # Safety
/// See the module: `serving` is read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_set_serving(engine: *mut Handle, serving: *const Serving) -> i32 {
    // SAFETY: the caller gives us both for the time of the call.
    let (handle, serving) = unsafe { (&mut *engine, &*serving) };
    if handle.engine.policy_mut().serve_rest(serving) {
        LOCALACK_OK
    } else {
        LOCALACK_BAD_ARGUMENT
    }
}

/// Lets an arrangement, 1 to `LOCALACK_ARRANGEMENTS` - 1, mean something else from the next packet on, for every
/// connection that has it. Returns `LOCALACK_OK` or `LOCALACK_BAD_ARGUMENT`.
///
/// # Safety
/// See the module: `arrangement` is read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_set_arrangement(
    engine: *mut Handle,
    number: u8,
    arrangement: *const Arrangement,
    now_us: u64,
) -> i32 {
    // SAFETY: the caller gives us both for the time of the call.
    let (handle, arrangement) = unsafe { (&mut *engine, &*arrangement) };
    let (Some(id), Some(shaping)) = (ShapingId::new(number), convert::shaping(arrangement)) else {
        return LOCALACK_BAD_ARGUMENT;
    };
    let rules = handle.engine.policy_mut();
    if rules.arrange(number, arrangement) {
        let now = Instant::from_micros(now_us);
        handle.engine.set_shaping(id, &shaping, now);
        LOCALACK_OK
    } else {
        LOCALACK_BAD_ARGUMENT
    }
}

/// Hands every flow back to its ends and adopts no new ones, for good: nothing is acknowledged early any more,
/// and once everything in custody is delivered all packets pass. A step per flow slot ever used.
///
/// # Safety
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_drain(engine: *mut Handle, now_us: u64) {
    // SAFETY: the caller gives us the engine for the time of the call.
    let handle = unsafe { &mut *engine };
    handle.engine.drain(Instant::from_micros(now_us));
    handle.around.draining = true;
}

/// Flow slots that were ever in use: looks at flows go from slot 0 to here.
///
/// # Safety
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_slots_used(engine: *const Handle) -> u32 {
    // SAFETY: the caller gives us the engine for the time of the call.
    unsafe { &*engine }.engine.slots_used()
}

/// Blocks of memory that hold octets: zero only if nothing is in custody. Takes no time.
///
/// # Safety
/// See the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_blocks_used(engine: *const Handle) -> u32 {
    // SAFETY: the caller gives us the engine for the time of the call.
    unsafe { &*engine }.engine.blocks_used()
}

/// Adds what `count` slots from `first` on have to `custody`, so that many can be looked at in steps; `held` is
/// that of all.
///
/// # Safety
/// See the module: `custody` is read and written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_custody(
    engine: *const Handle,
    first: u32,
    count: u32,
    custody: *mut Custody,
) {
    // SAFETY: the caller gives us both for the time of the call.
    let (handle, custody) = unsafe { (&*engine, &mut *custody) };
    let slots = first..first.saturating_add(count);
    for flow in handle.engine.flows_in(slots) {
        report::add(custody, &flow);
    }
    custody.held = u64::from(handle.engine.blocks_used()).saturating_mul(wide(BLOCK));
}

/// Finds the flow that a packet of `length` octets belongs to, which arrived on `side` by `link`; false if there is
/// none, and then `flow` stays as it is.
///
/// # Safety
/// See the module: `packet` is read, `flow` is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_find_flow(
    engine: *mut Handle,
    side: u8,
    link: u32,
    packet: *const u8,
    length: usize,
    flow: *mut u64,
) -> bool {
    // SAFETY: the caller gives us both for the time of the call.
    let (handle, packet) = unsafe { (&mut *engine, core::slice::from_raw_parts(packet, length)) };
    let Some(key) = convert::port(side).and_then(|port| convert::key(port, link, packet)) else {
        return false;
    };
    let Some(found) = handle.engine.find_flow(&key) else {
        return false;
    };
    // SAFETY: the caller lets us write there.
    unsafe { flow.write(found.to_bits()) };
    true
}

/// Looks at the flow of one slot; false if there is none, and then `flow` stays as it is.
///
/// # Safety
/// See the module: `flow` is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_flow(
    engine: *const Handle,
    slot: u32,
    flow: *mut FlowView,
) -> bool {
    // SAFETY: the caller gives us the engine for the time of the call.
    let handle = unsafe { &*engine };
    let Some(info) = handle.engine.flows_in(slot..slot.saturating_add(1)).next() else {
        return false;
    };
    // SAFETY: the caller lets us write there.
    unsafe { flow.write(report::view(&info)) };
    true
}

/// Resets the flows of `count` slots from `first` on that owe something, at both ends, and adds what is lost
/// with them to `lost`. Returns `LOCALACK_OK`, or `LOCALACK_FULL` if a packet could not be taken: then the same
/// slots again, later.
///
/// # Safety
/// See the module: `lost` is read and written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_give_up(
    engine: *mut Handle,
    first: u32,
    count: u32,
    now_us: u64,
    lost: *mut Lost,
) -> i32 {
    // SAFETY: the caller gives us both for the time of the call.
    let (handle, lost) = unsafe { (&mut *engine, &mut *lost) };
    let now = Instant::from_micros(now_us);
    let end = first.saturating_add(count).min(handle.engine.slots_used());
    let mut answer = LOCALACK_OK;
    for slot in first..end {
        let found = handle.engine.flows_in(slot..slot.saturating_add(1)).next();
        let Some(flow) = found.filter(report::owes) else {
            continue;
        };
        match handle.engine.give_up(flow.id, now, &mut handle.output) {
            Ok(true) => {
                lost.flows = lost.flows.saturating_add(1);
                lost.octets = lost.octets.saturating_add(report::debt(&flow));
            }
            Ok(false) => answer = LOCALACK_FULL,
            Err(_) => {}
        }
    }
    answer
}

/// The counter number `index`; false beyond the last one, and then `counter` stays as it is.
///
/// # Safety
/// See the module: `counter` is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_counter(
    engine: *const Handle,
    index: usize,
    counter: *mut CounterView,
) -> bool {
    // SAFETY: the caller gives us the engine for the time of the call.
    let handle = unsafe { &*engine };
    let Some((group, name, count)) = handle.engine.counters().iter().nth(index) else {
        return false;
    };
    let view = CounterView {
        group: group.as_ptr().cast(),
        name: name.as_ptr().cast(),
        group_length: group.len(),
        name_length: name.len(),
        count,
    };
    // SAFETY: the caller lets us write there.
    unsafe { counter.write(view) };
    true
}

/// Answers a line of the control protocol, which `localack-tun/docs/control.md` describes: `status`, `flows` (in
/// the order of their slots, 256 at most), `flow`, `stats` and `drain`; `rules` and `set-rules`, which policies are
/// made into; and `reset`, which resets the flows that owe something. Returns the octets of the answer with the end of its line; 0 if it does not fit.
///
/// Takes a step per flow slot ever used.
///
/// # Safety
/// See the module: `length` octets from `line` on are read, as are `names` and the terminated texts there;
/// `room` octets from `answer` on are written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_control(
    engine: *mut Handle,
    now_us: u64,
    names: *const Names,
    line: *const u8,
    length: usize,
    answer: *mut u8,
    room: usize,
) -> usize {
    // SAFETY: the caller gives us all of them for the time of the call, and has written to `answer` before, or
    // got it from somebody who has.
    let (handle, devices, line, answer) = unsafe {
        let Names { inner, outer } = *names;
        (
            &mut *engine,
            [
                CStr::from_ptr(inner).to_bytes(),
                CStr::from_ptr(outer).to_bytes(),
            ],
            core::slice::from_raw_parts(line, length),
            core::slice::from_raw_parts_mut(answer, room),
        )
    };
    let mut around = Surroundings {
        devices,
        ..handle.around
    };
    let now = Instant::from_micros(now_us);
    let Handle { engine, output, .. } = handle;
    let used = control::answer(engine, &mut around, line, answer, now, output);
    handle.around.draining = around.draining;
    used
}

/// What is known of a packet that a callback has got.
///
/// # Safety
/// See the module: `packet` is the one that the callback under way has got, `info` is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_packet_info(packet: *const Packet<'_>, info: *mut PacketInfo) {
    // SAFETY: the packet lives until the callback returns; the caller lets us write to `info`.
    unsafe { info.write((*packet).info) };
}

/// The next part of a packet that a callback has got: first its headers, then its payload, piece by piece. False
/// when there is none, and then `part` stays as it is.
///
/// # Safety
/// See the module: `packet` is the one that the callback under way has got, `part` is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_packet_part(packet: *mut Packet<'_>, part: *mut Part) -> bool {
    // SAFETY: the packet lives until the callback returns, and only the callback uses it.
    let next = unsafe { ((*packet).next)() };
    if next.data.is_null() {
        return false;
    }
    // SAFETY: the caller lets us write there.
    unsafe { part.write(next) };
    true
}

/// A name for what a packet is for, in lower case with hyphens; writes its length. It is not terminated, and
/// null for a number that means nothing.
///
/// # Safety
/// See the module: `length` is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn localack_packet_kind_name(kind: u8, length: *mut usize) -> *const c_char {
    let name = TransmitKind::from_number(kind).map(TransmitKind::slug);
    // SAFETY: the caller lets us write there.
    unsafe { length.write(name.map_or(0, str::len)) };
    name.map_or(core::ptr::null(), |name| name.as_ptr().cast())
}

/// Negative control of the search for panics.
#[cfg(feature = "can-panic")]
#[unsafe(no_mangle)]
#[expect(clippy::indexing_slicing, reason = "it is to be found")]
pub extern "C" fn localack_can_panic(index: usize) -> u8 {
    [1, 2, 3][index]
}
