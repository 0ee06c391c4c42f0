//! What `localack-pcap what-if` foretells from the capture of a direct upload is what the gateway then
//! does, between real kernels. One path and a wide tolerance: `--bench what_if` has more of them.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/mod.rs"]
mod common;
#[path = "common/foretold.rs"]
mod foretold;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/gateway.rs"]
mod gateway;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/program.rs"]
mod program;
#[path = "common/satellite.rs"]
mod satellite;
#[allow(dead_code, reason = "benches need more of it")]
#[path = "../benches/gateway/stage.rs"]
mod stage;

use foretold::Path;

#[test]
fn an_upload_through_the_gateway_takes_about_as_long_as_what_if_foretells() {
    if !common::privileged() {
        return;
    }
    let path = Path {
        rtt_ms: 200,
        rate_mbit: 10,
        loss: 0.0,
        octets: 1_000_000,
    };
    let found = path.compare(1, None);
    let error = found.error_pct();
    // A machine that has much else to do makes uploads slower than foretold, and never faster.
    assert!((-60.0..40.0).contains(&error), "{error:.0} %: {found:?}");
}
