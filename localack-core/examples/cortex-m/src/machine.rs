//! What the programs need of the machine, by semihosting and below the compiler. The only `unsafe` code
//! around the core is here.

#![allow(dead_code, reason = "each program uses a part of it")]

use cortex_m::register::msp;
use cortex_m_semihosting::{debug, syscall};

/// A file of the host's, read from its beginning.
pub(crate) struct Input {
    handle: usize,
}

impl Input {
    /// Opens the file; `None` if there is none.
    pub(crate) fn open(name: &core::ffi::CStr) -> Option<Self> {
        /// `fopen`'s "rb".
        const BINARY: usize = 1;
        let length = name.count_bytes();
        // SAFETY: the host reads a name of this length, and the zero behind it.
        let handle = unsafe { syscall!(OPEN, name.as_ptr(), BINARY, length) };
        (handle != usize::MAX).then_some(Self { handle })
    }

    /// Fills `buffer` as far as there is something; answers how many octets it got.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let (start, length) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: the host writes at most `length` octets, all inside the buffer, which is borrowed.
        let missing = unsafe { syscall!(READ, self.handle, start, length) };
        length.saturating_sub(missing)
    }
}

/// Ends the program.
pub(crate) fn exit(well: bool) -> ! {
    debug::exit(if well {
        debug::EXIT_SUCCESS
    } else {
        debug::EXIT_FAILURE
    });
    loop {
        cortex_m::asm::nop();
    }
}

/// Octets of stack that [`deepest`] watches.
const WATCHED: usize = 8 * 1024;
const PAINT: u32 = 0xa5c3_965a;

/// Runs `job`, which must not be inlined, and raises `mark` to the octets of stack that it took.
#[inline(never)]
pub(crate) fn deepest<R>(mark: &mut usize, job: impl FnOnce() -> R) -> R {
    let top = msp::read() as usize & !3;
    let bottom = top - WATCHED;
    for at in (bottom..top).step_by(4) {
        // SAFETY: below the stack pointer there is nothing but room, there are no interrupts, and this
        // function calls nobody while it paints.
        unsafe { (at as *mut u32).write_volatile(PAINT) };
    }
    let result = job();
    let painted = |&at: &usize| {
        // SAFETY: as above; what the job has left there is read as plain words.
        let word = unsafe { (at as *const u32).read_volatile() };
        word != PAINT
    };
    let reached = (bottom..top).step_by(4).find(painted).unwrap_or(top);
    *mark = (*mark).max(top - reached);
    result
}
