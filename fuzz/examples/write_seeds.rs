//! Writes the seeds of all targets to `fuzz/corpus`.

use std::fs;
use std::path::Path;

use localack_fuzz::TARGETS;
use localack_fuzz::seeds::seeds;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, _) in TARGETS {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (name, octets) in seeds(target) {
            fs::write(folder.join(name), octets)?;
        }
    }
    Ok(())
}
