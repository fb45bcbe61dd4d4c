//! From events to what the guest is told: compared with what it knows, so that what it did itself does not come back.

use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString};
use std::rc::Rc;

use crate::changes::events::{parse, Event};
use crate::changes::queue::{Place, Queue, Record};
use crate::changes::watches::Watches;
use crate::share::listing::raw_entries;
use crate::share::nodes::{Id, Identity, Told};
use crate::share::shared::Shared;
use crate::sys::files::Stat;
use crate::sys::{files, now_ms, now_s, Fd, Res};
use crate::wire::fuse::{inval_entry, inval_inode, ROOT};
use crate::wire::host_mount::Change;

/// How long the other half of a renaming is waited for, in milliseconds.
const HALF_MS: u64 = 10;
/// The most names whose removal by the guest is remembered until the host says so.
const MAX_OWN: usize = 64;
/// How many nodes are looked at in one go after an overflow, and while how few records wait.
const LOOKED_AT: usize = 512;
const FEW: usize = 1024;
/// How much of a directory is gone through in one go, in bytes of its listing.
const NAMES: usize = 16 << 10;
/// File systems have coarser clocks than the kernel, in seconds.
const SLACK_S: i64 = 2;
/// How often events are read in one go: a host that is faster than we are is not waited for.
const MAX_READS: usize = 16;
/// The longest path that is told of.
const MAX_PATH: usize = 4000;

/// Half of a renaming: what is not there any more.
struct Half {
    place: Place,
    path: Vec<u8>,
    directory: bool,
    node: Option<Id>,
    since: u64,
}

/// The changes of one share.
pub struct Changes {
    pub watches: Watches,
    pub queue: Queue,
    /// the guest's process that does them again
    pub pid: u32,
    /// nothing is done again in the guest, only its caches are told
    quiet: bool,
    /// every directory that was to be watched is
    pub complete: bool,
    /// what the guest was told of, and how often events were lost
    pub told: u64,
    pub overflows: u64,
    halves: HashMap<u32, Half>,
    own: VecDeque<Place>,
    /// what is still to be looked at after an overflow, and the directory that is being gone through for new names
    rest: Vec<Id>,
    through: Option<(Id, Fd)>,
    /// until when everything was heard, and since when something was not
    heard: i64,
    lost_since: Option<i64>,
    buf: Vec<u8>,
}

impl Changes {
    pub fn new(quiet: bool) -> Res<Changes> {
        Ok(Changes {
            watches: Watches::new()?,
            queue: Queue::default(),
            pid: 0,
            quiet,
            complete: true,
            told: 0,
            overflows: 0,
            halves: HashMap::new(),
            own: VecDeque::new(),
            rest: Vec::new(),
            through: None,
            heard: now_s(),
            lost_since: None,
            buf: Vec::new(),
        })
    }

    /// Watches a directory, if it is not watched. True: what is told of it can be believed until an event.
    pub fn watch(&mut self, shared: &mut Shared, id: Id) -> bool {
        let Ok(Some(directory)) = shared.nodes.get(id).map(|node| node.directory.as_ref()) else { return false };
        if directory.watch.is_some() {
            return true;
        }
        let Ok(dir) = shared.dir(id) else { return false };
        match self.watches.add(dir.raw(), id) {
            Ok(watch) => {
                if let Some(directory) = shared.nodes.get_mut(id).ok().and_then(|node| node.directory.as_mut()) {
                    directory.watch = Some(watch);
                }
                true
            }
            Err(_) => {
                self.complete = false;
                false
            }
        }
    }

    /// Watches where the one shared file is.
    pub fn watch_file(&mut self, shared: &Shared) -> bool {
        if self.watches.count() == 0 && self.watches.add(shared.top().raw(), ROOT).is_err() {
            self.complete = false;
        }
        self.watches.count() > 0
    }

    /// The guest is about to take a name away.
    pub fn own(&mut self, parent: Id, name: &CStr) {
        if self.own.len() >= MAX_OWN {
            self.own.pop_front();
        }
        self.own.push_back((parent, name.into()));
    }

    /// When something is due without an event.
    pub fn deadline(&self) -> Option<u64> {
        let half = self.halves.values().map(|half| half.since + HALF_MS).min();
        if (self.rest.is_empty() && self.through.is_none()) || self.queue.len() >= FEW {
            half
        } else {
            Some(0)
        }
    }

    /// What the guest knows was told by an earlier server, up to that moment: all of it is watched and looked at again. Of what is stale nothing is read
    /// from caches either.
    pub fn goes_on(&mut self, shared: &mut Shared, since_s: i64, stale: Vec<Id>) {
        for id in stale {
            let mut record = Record::new(Change::None, None, Vec::new());
            record.node = Some(id);
            record.notify = inval_inode(id, true);
            self.queue.push(record);
        }
        for id in shared.nodes.ids() {
            if shared.file().is_none() {
                self.watch(shared, id);
            }
        }
        if shared.file().is_some() {
            self.watch_file(shared);
        }
        self.lost_since = Some(since_s);
        self.rest = shared.nodes.ids();
    }

    /// The guest has been told of all that is known to have happened.
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty()
            && !self.queue.overflow
            && self.rest.is_empty()
            && self.through.is_none()
            && self.halves.is_empty()
    }

    /// Takes in what has happened so far.
    pub fn drain(&mut self, shared: &mut Shared) {
        let now = now_s();
        for _ in 0..MAX_READS {
            let mut buf = std::mem::take(&mut self.buf);
            self.watches.read(&mut buf);
            let events = parse(&buf);
            self.buf = buf;
            if events.is_empty() {
                self.heard = now;
                break;
            }
            for event in events {
                self.event(shared, event);
            }
            if self.queue.overflow {
                self.lost_since.get_or_insert(self.heard);
            }
        }
        self.own.clear();
        if !self.halves.is_empty() {
            let now = now_ms();
            let old: Vec<u32> =
                self.halves.iter().filter(|(_, half)| now >= half.since + HALF_MS).map(|(cookie, _)| *cookie).collect();
            for half in old.into_iter().filter_map(|cookie| self.halves.remove(&cookie)).collect::<Vec<_>>() {
                if let Some(node) = half.node {
                    shared.nodes.let_go(node);
                }
                self.removed(half.place, half.path, half.directory, half.node);
            }
        }
        if self.queue.overflow && self.queue.len() < FEW {
            self.look_again(shared);
        }
        for _ in 0..LOOKED_AT {
            if self.queue.len() >= FEW {
                break;
            }
            if let Some((id, dir)) = self.through.take() {
                self.go_through(shared, id, dir);
            } else if let Some(id) = self.rest.pop() {
                self.look_at(shared, id);
            } else {
                self.lost_since = None;
                break;
            }
        }
    }

    fn event(&mut self, shared: &mut Shared, event: Event) {
        if event.has(libc::IN_Q_OVERFLOW) {
            return self.look_again(shared);
        }
        if event.has(libc::IN_IGNORED) {
            if let Some(id) = self.watches.gone(event.watch) {
                if let Some(directory) = shared.nodes.get_mut(id).ok().and_then(|node| node.directory.as_mut()) {
                    directory.watch = None;
                }
            }
            return;
        }
        let Some(parent) = self.watches.node(event.watch) else { return };
        let Some(name) = &event.name else {
            if event.has(libc::IN_ATTRIB) && shared.file().is_none() {
                self.seen_again(shared, parent);
            }
            return;
        };
        if let Some(file) = shared.file() {
            if file == &**name {
                self.file_changed(shared);
            }
            return;
        }
        let place: Place = (parent, name.as_c_str().into());
        let directory = event.directory();
        if event.has(libc::IN_DELETE | libc::IN_MOVED_FROM) {
            if self.own.contains(&place) {
                return;
            }
            let Some(path) = path_in(shared, parent, name) else { return };
            let node = shared.nodes.unname(parent, name);
            if event.has(libc::IN_DELETE) {
                if let Some(node) = node {
                    if shared.nodes.get(node).is_ok_and(|node| node.names().next().is_none() && node.open_count() == 0)
                    {
                        shared.nodes.lost(node);
                    }
                }
                return self.removed(place, path, directory, node);
            }
            self.halves.insert(event.cookie, Half { place, path, directory, node, since: now_ms() });
            return;
        }
        let Ok(stat) = shared.dir(parent).and_then(|dir| files::stat_at(dir.raw(), name)) else {
            // It is gone again, which another event tells of.
            if event.has(libc::IN_MOVED_TO) {
                self.halves.remove(&event.cookie);
            }
            return;
        };
        let known = shared.nodes.child(parent, name);
        let same = known.is_some_and(|id| shared.nodes.get(id).is_ok_and(|node| node.identity == Identity::of(&stat)));
        if event.has(libc::IN_MOVED_TO) {
            let half = self.halves.remove(&event.cookie);
            if !same {
                self.moved(shared, place, half, &stat, known);
            }
        } else if event.has(libc::IN_CREATE) {
            if !same {
                self.appeared(shared, place, &stat);
            }
        } else if event.has(libc::IN_MODIFY | libc::IN_ATTRIB) {
            self.compare(shared, place, known.filter(|_| same), &stat, event.has(libc::IN_MODIFY));
        }
    }

    /// A name that is new, or another file's than before.
    fn appeared(&mut self, shared: &mut Shared, place: Place, stat: &Stat) {
        let (parent, name) = &place;
        let Some(path) = path_in(shared, *parent, name) else { return };
        if let Some(old) = shared.nodes.unname(*parent, name) {
            let was_directory = shared.nodes.get(old).is_ok_and(|node| node.directory.is_some());
            self.removed(place.clone(), path.clone(), was_directory, Some(old));
        }
        shared.nodes.present(*parent, name);
        let mut record = Record::new(Change::Created, Some(place), path);
        record.directory = stat.kind() == libc::S_IFDIR;
        self.push(record);
    }

    fn removed(&mut self, place: Place, path: Vec<u8>, directory: bool, node: Option<Id>) {
        let mut record = Record::new(Change::Removed, Some(place), path);
        record.directory = directory;
        record.node = node;
        self.push(record);
    }

    fn moved(&mut self, shared: &mut Shared, place: Place, half: Option<Half>, stat: &Stat, replaced: Option<Id>) {
        let Some(half) = half else { return self.appeared(shared, place, stat) };
        let (parent, name) = &place;
        let Some(path) = path_in(shared, *parent, name) else { return };
        if half.node.is_none() && !self.queue.creates(&half.place) {
            // As editors save: it was made and renamed before we looked. In the guest it has to be there to be renamed.
            shared.nodes.present(half.place.0, &half.place.1);
            let mut made = Record::new(Change::Created, Some(half.place.clone()), half.path.clone());
            made.directory = half.directory;
            self.push(made);
        }
        shared.nodes.unname(*parent, name);
        shared.nodes.present(*parent, name);
        if let Some(node) = half.node {
            shared.nodes.name(*parent, name, node);
        }
        let mut record = Record::new(Change::Renamed, Some(half.place), half.path);
        record.directory = half.directory;
        record.node = half.node;
        record.replaced = replaced;
        record.to = Some((place, path));
        self.push(record);
    }

    /// Something of a file is said to have changed.
    fn compare(&mut self, shared: &mut Shared, place: Place, known: Option<Id>, stat: &Stat, content: bool) {
        let Some(path) = path_in(shared, place.0, &place.1) else { return };
        let now = Told::of(stat);
        let kind = if content { Change::Changed } else { Change::Attributes };
        let mut record = Record::new(kind, Some(place), path);
        record.directory = stat.kind() == libc::S_IFDIR;
        if let Some(id) = known {
            let Ok(node) = shared.nodes.get_mut(id) else { return };
            let differs = match node.told {
                // What was never told is in no cache, but watchers hear of it.
                None => true,
                Some(told) if content => told != now,
                Some(told) => !told.looks_like(&now),
            };
            if !differs {
                return;
            }
            let data = node.told.is_none_or(|told| told.size != now.size || told.mtime != now.mtime || content);
            node.told = Some(now);
            record.node = Some(id);
            record.notify = inval_inode(id, data);
        }
        self.push(record);
    }

    /// An answer is about to tell of a file what nobody has told of before, and no event: as if there had been one.
    pub fn noticed(&mut self, shared: &mut Shared, id: Id, stat: &Stat) {
        let Ok(node) = shared.nodes.get(id) else { return };
        let now = Told::of(stat);
        if stat.kind() == libc::S_IFDIR || node.told.is_none_or(|told| told.looks_like(&now)) {
            return;
        }
        let content = node.told.is_some_and(|told| told.size != now.size || told.mtime != now.mtime);
        let place = node.names().next().cloned();
        match place {
            Some((parent, name)) => self.compare(shared, (parent, name), Some(id), stat, content),
            None if id == ROOT && shared.file().is_some() => self.file_changed(shared),
            None => {}
        }
    }

    /// A directory that is known is looked at again.
    fn seen_again(&mut self, shared: &mut Shared, id: Id) {
        let Ok(stat) = shared.stat(id) else { return };
        let Ok(node) = shared.nodes.get_mut(id) else { return };
        let now = Told::of(&stat);
        let differs = node.told.is_some_and(|told| told.mode != now.mode || told.owner != now.owner);
        node.told = Some(now);
        if !differs {
            return;
        }
        let Some(path) = shared.path(id) else { return };
        let place = shared.nodes.get(id).ok().and_then(|node| node.names().next().cloned());
        let mut record = Record::new(Change::Attributes, place, path);
        record.directory = true;
        record.node = Some(id);
        record.notify = inval_inode(id, false);
        self.push(record);
    }

    /// The one shared file is not what it was, or another one.
    fn file_changed(&mut self, shared: &mut Shared) {
        let Ok(stat) = shared.stat(ROOT) else { return };
        let Ok(node) = shared.nodes.get_mut(ROOT) else { return };
        let now = Told::of(&stat);
        if node.told == Some(now) {
            return;
        }
        node.told = Some(now);
        let mut record = Record::new(Change::Changed, None, Vec::new());
        record.node = Some(ROOT);
        record.notify = inval_inode(ROOT, true);
        self.push(record);
    }

    /// A directory is to be read in the guest.
    pub fn read(&mut self, path: Vec<u8>) {
        if path.len() <= MAX_PATH {
            self.queue.push(Record::new(Change::List, None, path));
        }
    }

    fn push(&mut self, mut record: Record) {
        if self.quiet {
            if record.notify.is_empty() {
                let entry = |place: &Place| inval_entry(place.0, &place.1);
                if let Some((to, _)) = record.to.take() {
                    let mut second = Record::new(Change::None, Some(to.clone()), Vec::new());
                    second.notify = entry(&to);
                    self.queue.push(second);
                }
                record.notify = record.place.as_ref().map(entry).unwrap_or_default();
            }
            record.kind = Change::None;
            record.path.clear();
        }
        self.told += 1;
        self.queue.push(record);
    }

    /// Events were lost: all that the guest knows is looked at.
    fn look_again(&mut self, shared: &mut Shared) {
        self.queue.overflow = false;
        self.overflows += 1;
        self.lost_since.get_or_insert(self.heard);
        self.rest = shared.nodes.ids();
        self.through = None;
    }

    /// Looks at one node: at a directory's entries, at a file itself.
    fn look_at(&mut self, shared: &mut Shared, id: Id) {
        if shared.file().is_some() {
            return self.file_changed(shared);
        }
        let Ok(node) = shared.nodes.get(id) else { return };
        let Some(directory) = &node.directory else { return };
        if directory.watch.is_none() {
            return;
        }
        let known: Vec<(Rc<CStr>, Id)> = directory.children.iter().map(|(name, id)| (name.clone(), *id)).collect();
        let absent: Vec<Rc<CStr>> = directory.absent.keys().cloned().collect();
        let told = node.told;
        let Ok(dir) = shared.dir(id) else { return };
        for (name, child) in known {
            match files::stat_at(dir.raw(), &name) {
                Ok(stat) if shared.nodes.get(child).is_ok_and(|node| node.identity == Identity::of(&stat)) => {
                    let now = Told::of(&stat);
                    let told = shared.nodes.get(child).ok().and_then(|node| node.told).unwrap_or(now);
                    let content = told.size != now.size || told.mtime != now.mtime;
                    if stat.kind() == libc::S_IFDIR {
                        self.seen_again(shared, child);
                    } else if told != now {
                        self.compare(shared, (id, name), Some(child), &stat, content);
                    }
                }
                Ok(stat) => self.appeared(shared, (id, name), &stat),
                Err(_) => {
                    let Some(path) = path_in(shared, id, &name) else { continue };
                    let was_directory = shared.nodes.get(child).is_ok_and(|node| node.directory.is_some());
                    shared.nodes.unname(id, &name);
                    self.removed((id, name), path, was_directory, Some(child));
                }
            }
        }
        for name in absent {
            if let Ok(stat) = files::stat_at(dir.raw(), &name) {
                self.appeared(shared, (id, name), &stat);
            }
        }
        // What is there and was not known may have been made meanwhile; and what the guest has listed is not so any more.
        let changed = files::stat(dir.raw()).is_ok_and(|stat| told.is_some_and(|told| told.mtime != stat.mtime));
        if changed {
            let mut record = Record::new(Change::None, None, Vec::new());
            record.node = Some(id);
            record.notify = inval_inode(id, true);
            self.push(record);
            self.through = shared.open(id, libc::O_RDONLY | libc::O_DIRECTORY).ok().map(|(dir, _)| (id, dir));
        }
    }

    /// Tells of the next names of a directory that have come since events were lost.
    fn go_through(&mut self, shared: &mut Shared, id: Id, dir: Fd) {
        let mut buf = Vec::new();
        if !files::entries(dir.raw(), &mut buf, NAMES).is_ok_and(|n| n > 0) {
            return;
        }
        let mut names = Vec::new();
        raw_entries(&buf, |_, _, name| names.push(name.to_vec()));
        // A name's renaming is a change of its file, too.
        let since = self.lost_since.unwrap_or(0) - SLACK_S;
        for name in names.into_iter().filter_map(|name| CString::new(name).ok()) {
            if shared.nodes.child(id, &name).is_none() {
                if let Ok(stat) = files::stat_at(dir.raw(), &name).as_ref() {
                    if stat.ctime.s >= since {
                        self.appeared(shared, (id, name.as_c_str().into()), stat);
                    }
                }
            }
        }
        self.through = Some((id, dir));
    }
}

/// The path of a name in a directory, from the mount's root.
fn path_in(shared: &Shared, parent: Id, name: &CStr) -> Option<Vec<u8>> {
    let mut path = shared.path(parent)?;
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
    (path.len() <= MAX_PATH).then_some(path)
}
