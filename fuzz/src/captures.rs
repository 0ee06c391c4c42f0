//! Captures written by hand: seeds of the target that reads captures.

/// Adds a number in the byte order of the file.
fn put32(file: &mut Vec<u8>, big: bool, number: u32) {
    file.extend(if big {
        number.to_be_bytes()
    } else {
        number.to_le_bytes()
    });
}

fn put16(file: &mut Vec<u8>, big: bool, number: u16) {
    file.extend(if big {
        number.to_be_bytes()
    } else {
        number.to_le_bytes()
    });
}

/// A classic capture of `frames`.
fn classic(big: bool, magic: u32, link: u32, frames: &[&[u8]]) -> Vec<u8> {
    let mut file = Vec::new();
    put32(&mut file, big, magic);
    put16(&mut file, big, 2);
    put16(&mut file, big, 4);
    for word in [0, 0, 65_535, link] {
        put32(&mut file, big, word);
    }
    for (second, frame) in (1..).zip(frames) {
        let length = u32::try_from(frame.len()).expect("short");
        for word in [second, 7, length, length + 4] {
            put32(&mut file, big, word);
        }
        file.extend(*frame);
    }
    file
}

/// A pcapng block.
fn block(file: &mut Vec<u8>, big: bool, kind: u32, body: &[u8]) {
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = u32::try_from(12 + body.len() + padding).expect("short");
    put32(file, big, kind);
    put32(file, big, length);
    file.extend(body);
    file.extend(vec![0; padding]);
    put32(file, big, length);
}

fn section(file: &mut Vec<u8>, big: bool) {
    let mut body = Vec::new();
    put32(&mut body, big, 0x1a2b_3c4d);
    put16(&mut body, big, 1);
    put16(&mut body, big, 0);
    body.extend([0xff; 8]);
    block(file, big, 0x0a0d_0d0a, &body);
}

/// An interface, whose clock ticks `resolution` to the second if it says so.
fn interface(file: &mut Vec<u8>, big: bool, link: u16, resolution: Option<u8>) {
    let mut body = Vec::new();
    put16(&mut body, big, link);
    put16(&mut body, big, 0);
    put32(&mut body, big, 100);
    if let Some(resolution) = resolution {
        put16(&mut body, big, 9);
        put16(&mut body, big, 1);
        body.extend([resolution, 0, 0, 0]);
        // Seconds to be added.
        put16(&mut body, big, 14);
        put16(&mut body, big, 8);
        body.extend([0; 7]);
        body.push(1);
        put32(&mut body, big, 0);
    }
    block(file, big, 1, &body);
}

fn enhanced(file: &mut Vec<u8>, big: bool, interface: u32, frame: &[u8]) {
    let mut body = Vec::new();
    let length = u32::try_from(frame.len()).expect("short");
    for word in [interface, 5, 9, length, length + 10] {
        put32(&mut body, big, word);
    }
    body.extend(frame);
    block(file, big, 6, &body);
}

fn simple(file: &mut Vec<u8>, big: bool, frame: &[u8]) {
    let mut body = Vec::new();
    put32(
        &mut body,
        big,
        u32::try_from(frame.len()).expect("short") + 10,
    );
    body.extend(frame);
    block(file, big, 3, &body);
}

/// The obsolete packet block.
fn obsolete(file: &mut Vec<u8>, big: bool, interface: u16, frame: &[u8]) {
    let mut body = Vec::new();
    put16(&mut body, big, interface);
    put16(&mut body, big, 0);
    let length = u32::try_from(frame.len()).expect("short");
    for word in [5, 9, length, length] {
        put32(&mut body, big, word);
    }
    body.extend(frame);
    block(file, big, 2, &body);
}

/// Small captures of all kinds, some of them damaged.
pub(crate) fn captures() -> Vec<(String, Vec<u8>)> {
    const IPV4: &[u8] = &[
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 203, 0, 113, 1, 0x9c, 0x40, 1,
        0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0,
    ];
    let mut seeds = Vec::new();
    for (big, order) in [(false, "little"), (true, "big")] {
        let frames: [&[u8]; 3] = [IPV4, &[], &IPV4[..21]];
        for (magic, clock) in [(0xa1b2_c3d4, "microseconds"), (0xa1b2_3c4d, "nanoseconds")] {
            let file = classic(big, magic, 101, &frames);
            seeds.push((format!("classic-{order}-{clock}"), file));
        }
        let mut file = Vec::new();
        section(&mut file, big);
        interface(&mut file, big, 101, None);
        interface(&mut file, big, 1, Some(9));
        enhanced(&mut file, big, 0, &IPV4[..20]);
        simple(&mut file, big, &IPV4[..3]);
        // A name resolution block: nothing to do with frames.
        block(&mut file, big, 4, &[0; 4]);
        enhanced(&mut file, big, 1, &IPV4[..14]);
        obsolete(&mut file, big, 0, &IPV4[..20]);
        seeds.push((format!("blocks-{order}"), file.clone()));
        // Another section with the other byte order, whose interfaces are counted anew.
        section(&mut file, !big);
        interface(&mut file, !big, 228, Some(0x8a));
        enhanced(&mut file, !big, 0, &IPV4[..20]);
        seeds.push((format!("sections-{order}"), file.clone()));
        // No such interface.
        enhanced(&mut file, !big, 1, &IPV4[..20]);
        seeds.push((format!("no-interface-{order}"), file.clone()));
        file.truncate(file.len() - 7);
        seeds.push((format!("cut-{order}"), file));
        let mut long = classic(big, 0xa1b2_c3d4, 101, &frames);
        // The second record says that it is longer than the file.
        let place = 24 + 16 + IPV4.len() + 8 + if big { 2 } else { 1 };
        long[place] = 0x77;
        seeds.push((format!("too-long-{order}"), long));
    }
    let mut ends = Vec::new();
    section(&mut ends, false);
    interface(&mut ends, false, 101, None);
    enhanced(&mut ends, false, 0, IPV4);
    // The length at the end of a block is not the one at its beginning.
    *ends.last_mut().expect("a block") = 1;
    seeds.push(("lengths-differ".to_owned(), ends));
    seeds.push((
        "magic-alone".to_owned(),
        0xa1b2_c3d4_u32.to_le_bytes().to_vec(),
    ));
    seeds
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use localack_pcap::source::{CutReason, Source};

    use super::*;

    #[test]
    fn captures_are_read_as_far_as_they_are_whole() {
        let whole = [("classic-", 3), ("blocks-", 4), ("sections-", 5)];
        let damaged = [
            ("no-interface-", 5, CutReason::Damaged),
            ("cut-", 5, CutReason::Truncated),
            ("too-long-", 1, CutReason::Truncated),
            ("lengths-differ", 0, CutReason::Damaged),
        ];
        for (name, octets) in captures() {
            let Ok(mut source) = Source::new(Cursor::new(octets)) else {
                assert_eq!(name, "magic-alone");
                continue;
            };
            let mut frames = 0;
            while source.next_frame().is_some() {
                frames += 1;
            }
            let cut = source.cut().map(|cut| cut.reason);
            let expected = whole.iter().map(|&(kind, frames)| (kind, frames, None));
            let damaged = damaged
                .iter()
                .map(|&(kind, frames, reason)| (kind, frames, Some(reason)));
            let (_, most, reason) = expected
                .chain(damaged)
                .find(|(kind, ..)| name.starts_with(kind))
                .expect("every seed is of a kind");
            assert_eq!((frames, cut), (most, reason), "{name}");
        }
    }
}
