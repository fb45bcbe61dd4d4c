//! A directory's entries in an order that lasts: by a number that is made of the name. Where a listing goes on is such a number, so that it goes
//! on rightly whatever came and went in between, without anything kept for it. Of a directory too large to hold, a part is held at a time.

/// The most entries, and bytes of names, that a listing holds; twice that while it is made.
const MAX_ENTRIES: usize = 262_144;
const MAX_BYTES: usize = 16 << 20;

/// Numbers of entries begin above those of "." and "..".
pub const DOT: u64 = 1;
pub const DOT_DOT: u64 = 2;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub at: u64,
    pub ino: u64,
    /// as in struct dirent
    pub kind: u8,
    pub name: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Item {
    at: u64,
    ino: u64,
    start: u32,
    length: u8,
    kind: u8,
}

/// The entries with numbers above `from`: all, or the lowest of them.
#[derive(Debug, Default)]
pub struct Listing {
    from: u64,
    /// what is above is left for the next listing
    to: u64,
    items: Vec<Item>,
    names: Vec<u8>,
}

/// A name's number: FNV-1a, well mixed; from 3 to 2^62.
fn number(name: &[u8]) -> u64 {
    let mut hash = name
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 29;
    (hash >> 2).max(DOT_DOT + 1)
}

impl Listing {
    /// An empty one, of what comes after the number `from`.
    pub fn new(from: u64) -> Listing {
        Listing { from, to: u64::MAX, ..Listing::default() }
    }

    /// One entry of the directory, in any order.
    pub fn add(&mut self, ino: u64, kind: u8, name: &[u8]) {
        let at = number(name);
        if at <= self.from || at > self.to || name.is_empty() || name.len() > 255 {
            return;
        }
        self.items.push(Item { at, ino, start: self.names.len() as u32, length: name.len() as u8, kind });
        self.names.extend_from_slice(name);
        if self.items.len() >= 2 * MAX_ENTRIES || self.names.len() >= 2 * MAX_BYTES {
            self.halve();
        }
    }

    /// Keeps the lower half.
    fn halve(&mut self) {
        let half = self.items.len() / 2;
        self.items.select_nth_unstable_by_key(half, |item| item.at);
        self.items.truncate(half);
        self.to = self.items.iter().map(|item| item.at).max().unwrap_or(self.to);
        let mut names = Vec::with_capacity(self.names.len() / 2);
        for item in &mut self.items {
            let start = item.start as usize;
            item.start = names.len() as u32;
            names.extend_from_slice(&self.names[start..start + item.length as usize]);
        }
        self.names = names;
    }

    /// All entries are in: they are put in order.
    pub fn finish(&mut self) {
        self.items.sort_unstable_by_key(|item| item.at);
        // Two names of one number, though there will hardly ever be any.
        for i in 1..self.items.len() {
            if self.items[i].at <= self.items[i - 1].at {
                self.items[i].at = self.items[i - 1].at + 1;
            }
        }
        self.items.shrink_to_fit();
        self.names.shrink_to_fit();
    }

    /// Whether it tells what comes after that number.
    pub fn covers(&self, after: u64) -> bool {
        after >= self.from && (self.to == u64::MAX || after < self.to)
    }

    /// The entries after that number.
    pub fn after(&self, after: u64) -> impl Iterator<Item = Entry<'_>> {
        let first = self.items.partition_point(|item| item.at <= after);
        self.items[first..].iter().map(|item| Entry {
            at: item.at,
            ino: item.ino,
            kind: item.kind,
            name: &self.names[item.start as usize..item.start as usize + item.length as usize],
        })
    }

    /// How much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        self.items.capacity() * std::mem::size_of::<Item>() + self.names.capacity()
    }
}

/// The entries in what getdents64(2) gave: (inode, kind, name), without "." and "..".
pub fn raw_entries(mut buf: &[u8], mut each: impl FnMut(u64, u8, &[u8])) {
    while let Some(head) = buf.first_chunk::<19>() {
        let ino = u64::from_le_bytes([head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7]]);
        let length = usize::from(u16::from_le_bytes([head[16], head[17]]));
        let Some(name) = buf.get(19..length) else { return };
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name != b"." && name != b".." {
            each(ino, head[18], name);
        }
        buf = &buf[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_where_it_was_whatever_comes_and_goes() {
        let names: Vec<String> = (0..1000).map(|i| format!("file-{i}")).collect();
        let listing = |skip: usize| {
            let mut listing = Listing::new(0);
            for (i, name) in names.iter().enumerate() {
                if skip == 0 || i % skip != 0 {
                    listing.add(i as u64, 8, name.as_bytes());
                }
            }
            listing.finish();
            listing
        };
        let mut seen = Vec::new();
        let mut at = 0;
        for skip in [0, 3, 5, 7, 0, 2, 0] {
            for entry in listing(skip).after(at).take(150) {
                at = entry.at;
                seen.push(entry.name.to_vec());
            }
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), seen.len());
        assert_eq!(listing(0).after(0).count(), 1000);
    }

    #[test]
    fn holds_a_part_of_what_is_too_large() {
        let count = 2 * MAX_ENTRIES + 1000;
        let mut seen = 0;
        let mut at = 0;
        for _ in 0..8 {
            let mut listing = Listing::new(at);
            for i in 0..count {
                listing.add(i as u64, 8, format!("{i}").as_bytes());
            }
            listing.finish();
            assert!(listing.size() < 64 << 20);
            for entry in listing.after(at) {
                at = entry.at;
                seen += 1;
            }
            if listing.covers(at) {
                break;
            }
        }
        assert_eq!(seen, count);
    }

    #[test]
    fn two_names_of_one_number_are_both_told() {
        let mut listing = Listing::new(0);
        listing.add(1, 8, b"a");
        listing.add(2, 8, b"b");
        for item in &mut listing.items {
            item.at = 77;
        }
        listing.finish();
        let at: Vec<u64> = listing.after(0).map(|entry| entry.at).collect();
        assert_eq!(at, [77, 78]);
    }

    #[test]
    fn reads_what_the_kernel_writes() {
        let mut raw = Vec::new();
        for (ino, name) in [(5u64, &b"."[..]), (6, b".."), (7, b"x\xff")] {
            let length = (19 + name.len() + 1).next_multiple_of(8);
            raw.extend_from_slice(&ino.to_le_bytes());
            raw.extend_from_slice(&[0; 8]);
            raw.extend_from_slice(&(length as u16).to_le_bytes());
            raw.push(8);
            raw.extend_from_slice(name);
            raw.resize(raw.len() + length - 19 - name.len(), 0);
        }
        let mut seen = Vec::new();
        raw_entries(&raw, |ino, kind, name| seen.push((ino, kind, name.to_vec())));
        assert_eq!(seen, [(7, 8, b"x\xff".to_vec())]);
    }
}
