//! Directories are read. Nothing is kept for an open one: where a reading goes on is a number that is made of a name (share/listing.rs).

use std::ffi::CStr;

use crate::requests::mount::Mount;
use crate::share::listing::{raw_entries, Entry, Listing, DOT, DOT_DOT};
use crate::share::nodes::Id;
use crate::sys::{files, Errno, Res};
use crate::wire::fuse::{
    dirent_len, init, open, put_dirent, put_entry, put_open, Attributes, Request, Validity, ENTRY, MAX_DATA, MAX_NAME,
};

/// How much of a directory is read from the host in one call.
const PIECE: usize = 64 << 10;
/// The most pieces of one directory: of one that grows faster than it is read.
const MAX_PIECES: usize = 1 << 16;
/// How much memory the listings of a mount take together, in bytes, and how many they are.
const MAX_LISTED: usize = 48 << 20;
const MAX_LISTINGS: usize = 16;
const DT_DIR: u8 = 4;

pub fn open(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    if mount.shared.nodes.get(request.node)?.directory.is_none() {
        return Err(Errno(libc::ENOTDIR));
    }
    if mount.shared.terms.strict {
        put_open(out, 0, 0);
        return Ok(());
    }
    if mount.agreed.unwrap_or(0) & init::NO_OPENDIR_SUPPORT != 0 {
        return Err(Errno(libc::ENOSYS)); // it is not asked again, and keeps what it has read
    }
    put_open(out, 0, open::CACHE_DIR | open::KEEP_CACHE);
    Ok(())
}

pub fn sync(mount: &mut Mount, request: &Request) -> Res<()> {
    let (fd, _) = mount.shared.open(request.node, libc::O_RDONLY | libc::O_DIRECTORY)?;
    files::sync(fd.raw(), request.fields().u32(8)? & 1 != 0)
}

/// Lists what comes after that number.
fn list(mount: &mut Mount, id: Id, after: u64) -> Res<Listing> {
    let (fd, _) = mount.shared.open(id, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let mut listing = Listing::new(after);
    let mut buf = Vec::new();
    for _ in 0..MAX_PIECES {
        if files::entries(fd.raw(), &mut buf, PIECE)? == 0 {
            break;
        }
        raw_entries(&buf, |ino, kind, name| listing.add(ino, kind, name));
    }
    listing.finish();
    Ok(listing)
}

/// Takes the listing that goes on after that number out of those that are kept, or makes it.
fn take(mount: &mut Mount, id: Id, after: u64) -> Res<Listing> {
    if let Some(i) = mount.listings.iter().position(|(of, _)| *of == id) {
        let (_, listing) = mount.listings.remove(i);
        if after > DOT_DOT && listing.covers(after) {
            return Ok(listing);
        }
    }
    list(mount, id, if after > DOT_DOT { after } else { 0 })
}

fn keep(mount: &mut Mount, id: Id, listing: Listing) {
    mount.listings.push((id, listing));
    while mount.listings.len() > MAX_LISTINGS
        || mount.listings.len() > 1
            && mount.listings.iter().map(|(_, listing)| listing.size()).sum::<usize>() > MAX_LISTED
    {
        mount.listings.remove(0);
    }
}

pub fn read(mount: &mut Mount, request: &Request, plus: bool, out: &mut Vec<u8>) -> Res<()> {
    let fields = request.fields();
    let (after, size) = (fields.u64(8)?, (fields.u32(16)? as usize).min(MAX_DATA));
    let id = request.node;
    if mount.shared.nodes.get(id)?.directory.is_none() {
        return Err(Errno(libc::ENOTDIR));
    }
    mount.watches(id);
    let listing = take(mount, id, after)?;
    let end = out.len() + size;
    let dots = [(DOT, &b"."[..]), (DOT_DOT, &b".."[..])];
    for (at, name) in dots.into_iter().filter(|(at, _)| *at > after) {
        let entry = Entry { at, ino: id, kind: DT_DIR, name };
        if !put(mount, None, &entry, plus, end, out)? {
            break;
        }
    }
    let (mut last, mut full) = (after, false);
    for entry in listing.after(after) {
        if !put(mount, Some(id), &entry, plus, end, out)? {
            full = true;
            break;
        }
        last = entry.at;
    }
    // Of a large directory a part may be over: the rest is listed with the next request.
    if full || listing.covers(last) {
        keep(mount, id, listing);
    }
    Ok(())
}

/// Appends an entry; false where there is no room for it. `parent`: where it is, for what is more than a name.
fn put(mount: &mut Mount, parent: Option<Id>, entry: &Entry, plus: bool, end: usize, out: &mut Vec<u8>) -> Res<bool> {
    let length = dirent_len(entry.name) + if plus { ENTRY } else { 0 };
    if out.len() + length > end {
        return Ok(false);
    }
    if plus {
        let before = out.len();
        if parent.is_none_or(|parent| tell(mount, parent, entry.name, out).is_none()) {
            // Only the name is told.
            out.truncate(before);
            put_entry(out, 0, Validity::default(), &Attributes::default());
        }
    }
    put_dirent(out, entry.ino, entry.at, entry.kind, entry.name);
    Ok(true)
}

/// Tells of an entry what LOOKUP would.
fn tell(mount: &mut Mount, parent: Id, name: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut buf = [0; MAX_NAME + 1];
    buf.get_mut(..name.len())?.copy_from_slice(name);
    let name = CStr::from_bytes_until_nul(&buf).ok()?;
    let dir = mount.shared.dir(parent).ok()?;
    let stat = files::stat_at(dir.raw(), name).ok()?;
    mount.tell_entry(parent, name, &stat, out).ok().map(|_| ())
}
