//! What the kernel says of this process.

use std::fs;

/// Memory of a process, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// In RAM at present.
    pub(super) resident: u64,
    /// Of addresses.
    pub(super) virt: u64,
}

impl Memory {
    /// That of this process, if the kernel tells.
    pub(super) fn of_this_process() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/status").ok()?)
    }

    /// Reads the file `status` of a process.
    fn parse(status: &str) -> Option<Self> {
        let octets = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kilo = line.trim().strip_suffix("kB")?.trim_end();
            kilo.parse::<u64>().ok()?.checked_mul(1024)
        };
        Some(Self {
            resident: octets("VmRSS:")?,
            virt: octets("VmSize:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_process_is_read() {
        let status = "Name:\tx\nVmPeak:\t    9000 kB\nVmSize:\t    8000 kB\nVmRSS:\t    4000 kB\n";
        let memory = Memory::parse(status).unwrap();
        assert_eq!((memory.resident, memory.virt), (4_096_000, 8_192_000));
        assert_eq!(Memory::parse("VmSize: 1 kB\n"), None);
        let own = Memory::of_this_process().unwrap();
        assert!(
            own.resident > 100_000 && own.virt >= own.resident,
            "{own:?}"
        );
    }
}
