//! How much memory the machine can give.

use std::fs;
use std::path::Path;

/// Octets that the machine, and the control group of this process, can still give; `None` if that cannot
/// be found out.
pub(super) fn available(with_swap: bool) -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| of_machine(&text, with_swap));
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let group = group.as_deref().and_then(of_groups);
    [machine, group].into_iter().flatten().min()
}

/// What `/proc/meminfo` says.
fn of_machine(text: &str, with_swap: bool) -> Option<u64> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    let free = field("MemAvailable:")?;
    let swap = if with_swap { field("SwapFree:") } else { None };
    Some(free.saturating_add(swap.unwrap_or(0)))
}

/// What the control groups (version 2) of a process leave, by its line in `/proc/self/cgroup`.
fn of_groups(text: &str) -> Option<u64> {
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = Path::new("/sys/fs/cgroup").join(group);
    let number = |group: &Path, file: &str| {
        let text = fs::read_to_string(group.join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    group
        .ancestors()
        .filter_map(|group| {
            let most = number(group, "memory.max")?;
            Some(most.saturating_sub(number(group, "memory.current")?))
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        4000000 kB\nMemFree:          100000 kB\n\
                           MemAvailable:    2000000 kB\nSwapFree:         500000 kB\n";

    #[test]
    fn what_a_machine_has_is_what_is_available_and_swap_unless_locked() {
        assert_eq!(of_machine(MEMINFO, false), Some(2_000_000 << 10));
        assert_eq!(of_machine(MEMINFO, true), Some(2_500_000 << 10));
        assert_eq!(of_machine("MemTotal: 1 kB", true), None);
    }
}
