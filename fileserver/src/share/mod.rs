//! One shared directory: its names, nodes, handles and owners, and how they are reached.

pub mod budget;
pub mod handles;
pub mod kept;
pub mod listing;
pub mod names;
pub mod nodes;
pub mod owners;
pub mod shared;
pub mod table;
