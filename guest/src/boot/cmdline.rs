//! The agent's parameters on the kernel's command line. Pure.

use crate::sys::text::parse_decimal;

/// Session ports when the command line names none.
const DEFAULT_PORTS: u32 = 1;

#[derive(Debug, PartialEq, Eq)]
pub struct Parameters {
    pub ports: u32,
    pub vsock: Option<u32>,
    pub modules: Vec<u8>,
    /// the disks' serial numbers in the order of their device nodes, for machines that cannot give them any
    pub disks: Vec<Vec<u8>>,
}

impl Parameters {
    pub fn parse(line: &[u8]) -> Parameters {
        let mut parameters =
            Parameters { ports: DEFAULT_PORTS, vsock: None, modules: b"/modules".to_vec(), disks: Vec::new() };
        for word in line.split(|b| b.is_ascii_whitespace()) {
            let number = |text| parse_decimal(text).and_then(|value| u32::try_from(value).ok());
            if let Some(value) = word.strip_prefix(b"smolvm.ports=") {
                parameters.ports = number(value).unwrap_or(DEFAULT_PORTS);
            } else if let Some(value) = word.strip_prefix(b"smolvm.vsock=") {
                parameters.vsock = number(value);
            } else if let Some(value) = word.strip_prefix(b"smolvm.init=").filter(|v| v.first() == Some(&b'/')) {
                parameters.modules = value.to_vec();
            } else if let Some(value) = word.strip_prefix(b"smolvm.disks=") {
                parameters.disks = value.split(|&b| b == b',').map(<[u8]>::to_vec).collect();
            }
        }
        parameters
    }
}
