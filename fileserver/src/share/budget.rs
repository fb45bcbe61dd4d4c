//! What all shares of a process may have together.

use std::cell::Cell;
use std::rc::Rc;

/// A number of things, and the most there may be.
#[derive(Debug)]
pub struct Budget {
    used: Cell<usize>,
    max: usize,
}

impl Budget {
    pub fn new(max: usize) -> Rc<Budget> {
        Rc::new(Budget { used: Cell::new(0), max })
    }
    /// Takes one; None where there is no more. It comes back when it is dropped.
    pub fn take(self: &Rc<Budget>) -> Option<Share> {
        if self.used.get() >= self.max {
            return None;
        }
        self.used.set(self.used.get() + 1);
        Some(Share(self.clone()))
    }
    /// The most there may be.
    pub fn max(&self) -> usize {
        self.max
    }
    pub fn used(&self) -> usize {
        self.used.get()
    }
}

/// One of a budget.
#[derive(Debug)]
pub struct Share(Rc<Budget>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.used.set(self.0.used.get() - 1);
    }
}
