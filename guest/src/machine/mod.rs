//! This machine: who it is, its clock, addresses, accounts and facts.

pub mod clock;
pub mod configure;
pub mod info;
pub mod network;
pub mod users;
