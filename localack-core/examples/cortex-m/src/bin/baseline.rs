//! `footprint` without an engine.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use static_cell::ConstStaticCell;

static PACKET: ConstStaticCell<[u8; 600]> = ConstStaticCell::new([0; 600]);

#[entry]
fn main() -> ! {
    if let Some(packet) = PACKET.try_take() {
        loop {
            black_box(&mut packet[..]);
        }
    }
    loop {
        black_box(());
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        black_box(());
    }
}
