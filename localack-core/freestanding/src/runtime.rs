//! What an operating system, a C library and the standard library would otherwise provide, for
//! Linux on x86-64. The only `unsafe` code around the core is here.

use core::arch::{asm, naked_asm};

/// Where the kernel starts the program: the stack is aligned as a call would leave it, and then
/// Rust begins.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _start() -> ! {
    naked_asm!("xor ebp, ebp", "and rsp, -16", "call {main}", "ud2", main = sym crate::main)
}

/// Writes `text` to the standard output.
pub(crate) fn print(text: &str) {
    // SAFETY: write(1, pointer, length) only reads the octets of `text`; the kernel overwrites rcx
    // and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") 1_usize => _,
            in("rdi") 1_usize,
            in("rsi") text.as_ptr(),
            in("rdx") text.len(),
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
}

/// Ends the program.
pub(crate) fn exit(code: u8) -> ! {
    // SAFETY: exit(code) does not return.
    unsafe {
        asm!("syscall", in("rax") 60_usize, in("rdi") usize::from(code), options(noreturn, nostack));
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    print("freestanding: panic\n");
    exit(101)
}

/// A debug build of the prebuilt `core` refers to it although nothing unwinds.
#[cfg(debug_assertions)]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// The memory functions that the compiler calls. String instructions, so that the compiler cannot
/// turn their loops into calls of themselves.
mod memory {
    use core::arch::asm;

    // SAFETY (of all five): the caller keeps the contract of the C function of that name. Each
    // touches exactly `len` octets behind its pointers; the direction flag is clear on entry by
    // the calling convention, and clear again at the end.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        unsafe {
            asm!(
                "rep movsb",
                inout("rcx") len => _,
                inout("rdi") to => _,
                inout("rsi") from => _,
                options(nostack, preserves_flags),
            );
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        if to.addr().wrapping_sub(from.addr()) >= len {
            return unsafe { memcpy(to, from, len) };
        }
        // The target overlaps the source from behind: copy from the end.
        unsafe {
            asm!(
                "std",
                "rep movsb",
                "cld",
                inout("rcx") len => _,
                inout("rdi") to.wrapping_add(len).wrapping_sub(1) => _,
                inout("rsi") from.wrapping_add(len).wrapping_sub(1) => _,
                options(nostack),
            );
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, octet: i32, len: usize) -> *mut u8 {
        unsafe {
            asm!(
                "rep stosb",
                inout("rcx") len => _,
                inout("rdi") to => _,
                in("eax") octet,
                options(nostack, preserves_flags),
            );
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
        for at in 0..len {
            let (a, b) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
            if a != b {
                return i32::from(a) - i32::from(b);
            }
        }
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
        unsafe { memcmp(a, b, len) }
    }
}
