//! `include/localack.h` is what this crate says. `LOCALACK_BLESS=1 cargo test` writes it anew.
#![allow(
    clippy::expect_used,
    reason = "a test, outside of the function that it is in"
)]

use std::path::Path;

use cbindgen::{Builder, Config, Language, Style};

/// Names in Rust, and in C.
const NAMES: [(&str, &str); 18] = [
    ("Handle", "localack_engine"),
    ("Settings", "localack_settings"),
    ("Serving", "localack_serving"),
    ("Rule", "localack_rule"),
    ("Arrangement", "localack_arrangement"),
    ("Callbacks", "localack_callbacks"),
    ("Names", "localack_names"),
    ("Meta", "localack_meta"),
    ("Verdict", "localack_verdict"),
    ("Packet", "localack_packet"),
    ("PacketInfo", "localack_packet_info"),
    ("Part", "localack_part"),
    ("News", "localack_news"),
    ("FlowView", "localack_flow_view"),
    ("DirectionState", "localack_direction_state"),
    ("Custody", "localack_custody"),
    ("Lost", "localack_lost"),
    ("CounterView", "localack_counter_view"),
];

fn header(root: &Path) -> String {
    let mut config = Config {
        language: Language::C,
        style: Style::Tag,
        pragma_once: false,
        include_guard: Some("LOCALACK_H".to_owned()),
        no_includes: true,
        header: Some(
            "/* A TCP local-acknowledgement engine: packets in, packets out, time passed in.\n * \
             SPDX-License-Identifier: MIT OR Apache-2.0\n *\n * \
             Made by cbindgen of localack-kmod/ffi/src; do not edit.\n *\n * \
             Lend an engine memory (localack_memory_size, localack_engine_new). For each IP packet call\n * \
             localack_ingest, do what the verdict says, and call localack_poll until it has no more to do; and\n * \
             again when localack_next_due says. Packets that the engine makes go to the callback `transmit`.\n * \
             Calls with one engine must not overlap; callbacks must not use the engine that calls them. Nothing\n * \
             here allocates, blocks, reads a clock or uses floating point. */"
                .to_owned(),
        ),
        after_includes: Some(
            "#ifdef __KERNEL__\n#include <linux/types.h>\n#else\n#include <stdbool.h>\n\
             #include <stddef.h>\n#include <stdint.h>\n#endif"
                .to_owned(),
        ),
        ..Config::default()
    };
    config.usize_is_size_t = true;
    config.documentation = true;
    config.cpp_compat = true;
    config.export.exclude = vec!["localack_can_panic".to_owned()];
    for (rust, c) in NAMES {
        config.export.rename.insert(rust.to_owned(), c.to_owned());
    }
    let mut text = Vec::new();
    let builder = Builder::new().with_config(config);
    let sources = ["src/abi.rs", "src/output.rs", "src/boundary.rs"];
    sources
        .iter()
        .fold(builder, |builder, source| {
            builder.with_src(root.join(source))
        })
        .generate()
        .expect("the sources can be read")
        .write(&mut text);
    let text = String::from_utf8(text).expect("it is text");
    // What Rust asks of those who call it is said once, at the top of the header.
    let mut lines = Vec::new();
    let mut in_safety = false;
    for line in text.lines() {
        in_safety = (in_safety || line.trim() == "* # Safety") && line.trim() != "*/";
        if !in_safety {
            lines.push(line);
        }
    }
    lines.join("\n").replace(" *\n */", " */") + "\n"
}

#[test]
fn the_header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("include/localack.h");
    let made = header(root);
    if std::env::var_os("LOCALACK_BLESS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        made == there,
        "include/localack.h is not what the sources say; LOCALACK_BLESS=1 writes it"
    );
}
