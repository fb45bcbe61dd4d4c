//! The agent comes first, but while a mount's messages are all that it has to do it is one among others. They come one after the other then; what can
//! wait among them (that a removed file is forgotten) would take the processor from who is about to send the next, and both switches cost more than it does.

use crate::sys;

/// Wake-ups for messages, with nothing else in between, after which it steps back.
const STEP_BACK_AFTER: u32 = 64;
/// nice(2)'s middle: half of the processor at least, because commands are in a group of their own.
const AMONG_OTHERS: i32 = 0;

#[derive(Default)]
pub struct Place {
    in_a_row: u32,
    /// the nice value that it had before
    before: Option<i32>,
}

impl Place {
    /// Messages of a mount have come.
    pub fn serves_files(&mut self) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row == STEP_BACK_AFTER {
            self.before = Some(sys::nice());
            sys::set_nice(AMONG_OTHERS);
        }
    }

    /// Somebody asks for something else.
    pub fn comes_first(&mut self) {
        self.in_a_row = 0;
        if let Some(before) = self.before.take() {
            sys::set_nice(before);
        }
    }
}
