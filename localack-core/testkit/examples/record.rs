//! `record SCRIPTS OUT EVERY`: writes what the scripts of a folder do to an engine, each in one of `EVERY`
//! of its variants (1: in all of them, which takes 800 MB).
//! `localack-core/examples/cortex-m` replays it on a machine of 32 bits.

use std::fs::{self, File};
use std::io::{BufWriter, Error, Write};

use localack_testkit::script::record;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let usage = || Error::other("usage: record SCRIPTS OUT EVERY");
    let mut next = || arguments.next().ok_or_else(usage);
    let (scripts, out) = (next()?, next()?);
    let every = next()?.parse().map_err(Error::other)?;
    let mut out = BufWriter::new(File::create(out)?);
    let mut paths = fs::read_dir(scripts)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, Error>>()?;
    paths.sort();
    let (mut files, mut turn, mut runs, mut octets, mut fault) = (0, 0, 0, 0, Ok(()));
    for path in paths {
        if path
            .extension()
            .is_none_or(|extension| extension != "script")
        {
            continue;
        }
        files += 1;
        let text = fs::read_to_string(&path)?;
        record(&text, every, &mut turn, &mut |trace| {
            runs += 1;
            octets += trace.len();
            if fault.is_ok() {
                fault = out.write_all(&trace);
            }
        });
        fault?;
        fault = Ok(());
    }
    if runs == 0 {
        return Err(Error::other("no scripts"));
    }
    println!("recorded {runs} runs of {turn} scripts in {files} files, {octets} octets");
    out.flush()
}
