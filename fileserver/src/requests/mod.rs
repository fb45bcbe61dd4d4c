//! The answer to one FUSE request.

pub mod answer;
pub mod attributes;
pub mod content;
pub mod directories;
pub mod entries;
pub mod extended;
pub mod init;
pub mod mount;
pub mod open;
pub mod shadow;
