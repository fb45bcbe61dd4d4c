//! This machine: who it is, its clock, addresses, accounts and facts.

pub mod address;
pub mod clock;
pub mod configure;
pub mod disk;
pub mod info;
pub mod interception;
pub mod names;
pub mod network;
pub mod places;
pub mod power;
pub mod role;
pub mod settings;
pub mod slow_mounts;
pub mod users;
