//! The search for a session's start: the guest's answer to a HELLO.

use smolvm_wire::start;

use crate::wire::frame::{kind, Sender};
use crate::wire::messages::HelloAck;

/// What a search for a session's start found.
pub type Scan = start::Scan<HelloAck>;

/// Searches for MAGIC and a HELLO_ACK with this nonce; all else is skipped.
pub fn scan(buf: &[u8], nonce: &[u8; 16]) -> Scan {
    start::scan(buf, Sender::Guest, kind::HELLO_ACK, |payload| {
        HelloAck::decode(payload).ok().filter(|ack| ack.nonce == *nonce)
    })
}
