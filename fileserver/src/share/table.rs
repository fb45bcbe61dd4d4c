//! Things by numbers that are never used again: a slot's place, from 1, and above it how often the slot was used before. Pure.

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    thing: Option<T>,
}

/// All of a kind.
#[derive(Debug)]
pub struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// that of slots that are added
    first_generation: u32,
}

fn number(slot: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | (slot as u64 + 1)
}

fn place(number: u64) -> Option<(usize, u32)> {
    Some(((number as u32).checked_sub(1)? as usize, (number >> 32) as u32))
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { slots: Vec::new(), free: Vec::new(), first_generation: 0 }
    }
}

impl<T> Table<T> {
    pub fn add(&mut self, thing: T) -> u64 {
        let slot = match self.free.pop() {
            Some(slot) => slot as usize,
            None => {
                self.slots.push(Slot { generation: self.first_generation, thing: None });
                self.slots.len() - 1
            }
        };
        self.slots[slot].thing = Some(thing);
        number(slot, self.slots[slot].generation)
    }

    /// What has that number.
    pub fn get(&self, number: u64) -> Option<&T> {
        let (slot, generation) = place(number)?;
        self.slots.get(slot).filter(|slot| slot.generation == generation)?.thing.as_ref()
    }
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let (slot, generation) = place(number)?;
        self.slots.get_mut(slot).filter(|slot| slot.generation == generation)?.thing.as_mut()
    }

    /// Takes it out.
    pub fn remove(&mut self, number: u64) -> Option<T> {
        let (at, generation) = place(number)?;
        let slot = self.slots.get_mut(at).filter(|slot| slot.generation == generation)?;
        let thing = slot.thing.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(at as u32);
        Some(thing)
    }

    /// All of them, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(at, slot)| Some((number(at, slot.generation), slot.thing.as_ref()?)))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A thing by the number that it had in an earlier table, which had at most so many; None: it cannot have had it. Afterwards: `settle`.
    pub fn add_again(&mut self, number: u64, most: usize, thing: T) -> Option<()> {
        let (slot, generation) = place(number).filter(|(slot, _)| *slot < most)?;
        if self.slots.get(slot).is_some_and(|slot| slot.thing.is_some()) {
            return None;
        }
        while self.slots.len() <= slot {
            self.slots.push(Slot { generation: 0, thing: None });
        }
        self.slots[slot] = Slot { generation, thing: Some(thing) };
        Some(())
    }

    /// The highest generation of a number so far.
    pub fn last_generation(&self) -> u32 {
        self.slots.iter().map(|slot| slot.generation).max().unwrap_or(0).max(self.first_generation)
    }

    /// All of an earlier table's are there that could be: what is new gets numbers that none of them had. `last`: the highest generation of those.
    pub fn settle(&mut self, last: u32) {
        let next = last.wrapping_add(1);
        self.free.clear();
        for (at, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.thing.is_none()) {
            slot.generation = next;
            self.free.push(at as u32);
        }
        self.first_generation = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_never_used_again() {
        let mut table = Table::default();
        let (one, two) = (table.add('a'), table.add('b'));
        assert_eq!((table.remove(one), table.remove(one)), (Some('a'), None));
        let three = table.add('c');
        assert_ne!(three, one);
        assert_eq!((table.get(one), table.get(two), table.get(three)), (None, Some(&'b'), Some(&'c')));
        assert_eq!((table.get_mut(one).copied(), table.get_mut(three).copied()), (None, Some('c')));
        for wrong in [0, u64::MAX, 99, 1 << 32, 1 << 32 | 2, 1 << 63] {
            assert_eq!((table.get(wrong).copied(), table.remove(wrong)), (None, None), "{wrong}");
        }
        assert_eq!(table.count(), 2);
        assert_eq!(table.iter().collect::<Vec<_>>(), [(three, &'c'), (two, &'b')]);
    }

    #[test]
    fn things_of_an_earlier_table_keep_their_numbers_and_new_ones_have_none_of_them() {
        let mut before = Table::default();
        let numbers: Vec<u64> = (0..5).map(|thing| before.add(thing)).collect();
        before.remove(numbers[2]);
        let again = before.add(7);
        let gone = before.add(8);
        before.remove(gone);
        let mut table = Table::default();
        assert_eq!(table.add_again(again, 5, 7), Some(()));
        assert_eq!(table.add_again(again, 5, 7), None);
        assert_eq!(table.add_again(numbers[4], 4, 4), None);
        table.settle(before.last_generation());
        assert_eq!((table.get(again), table.count()), (Some(&7), 1));
        for _ in 0..9 {
            let new = table.add(9);
            assert!(![gone, again].contains(&new) && !numbers.contains(&new));
        }
        assert!(table.last_generation() > before.last_generation());
    }
}
