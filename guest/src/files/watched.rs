//! The directories that a watch looks at, by inotify's numbers for them, and their paths. Pure.

/// The longest path of an event, relative to the watched directory.
pub const MAX_PATH: usize = 4096;

struct Directory {
    number: i32,
    /// the one that holds it; the root's own
    parent: i32,
    name: Vec<u8>,
}

/// A tree of directories in which each knows the one above it: a rename then changes one entry, whatever is below.
#[derive(Default)]
pub struct Watched {
    /// by rising number
    list: Vec<Directory>,
}

impl Watched {
    fn index(&self, number: i32) -> Result<usize, usize> {
        self.list.binary_search_by_key(&number, |d| d.number)
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Notes where a directory is, known or new; true if it is new. The root is its own parent.
    pub fn put(&mut self, number: i32, parent: i32, name: &[u8]) -> bool {
        let entry = Directory { number, parent, name: name.to_vec() };
        match self.index(number) {
            Ok(at) => {
                self.list[at] = entry;
                false
            }
            Err(at) => {
                self.list.insert(at, entry);
                true
            }
        }
    }

    pub fn remove(&mut self, number: i32) {
        if let Ok(at) = self.index(number) {
            self.list.remove(at);
        }
    }

    /// The watched directory of that name in another one.
    pub fn child(&self, parent: i32, name: &[u8]) -> Option<i32> {
        let found = self.list.iter().find(|d| d.parent == parent && d.number != parent && d.name == name);
        found.map(|d| d.number)
    }

    /// The components of a directory's path from the root, the last one first; none if it is not in the tree, or too deep.
    fn names(&self, number: i32) -> Option<Vec<&[u8]>> {
        let mut names = Vec::new();
        let mut at = number;
        loop {
            let directory = &self.list[self.index(at).ok()?];
            if directory.parent == at {
                return Some(names);
            }
            if names.len() >= crate::wire::tree::MAX_DEPTH {
                return None;
            }
            names.push(directory.name.as_slice());
            at = directory.parent;
        }
    }

    /// The path of an entry of a directory, or with an empty name of the directory itself, relative to the root; none if
    /// it is not in the tree, deeper than 256 directories, or longer than 4096 bytes.
    pub fn path(&self, number: i32, name: &[u8]) -> Option<Vec<u8>> {
        let mut names = self.names(number)?;
        names.reverse();
        if !name.is_empty() {
            names.push(name);
        }
        let path = names.join(&b'/');
        (path.len() <= MAX_PATH).then_some(path)
    }

    /// A directory and all that are below it.
    pub fn subtree(&self, number: i32) -> Vec<i32> {
        let mut found = vec![number];
        let mut done = 0;
        while done < found.len() {
            let above = found[done];
            done += 1;
            found.extend(self.list.iter().filter(|d| d.parent == above && d.number != above).map(|d| d.number));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Watched {
        let mut watched = Watched::default();
        for (number, parent, name) in [(5, 5, ""), (7, 5, "a"), (6, 7, "b"), (9, 6, "c"), (8, 5, "ab")] {
            assert!(watched.put(number, parent, name.as_bytes()));
        }
        watched
    }

    #[test]
    fn paths_are_from_the_root() {
        let watched = tree();
        assert_eq!(watched.path(5, b"").unwrap(), b"");
        assert_eq!(watched.path(5, b"f").unwrap(), b"f");
        assert_eq!(watched.path(9, b"f").unwrap(), b"a/b/c/f");
        assert_eq!(watched.path(1, b"f"), None);
        assert_eq!(watched.path(9, &[b'x'; 4091]), None);
        assert_eq!(watched.child(7, b"b"), Some(6));
        assert_eq!(watched.child(5, b""), None);
    }

    #[test]
    fn a_rename_moves_what_is_below() {
        let mut watched = tree();
        assert!(!watched.put(6, 8, b"z"));
        assert_eq!(watched.path(9, b"f").unwrap(), b"ab/z/c/f");
        assert_eq!(watched.child(7, b"b"), None);
    }

    #[test]
    fn a_subtree_is_all_of_it_and_nothing_else() {
        let mut watched = tree();
        let mut below = watched.subtree(7);
        below.sort_unstable();
        assert_eq!(below, [6, 7, 9]);
        for number in below {
            watched.remove(number);
        }
        assert_eq!(watched.len(), 2);
        assert_eq!(watched.path(9, b""), None);
    }

    #[test]
    fn nesting_without_end_has_no_path() {
        let mut watched = Watched::default();
        watched.put(1, 1, b"");
        for number in 2..400 {
            watched.put(number, number - 1, b"d");
        }
        assert!(watched.path(257, b"").is_some());
        assert_eq!(watched.path(258, b""), None);
        // What no kernel says, and must not hang us.
        watched.put(2, 399, b"d");
        assert_eq!(watched.path(300, b""), None);
    }
}
