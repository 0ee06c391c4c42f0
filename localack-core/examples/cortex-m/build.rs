//! Tells the linker where the machine's memory is, and what defmt needs.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo::rustc-link-search={here}");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    if std::env::var_os("CARGO_FEATURE_FIRMWARE").is_some() {
        println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
        // Without it defmt leaves everything out but errors.
        println!("cargo::rustc-env=DEFMT_LOG=info");
    }
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rerun-if-changed=build.rs");
}
