//! The protocol's bytes: frames, messages and tree records. Pure, and every decoder is fuzzed.

pub mod fields;
pub mod frame;
pub mod messages;
pub mod tree;
