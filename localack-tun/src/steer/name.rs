//! Names of network interfaces.

use core::fmt;
use core::str::FromStr;

/// Longest interface name the kernel takes, in octets (`IFNAMSIZ` less its terminator).
const NAME_MAX: usize = 15;

/// A name that a network interface can have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

/// Why a text cannot name an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an interface name has 1 to {NAME_MAX} octets and no '/', ':' or space")]
pub struct NameError;

impl InterfaceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The kernel's own rule (`dev_valid_name`). "all" and "default" would name other settings.
        let forbidden = |c: char| c.is_whitespace() || matches!(c, '/' | ':' | '\0');
        let special = matches!(text, "" | "." | ".." | "all" | "default");
        if special || text.len() > NAME_MAX || text.contains(forbidden) {
            return Err(NameError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_the_kernel_takes() {
        for text in ["eth0", "eth0.100", "br-lan", "a", "fifteen-letters"] {
            assert_eq!(text.parse::<InterfaceName>().unwrap().to_string(), text);
        }
        for text in [
            "",
            ".",
            "..",
            "sixteen-letters-",
            "a b",
            "a/b",
            "a:0",
            "all",
            "default",
        ] {
            assert_eq!(text.parse::<InterfaceName>(), Err(NameError), "{text:?}");
        }
    }
}
