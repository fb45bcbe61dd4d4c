//! Open files, by numbers that are never used again.

use std::rc::Rc;

use crate::share::budget::{Budget, Share};
use crate::share::nodes::Id;
use crate::share::table::Table;
use crate::sys::{Errno, Fd, Res};

/// One open file.
#[derive(Debug)]
pub struct Handle {
    pub fd: Fd,
    pub node: Id,
    /// O_RDONLY, O_WRONLY or O_RDWR
    pub access: i32,
    _share: Share,
}

impl Handle {
    pub fn writable(&self) -> bool {
        self.access != libc::O_RDONLY
    }
}

/// All of a mount.
#[derive(Debug)]
pub struct Handles {
    table: Table<Handle>,
    /// what a number is that there is not
    unknown: Errno,
    budget: Rc<Budget>,
}

impl Handles {
    pub fn new(budget: &Rc<Budget>) -> Handles {
        Handles { table: Table::default(), unknown: Errno(libc::EBADF), budget: budget.clone() }
    }

    /// Room for one more; EMFILE where there is none.
    pub fn room(&self) -> Res<Room> {
        self.budget.take().map(Room).ok_or(Errno(libc::EMFILE))
    }

    pub fn add(&mut self, room: Room, fd: Fd, node: Id, access: i32) -> u64 {
        self.table.add(Handle { fd, node, access, _share: room.0 })
    }

    /// All of them, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Handle)> {
        self.table.iter()
    }

    /// A handle by the number that it had with an earlier server; None: it cannot have had it. Afterwards: `settle`.
    pub fn add_again(&mut self, room: Room, number: u64, fd: Fd, node: Id, access: i32) -> Option<()> {
        self.table.add_again(number, self.budget.max(), Handle { fd, node, access, _share: room.0 })
    }

    /// The highest generation of a number so far.
    pub fn last_generation(&self) -> u32 {
        self.table.last_generation()
    }

    /// All of an earlier server's are there that could be: its other numbers are ESTALE, and new ones are none of them. `last`: the highest
    /// generation of those.
    pub fn settle(&mut self, last: u32) {
        self.table.settle(last);
        self.unknown = Errno(libc::ESTALE);
    }

    /// The handle of that number; EBADF (after a capture ESTALE) where there is none.
    pub fn get(&self, number: u64) -> Res<&Handle> {
        self.table.get(number).ok_or(self.unknown)
    }

    /// Closes it; returns which node it was of, and what for.
    pub fn close(&mut self, number: u64) -> Option<(Id, i32)> {
        self.table.remove(number).map(|handle| (handle.node, handle.access))
    }

    /// A handle of a node, looked for among all.
    pub fn of_node(&self, node: Id) -> Option<u64> {
        self.iter().find(|(_, handle)| handle.node == node).map(|(number, _)| number)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.table.count()
    }
}

/// The right to one handle.
pub struct Room(Share);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_few_and_known_by_their_node() {
        let mut handles = Handles::new(&Budget::new(2));
        let room = handles.room().unwrap();
        let one = handles.add(room, Fd::own(-1), 5, libc::O_RDONLY);
        let room = handles.room().unwrap();
        let two = handles.add(room, Fd::own(-1), 6, libc::O_RDWR);
        assert!(handles.room().is_err());
        assert_eq!(handles.get(one).unwrap().node, 5);
        assert_eq!(handles.of_node(6), Some(two));
        assert_eq!(handles.close(one), Some((5, libc::O_RDONLY)));
        assert_eq!(handles.close(one), None);
        assert!(handles.room().is_ok());
        assert_eq!(handles.get(one).unwrap_err(), Errno(libc::EBADF));
        handles.settle(handles.last_generation());
        assert_eq!(handles.get(one).unwrap_err(), Errno(libc::ESTALE));
        assert_eq!(handles.count(), 1);
    }
}
