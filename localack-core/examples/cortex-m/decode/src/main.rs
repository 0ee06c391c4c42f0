//! `decode ELF < FRAMES`: a line for each frame. Fails if there is none, or one that makes no sense.

use std::error::Error;
use std::io::{Read, stdin};

use defmt_decoder::{DecodeError, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: decode ELF < FRAMES")?;
    let table = Table::parse(&std::fs::read(path)?)?.ok_or("no defmt strings in the file")?;
    let mut octets = Vec::new();
    stdin().read_to_end(&mut octets)?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(&octets);
    let mut frames = 0;
    loop {
        match decoder.decode() {
            Ok(frame) => println!("{}", frame.display(false)),
            Err(DecodeError::UnexpectedEof) => break,
            Err(DecodeError::Malformed) => return Err("a malformed frame".into()),
        }
        frames += 1;
    }
    if frames == 0 {
        return Err("no frames".into());
    }
    Ok(())
}
