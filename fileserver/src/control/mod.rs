//! What the sandbox's owner asks for: over a Unix socket of our user, one request a connection, one line each way.

pub mod asker;
pub mod client;
pub mod request;
