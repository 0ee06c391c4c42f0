use std::os::unix::fs::{FileExt, PermissionsExt};

use super::*;
use crate::gateway::memory;

/// A path that is free, and is so again afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("la-test-keep-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn settings() -> EngineSettings {
    EngineSettings {
        flows: 10,
        buffer: 8 << 20,
        networks: 2,
        queues: 2,
        prefault: false,
        ..EngineSettings::default()
    }
}

fn open(path: &Path, settings: &EngineSettings) -> Result<Keep, KeepError> {
    Keep::open(path, settings, || Ok([[1, 2], [3, 4]]))
}

/// Changes what a file says of itself.
fn rewrite(path: &Path, from: &str, to: &str) {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.unwrap();
    let mut page = vec![0; 4096];
    file.read_exact_at(&mut page, 0).unwrap();
    let text = String::from_utf8(page).unwrap();
    let text = text.trim_end_matches('\0');
    assert!(text.contains(from), "{text}");
    let mut page = text.replace(from, to).into_bytes();
    page.resize(4096, 0);
    file.write_all_at(&page, 0).unwrap();
}

/// A watchdog looks into the file when its gateway is dead, and that is when the next one begins.
#[test]
fn whoever_only_looks_into_a_file_is_waited_for() {
    let scratch = Scratch::new("looking");
    open(&scratch.0, &settings()).unwrap();
    let own = Some(std::process::id());
    let looking = File::open(&scratch.0).unwrap();
    looking.try_lock().unwrap();
    assert_eq!(orphaned_by(&scratch.0), None);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| to_be_gone_on_with(&scratch.0));
        thread::sleep(5 * LOOK);
        drop(looking);
        assert_eq!(waiting.join().unwrap(), own);
    });
}

#[test]
fn a_file_is_private_has_room_for_all_and_one_owner() {
    let scratch = Scratch::new("owner");
    let settings = settings();
    let keep = open(&scratch.0, &settings).unwrap();
    assert_eq!(keep.left, Left::Nothing);
    let about = fs::metadata(&scratch.0).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    assert!(about.blocks() * 512 >= 2 * memory::octets(&settings.per_queue()));
    assert_eq!(keep.memories(false).unwrap().len(), 2);
    assert_eq!(orphaned_by(&scratch.0), None);
    let refusal = open(&scratch.0, &settings).unwrap_err();
    let own = std::process::id();
    assert!(matches!(refusal, KeepError::Running { pid, .. } if pid == own));
    drop(keep);
    assert_eq!(orphaned_by(&scratch.0), Some(own));
    let keep = open(&scratch.0, &settings).unwrap();
    assert_eq!(
        (keep.left, keep.keys()),
        (Left::Connections, [[1, 2], [3, 4]])
    );
    keep.remove().unwrap();
    assert!(!scratch.0.exists());
}

#[test]
fn nobody_goes_on_with_connections_while_they_are_being_held_back() {
    let scratch = Scratch::new("orphans");
    let settings = settings();
    let keep = open(&scratch.0, &settings).unwrap();
    assert!(matches!(
        served_in(&scratch.0),
        Err(KeepError::Running { .. })
    ));
    drop(keep);
    let orphans = served_in(&scratch.0).unwrap();
    assert_eq!(orphans.served(), []);
    thread::scope(|scope| {
        let next = scope.spawn(|| open(&scratch.0, &settings).map(drop));
        thread::sleep(PATIENCE);
        assert!(!next.is_finished());
        drop(orphans);
        next.join().unwrap().unwrap();
    });
}

#[test]
fn what_cannot_be_gone_on_with_is_refused_and_left_alone() {
    let scratch = Scratch::new("refused");
    let settings = settings();
    drop(open(&scratch.0, &settings).unwrap());
    let refused = |settings: &EngineSettings| open(&scratch.0, settings).unwrap_err().to_string();
    for (key, other) in [
        (
            "flows",
            EngineSettings {
                flows: 20,
                ..settings.clone()
            },
        ),
        (
            "networks",
            EngineSettings {
                networks: 8,
                ..settings.clone()
            },
        ),
        (
            "buffer",
            EngineSettings {
                buffer: 16 << 20,
                ..settings.clone()
            },
        ),
        (
            "queues",
            EngineSettings {
                queues: 1,
                ..settings.clone()
            },
        ),
    ] {
        let told = refused(&other);
        assert!(told.contains(&format!("`{key}` was different")), "{told}");
    }
    let layout = |number: u32| format!("\"layout\":{number},");
    rewrite(&scratch.0, &layout(LAYOUT), &layout(7));
    let told = refused(&settings);
    assert!(
        told.contains("left by another build (layout 00000007"),
        "{told}"
    );
    rewrite(&scratch.0, &layout(7), &layout(LAYOUT));
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(refused(&settings).contains("others may read or write it"));
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o600)).unwrap();
    rewrite(
        &scratch.0,
        "connections, version 1",
        "connections, version 9",
    );
    assert!(refused(&settings).contains("is no state file"));
    rewrite(
        &scratch.0,
        "connections, version 9",
        "connections, version 1",
    );
    assert_eq!(open(&scratch.0, &settings).unwrap().left, Left::Connections);
}

#[test]
fn a_start_that_was_interrupted_leaves_nothing_to_go_on_with() {
    let scratch = Scratch::new("half");
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(0o600);
    let file = options.open(&scratch.0).unwrap();
    file.set_len(1 << 20).unwrap();
    assert_eq!(open(&scratch.0, &settings()).unwrap().left, Left::Nothing);
}

#[test]
fn after_the_machine_has_started_anew_time_is_told_by_the_wall_clock() {
    let scratch = Scratch::new("boot");
    let keep = open(&scratch.0, &settings()).unwrap();
    let (boot, began) = (keep.title.boot.clone(), keep.title.began_unix_ns);
    drop(keep);
    rewrite(&scratch.0, &boot, "an earlier one");
    let hour = 3_600_000_000_000;
    rewrite(&scratch.0, &began.to_string(), &(began - hour).to_string());
    let keep = open(&scratch.0, &settings()).unwrap();
    assert_eq!(keep.left, Left::BeforeReboot);
    assert!(keep.clock().now() >= Duration::from_nanos(hour));
}

#[test]
fn a_successor_finds_the_numbers_of_arrangements() {
    let scratch = Scratch::new("numbers");
    let settings = settings();
    let numbers: Numbers = serde_json::from_str("[[1,\"radio\"],[3,\"thin\"]]").unwrap();
    let keep = open(&scratch.0, &settings).unwrap();
    assert_eq!(keep.numbers(), &Numbers::default());
    keep.notes().unwrap().write(&numbers).unwrap();
    drop(keep);
    let keep = open(&scratch.0, &settings).unwrap();
    assert_eq!(keep.numbers(), &numbers);
    drop(keep);
    // An earlier build notes none.
    rewrite(
        &scratch.0,
        ",\"arrangements\":[[1,\"radio\"],[3,\"thin\"]]",
        "",
    );
    assert_eq!(
        open(&scratch.0, &settings).unwrap().numbers(),
        &Numbers::default()
    );
    // As many as there can be, with names as long as they can be, have room.
    let names: Vec<_> = (1..=15_u8).map(|number| (number, "x".repeat(64))).collect();
    let most: Numbers = serde_json::from_value(serde_json::to_value(names).unwrap()).unwrap();
    let keep = open(&scratch.0, &settings).unwrap();
    keep.notes().unwrap().write(&most).unwrap();
    drop(keep);
    assert_eq!(open(&scratch.0, &settings).unwrap().numbers(), &most);
}
