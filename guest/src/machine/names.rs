//! The addresses that stand for names: 198.18.0.0/15 (RFC 2544), which is nobody's in the internet.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

/// Names that are known at once; the oldest goes.
const MAX_NAMES: usize = 8192;
/// The first address, and how many there are. An address has the next name only when all others have had one.
const FIRST: u32 = 0xc612_0002;
const ADDRESSES: u32 = (1 << 17) - 4;

#[derive(Default)]
pub struct Names {
    /// the number of each name, which rises
    numbers: BTreeMap<Vec<u8>, u32>,
    /// the known ones, oldest first
    known: VecDeque<Vec<u8>>,
    /// the number of the oldest
    oldest: u32,
}

impl Names {
    /// The address that stands for a name from now on.
    pub fn address_of(&mut self, name: &[u8]) -> Ipv4Addr {
        if let Some(&number) = self.numbers.get(name) {
            return address(number);
        }
        if self.known.len() == MAX_NAMES {
            if let Some(gone) = self.known.pop_front() {
                self.numbers.remove(&gone);
            }
            self.oldest = (self.oldest + 1) % ADDRESSES;
        }
        let number = (self.oldest + self.known.len() as u32) % ADDRESSES;
        self.numbers.insert(name.to_vec(), number);
        self.known.push_back(name.to_vec());
        address(number)
    }

    /// The name that an address stands for.
    pub fn name_of(&self, address: Ipv4Addr) -> Option<&[u8]> {
        let number = u32::from(address).checked_sub(FIRST).filter(|&number| number < ADDRESSES)?;
        let index = (number + ADDRESSES - self.oldest) % ADDRESSES;
        self.known.get(index as usize).map(Vec::as_slice)
    }
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(FIRST + number)
}

#[cfg(test)]
mod tests {
    use super::{Names, ADDRESSES, MAX_NAMES};

    #[test]
    fn a_name_keeps_its_address_and_an_address_its_name() {
        let mut names = Names::default();
        let first = names.address_of(b"a.test");
        assert_eq!(first, std::net::Ipv4Addr::new(198, 18, 0, 2));
        assert_eq!(names.address_of(b"b.test").octets(), [198, 18, 0, 3]);
        assert_eq!(names.address_of(b"a.test"), first);
        assert_eq!(names.name_of(first), Some(&b"a.test"[..]));
        assert_eq!(names.name_of([198, 18, 0, 4].into()), None);
        assert_eq!(names.name_of([198, 18, 0, 1].into()), None);
        assert_eq!(names.name_of([10, 0, 0, 1].into()), None);
    }

    #[test]
    fn an_address_whose_name_was_forgotten_stands_for_no_other_before_all_have_been_used() {
        let mut names = Names::default();
        let first = names.address_of(b"first.test");
        for number in 0..ADDRESSES as usize - 1 {
            assert_ne!(names.address_of(format!("{number}.test").as_bytes()), first);
            assert_eq!(names.name_of(first).is_some(), number + 1 < MAX_NAMES);
        }
        assert_eq!(names.address_of(b"last.test"), first);
        assert_eq!(names.name_of(first), Some(&b"last.test"[..]));
        assert!(first.octets()[1] == 18);
    }
}
