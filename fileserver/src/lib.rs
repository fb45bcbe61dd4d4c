//! The host's file server of SmolVM: directories of the host, live in a sandbox. The guest's kernel asks (FUSE), the agent passes
//! its messages on (protocol/PROTOCOL.md, "Directories of the host"), and this program answers. The guest is hostile: it may send
//! any bytes; what it can reach are the shared directories, and what it can use is bounded.
//!
//! Each folder is a room that holds one idea and uses only rooms below it. tests/unit/layers-rust.test.ts is the judge of this table.
//!
//! | room | idea | uses |
//! |---|---|---|
//! | `program` | the command lines, and the loop that serves | control requests session confine changes share wire sys |
//! | `control` | what the sandbox's owner asks for: one request a connection, with a descriptor | wire sys |
//! | `requests` | the answer to one FUSE request | changes share wire sys |
//! | `changes` | what happens on the host: heard, compared with what the guest knows, queued for it | share wire sys |
//! | `session` | the connection to the guest's agent | wire sys |
//! | `confine` | what this process gives up | sys |
//! | `share` | one shared directory: names, nodes, handles, owners, and how they are reached | wire sys |
//! | `wire` | pure: the protocol's bytes, FUSE's, JSON |  |
//! | `sys` | thin wrappers over system calls |  |

pub mod wire;

#[cfg(target_os = "linux")]
pub mod changes;
#[cfg(target_os = "linux")]
pub mod confine;
#[cfg(target_os = "linux")]
pub mod control;
#[cfg(target_os = "linux")]
pub mod program;
#[cfg(target_os = "linux")]
pub mod requests;
#[cfg(target_os = "linux")]
pub mod session;
#[cfg(target_os = "linux")]
pub mod share;
#[cfg(target_os = "linux")]
pub mod sys;
