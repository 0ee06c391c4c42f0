//! Connections that are kept in huge pages.

use std::fs;
use std::net::Shutdown;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use crate::common::privileged;
use crate::content::{receive, send};
use crate::world::{BOTH_WAYS, World, carry_both_ways, number, until};

/// The machine's huge pages of 2 MiB.
const NUMBER: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const FREE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
/// A gateway's 64 MiB of buffers, and what is beside them.
const ENOUGH: u64 = 48;

/// A file system of huge pages, and some for it, as long as this lives.
struct HugePages {
    place: PathBuf,
    /// As many as the machine had before.
    before: u64,
}

impl HugePages {
    fn new() -> Self {
        let place = std::env::temp_dir().join(format!("la-test-huge-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        let pages = Self {
            place,
            before: read(NUMBER),
        };
        let mut mount = Command::new("mount");
        mount.args(["-t", "hugetlbfs", "-o", "pagesize=2M", "none"]);
        assert!(mount.arg(&pages.place).status().unwrap().success());
        pages
    }

    /// Has the machine set aside so many in all.
    fn have(&self, number: u64) {
        fs::write(NUMBER, number.to_string()).unwrap();
        assert_eq!(read(NUMBER), number, "the machine has no room for them");
    }

    /// Leaves none for others.
    fn leave_none(&self) {
        self.have(read(NUMBER) - read(FREE));
        assert_eq!(read(FREE), 0);
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.place).status();
        let _ = fs::remove_dir(&self.place);
        let _ = fs::write(NUMBER, self.before.to_string());
    }
}

fn read(file: &str) -> u64 {
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

#[test]
fn connections_in_huge_pages_outlive_a_death_and_an_upgrade() {
    // One test, since the machine's huge pages are everybody's.
    const OCTETS: u64 = 2 << 20;
    if !privileged() {
        return;
    }
    let pages = HugePages::new();
    let file = pages.place.join("engine");
    let mut world = World::bare_over("huge", "--delay 50ms --rate 20mbit", BOTH_WAYS)
        .that_keeps_in(file.clone(), "30s");
    pages.leave_none();
    let (code, said) = world.refused();
    assert!(
        code != 0 && said.contains(" MiB cannot be set aside"),
        "{said}"
    );
    assert!(!file.exists(), "what is of no use is left behind");
    pages.have(pages.before + ENOUGH);
    world.start();
    // Its watchdog has to do without any of its own, and so have its successors.
    pages.leave_none();
    let [near, far] = world.connect(world.servers[0]);
    let number = number();
    thread::scope(|scope| {
        scope.spawn(|| carry_both_ways(&[near, far], OCTETS));
        until("custody", || {
            world
                .flows()
                .iter()
                .any(|flow| flow.inner_to_outer.debt > 100_000)
        });
        let dead = world.kill();
        dead.wait_for("others pass without an engine", 1);
        world.start();
        let log = world.log();
        assert!(
            log.contains("the connections of an earlier gateway go on"),
            "{log}"
        );
        let (code, said) = world.program(&["upgrade", "--socket", world.socket_name()]);
        assert_eq!(code, 0, "{said}");
        world.wait_for(" TCP passes the engine", 2);
    });
    // And connections that come later.
    let [near, far] = world.connect(world.servers[1]);
    send(&near, number, 200_000).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    receive(&far).is_whole(number, 200_000);
    world.stop();
    assert!(!file.exists());
}
