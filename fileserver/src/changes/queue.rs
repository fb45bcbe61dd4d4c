//! What the guest is to be told of, in order, one at a time; what would be told twice is told once. Pure.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::rc::Rc;

use crate::share::nodes::Id;
use crate::wire::host_mount::Change;

/// The most that wait.
const MAX_WAITING: usize = 16_384;
/// How far back a record of the same name is looked for.
const LOOK_BACK: usize = 64;

/// A name in a directory.
pub type Place = (Id, Rc<CStr>);

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub kind: Change,
    /// None: the mount's root itself
    pub place: Option<Place>,
    pub path: Vec<u8>,
    /// renamed: where it is now
    pub to: Option<(Place, Vec<u8>)>,
    pub directory: bool,
    /// the file, where it is known
    pub node: Option<Id>,
    /// what had the name that it was renamed to
    pub replaced: Option<Id>,
    pub notify: Vec<u8>,
    /// the guest has done it
    pub done: bool,
}

impl Record {
    pub fn new(kind: Change, place: Option<Place>, path: Vec<u8>) -> Record {
        Record {
            kind,
            place,
            path,
            to: None,
            directory: false,
            node: None,
            replaced: None,
            notify: Vec::new(),
            done: false,
        }
    }
}

/// The records that wait, and the one that is being done.
#[derive(Default, Debug)]
pub struct Queue {
    waiting: VecDeque<Record>,
    pub current: Option<Record>,
    /// more came than may wait: what is known has to be looked at anew
    pub overflow: bool,
}

impl Queue {
    pub fn push(&mut self, record: Record) {
        let same = |other: &Record| {
            other.place == record.place || other.to.as_ref().map(|(to, _)| to) == record.place.as_ref()
        };
        let before =
            self.waiting.iter().enumerate().rev().take(LOOK_BACK).find(|(_, other)| same(other)).map(|(i, _)| i);
        if let Some(before) = before {
            let last = &mut self.waiting[before];
            match (last.kind, record.kind) {
                // It has not been done yet: then it is the newest state that is told of.
                (Change::Changed | Change::Attributes | Change::None, kind)
                    if kind == last.kind && last.node == record.node =>
                {
                    last.notify = record.notify;
                    return;
                }
                (Change::Created, Change::Removed) => {
                    self.waiting.remove(before);
                    return;
                }
                _ => {}
            }
        }
        if self.waiting.len() >= MAX_WAITING {
            self.overflow = true;
            return;
        }
        self.waiting.push_back(record);
    }

    /// The next one to be done, if none is.
    pub fn next_record(&mut self) -> Option<&Record> {
        if self.current.is_some() {
            return None;
        }
        self.current = self.waiting.pop_front();
        self.current.as_ref()
    }

    pub fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.current.is_some())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a name is still to be made, or is being made.
    pub fn creates(&self, place: &Place) -> bool {
        let made = |record: &Record| record.kind == Change::Created && record.place.as_ref() == Some(place);
        self.current.iter().chain(self.waiting.iter().rev().take(LOOK_BACK)).any(made)
    }

    /// Whether a file's content is still to be told of.
    pub fn holds(&self, node: Id) -> bool {
        self.current.iter().chain(self.waiting.iter().rev().take(4 * LOOK_BACK)).any(|record| record.node == Some(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Change, name: &CStr) -> Record {
        Record::new(kind, Some((1, name.into())), name.to_bytes().to_vec())
    }
    fn kinds(queue: &mut Queue) -> Vec<Change> {
        let mut all = Vec::new();
        while let Some(record) = queue.next_record() {
            all.push(record.kind);
            queue.current = None;
        }
        all
    }

    #[test]
    fn a_burst_of_changes_is_one() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            queue.push(record(Change::Changed, c"a"));
            queue.push(record(Change::Changed, c"b"));
        }
        assert_eq!(kinds(&mut queue), [Change::Changed, Change::Changed]);
    }

    #[test]
    fn what_is_being_done_is_told_again_when_it_changes_once_more() {
        let mut queue = Queue::default();
        queue.push(record(Change::Changed, c"a"));
        assert!(queue.next_record().is_some());
        queue.push(record(Change::Changed, c"a"));
        assert!(queue.next_record().is_none());
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn what_came_and_went_is_nothing_and_what_was_replaced_is_both() {
        let mut queue = Queue::default();
        queue.push(record(Change::Created, c"tmp"));
        queue.push(record(Change::Removed, c"tmp"));
        queue.push(record(Change::Removed, c"a"));
        queue.push(record(Change::Created, c"a"));
        queue.push(record(Change::Changed, c"a"));
        assert_eq!(kinds(&mut queue), [Change::Removed, Change::Created, Change::Changed]);
    }

    #[test]
    fn a_change_after_a_renaming_is_not_merged_with_one_before_it() {
        let mut queue = Queue::default();
        queue.push(record(Change::Changed, c"a"));
        let mut renamed = record(Change::Renamed, c"t");
        renamed.to = Some(((1, c"a".into()), b"a".to_vec()));
        queue.push(renamed);
        queue.push(record(Change::Changed, c"a"));
        assert_eq!(kinds(&mut queue), [Change::Changed, Change::Renamed, Change::Changed]);
    }

    #[test]
    fn is_bounded() {
        let mut queue = Queue::default();
        for i in 0..MAX_WAITING + 10 {
            queue.push(record(Change::Created, &std::ffi::CString::new(format!("{i}")).unwrap()));
        }
        assert_eq!(queue.len(), MAX_WAITING);
        assert!(queue.overflow);
    }
}
