//! Open files, by numbers that are never used again.

use std::rc::Rc;

use crate::share::budget::{Budget, Share};
use crate::share::nodes::Id;
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

#[derive(Debug)]
struct Slot {
    generation: u32,
    handle: Option<Handle>,
}

/// All of a mount.
#[derive(Debug)]
pub struct Handles {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// that of slots that are added
    first_generation: u32,
    /// what a number is that there is not
    unknown: Errno,
    budget: Rc<Budget>,
}

impl Handles {
    pub fn new(budget: &Rc<Budget>) -> Handles {
        Handles {
            slots: Vec::new(),
            free: Vec::new(),
            first_generation: 0,
            unknown: Errno(libc::EBADF),
            budget: budget.clone(),
        }
    }

    /// Room for one more; EMFILE where there is none.
    pub fn room(&self) -> Res<Room> {
        self.budget.take().map(Room).ok_or(Errno(libc::EMFILE))
    }

    pub fn add(&mut self, room: Room, fd: Fd, node: Id, access: i32) -> u64 {
        let handle = Handle { fd, node, access, _share: room.0 };
        let slot = match self.free.pop() {
            Some(slot) => slot as usize,
            None => {
                self.slots.push(Slot { generation: self.first_generation, handle: None });
                self.slots.len() - 1
            }
        };
        self.slots[slot].handle = Some(handle);
        u64::from(self.slots[slot].generation) << 32 | (slot as u64 + 1)
    }

    /// All of them, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Handle)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(i, slot)| Some((u64::from(slot.generation) << 32 | (i as u64 + 1), slot.handle.as_ref()?)))
    }

    /// A handle by the number that it had with an earlier server; None: it cannot have had it. Afterwards: `settle`.
    pub fn add_again(&mut self, room: Room, number: u64, fd: Fd, node: Id, access: i32) -> Option<()> {
        let slot = (number as u32).checked_sub(1).map(|slot| slot as usize).filter(|slot| *slot < self.budget.max())?;
        if self.slots.get(slot).is_some_and(|slot| slot.handle.is_some()) {
            return None;
        }
        while self.slots.len() <= slot {
            self.slots.push(Slot { generation: 0, handle: None });
        }
        let handle = Handle { fd, node, access, _share: room.0 };
        self.slots[slot] = Slot { generation: (number >> 32) as u32, handle: Some(handle) };
        Some(())
    }

    /// The highest generation of a number so far.
    pub fn last_generation(&self) -> u32 {
        self.slots.iter().map(|slot| slot.generation).max().unwrap_or(0).max(self.first_generation)
    }

    /// All of an earlier server's are there that could be: its other numbers are ESTALE, and new ones are none of them. `last`: the highest
    /// generation of those.
    pub fn settle(&mut self, last: u32) {
        let next = last.wrapping_add(1);
        self.free.clear();
        for (i, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.handle.is_none()) {
            slot.generation = next;
            self.free.push(i as u32);
        }
        self.first_generation = next;
        self.unknown = Errno(libc::ESTALE);
    }

    /// The handle of that number; EBADF (after a capture ESTALE) where there is none.
    pub fn get(&self, number: u64) -> Res<&Handle> {
        (number as u32)
            .checked_sub(1)
            .and_then(|slot| self.slots.get(slot as usize))
            .filter(|slot| slot.generation == (number >> 32) as u32)
            .and_then(|slot| slot.handle.as_ref())
            .ok_or(self.unknown)
    }

    /// Closes it; returns which node it was of.
    pub fn close(&mut self, number: u64) -> Option<Id> {
        self.get(number).ok()?;
        let index = number as u32 - 1;
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        slot.handle.take().map(|handle| handle.node)
    }

    /// A handle of a node, looked for among all.
    pub fn of_node(&self, node: Id) -> Option<u64> {
        self.slots.iter().enumerate().find_map(|(i, slot)| {
            let handle = slot.handle.as_ref()?;
            (handle.node == node).then(|| u64::from(slot.generation) << 32 | (i as u64 + 1))
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// The right to one handle.
pub struct Room(Share);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_never_used_again_and_few() {
        let mut handles = Handles::new(&Budget::new(2));
        let room = handles.room().unwrap();
        let one = handles.add(room, Fd::own(-1), 5, libc::O_RDONLY);
        let room = handles.room().unwrap();
        let two = handles.add(room, Fd::own(-1), 6, libc::O_RDWR);
        assert!(handles.room().is_err());
        assert_eq!(handles.get(one).unwrap().node, 5);
        assert_eq!(handles.of_node(6), Some(two));
        assert_eq!(handles.close(one), Some(5));
        assert_eq!(handles.close(one), None);
        let room = handles.room().unwrap();
        let three = handles.add(room, Fd::own(-1), 7, libc::O_RDONLY);
        assert_ne!(one, three);
        assert!(handles.get(one).is_err());
        for wrong in [0, u64::MAX, 99, 1 << 63] {
            assert!(handles.get(wrong).is_err());
        }
        assert_eq!(handles.count(), 2);
    }
}
