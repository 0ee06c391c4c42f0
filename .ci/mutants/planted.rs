//! Which mutant lives in this process. Copied into a copy of the core by `plant.py`; never part of the crate.
//!
//! `LOCALACK_MUTANT` is its number. `LOCALACK_REACHED` is a file with an octet for each mutant, in which those that
//! the process comes by are marked.
extern crate std;

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::boxed::Box;
use std::os::fd::AsRawFd;

unsafe extern "C" {
    fn mmap(at: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    fn _exit(status: c_int) -> !;
}

static LIVING: AtomicU32 = AtomicU32::new(u32::MAX);
static REACHED: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    if let Some(number) = std::env::var("LOCALACK_MUTANT").ok().and_then(|number| number.parse().ok()) {
        LIVING.store(number, Ordering::Relaxed);
    }
    if let Ok(path) = std::env::var("LOCALACK_REACHED") {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let len = file.metadata().unwrap().len() as usize;
        // Shared, so that the marks outlive a process that is killed. Read and write; shared.
        let marks = unsafe { mmap(core::ptr::null_mut(), len, 3, 1, file.as_raw_fd(), 0) };
        assert!(marks.addr() != usize::MAX);
        REACHED.store(marks.cast(), Ordering::Relaxed);
    }
    // The first failure decides; nothing is to be shrunk and no other test to be run.
    std::panic::set_hook(Box::new(|_| unsafe { _exit(101) }));
}

/// Whether this mutant lives.
pub const fn lives(number: u32) -> bool {
    core::intrinsics::const_eval_select((number,), never, lives_now)
}

const fn never(_: u32) -> bool {
    false
}

#[inline]
fn lives_now(number: u32) -> bool {
    let marks = REACHED.load(Ordering::Relaxed);
    if !marks.is_null() {
        unsafe { marks.add(number as usize).write_volatile(1) };
    }
    LIVING.load(Ordering::Relaxed) == number
}
