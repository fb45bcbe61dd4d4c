//! What a running program has in a part of its memory, into a sparse file: a virtual machine's memory, as its VMM maps it.
//!
//! A part that maps a file privately shares with that file what it has not written. So this works in two steps: what the file
//! holds is copied while the machine runs; what is the program's own, and that alone, when it has been stopped. Which pages those
//! are the kernel says (/proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst). Who goes on with the same file needs only what is
//! the program's own: that is given to a program which maps the file as well, and has not begun (`give`).

use crate::copy::{create, fill};
use crate::layers::Map;
use crate::sparse::{is_zero, punch};
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

const PAGE: u64 = 4096;
/// Bits of a page's entry: it is a file's or shared; it is in swap; it is present.
const OF_FILE: u64 = 1 << 61;
const SWAPPED: u64 = 1 << 62;
const PRESENT: u64 = 1 << 63;
/// Pages looked at together: 4 MiB.
const BATCH: u64 = 1024;

pub struct Part {
    pub pid: u32,
    pub address: u64,
    /// in bytes, whole pages
    pub size: u64,
}

/// `PID ADDRESS SIZE FILE [MAP]`, numbers in decimal, the size in bytes.
pub fn parse(mut args: impl Iterator<Item = OsString>) -> Option<(Part, OsString, Option<OsString>)> {
    let mut number = || args.next()?.to_str()?.parse::<u64>().ok();
    let (pid, address, size) = (number()?.try_into().ok()?, number()?, number()?);
    let fits = address % PAGE == 0 && size % PAGE == 0 && address.checked_add(size).is_some();
    fits.then_some((Part { pid, address, size }, args.next()?, args.next()))
}

/// Says `ready` when it has what can be had before, waits for a line on stdin, and says `copied N`: pages that were the program's own. With
/// the name of a map the file gets these alone, and the map says which they are. Returns an exit status; nothing is left on failure, and none of it is on the disk for sure yet.
pub fn save(part: &Part, to: &Path, map: Option<&Path>) -> i32 {
    let done = create(to).and_then(|target| {
        take(part, &target, map).inspect_err(|_| {
            let _ = std::fs::remove_file(to);
        })
    });
    match done {
        Ok(pages) => {
            println!("copied {pages}");
            0
        }
        Err(error) => {
            eprintln!("{}: {error}", to.display());
            1
        }
    }
}

fn take(part: &Part, target: &File, map: Option<&Path>) -> io::Result<u64> {
    let proc = |name: &str| File::open(format!("/proc/{}/{name}", part.pid));
    let mapping = mapping_at(&proc("maps")?, part.address)?;
    let base = if mapping.begins_at(part.address) { file_of(part.pid, mapping.inode) } else { None };
    match &base {
        Some(file) if map.is_none() => fill(file, target, part.size)?,
        Some(_) => target.set_len(part.size)?,
        None if map.is_some() => return Err(io::Error::other("it maps no file that others could map")),
        None => target.set_len(part.size)?,
    }
    let (pages, memory) = (proc("pagemap")?, proc("mem")?);
    println!("ready");
    io::stdout().flush()?;
    let mut line = [0; 1];
    if io::stdin().read(&mut line)? == 0 {
        return Err(io::Error::other("nobody said that the machine is stopped"));
    }
    // A file that cannot be had can only be read through the program: all of it.
    let wanted = if base.is_some() || !mapping.is_file() { Wanted::Own } else { Wanted::All };
    let mut own = map.map(|_| Map::new(part.size));
    let copied = copy_pages(part, &wanted, &pages, &memory, target, own.as_mut())?;
    if let (Some(path), Some(own)) = (map, own) {
        own.write(path)?;
    }
    Ok(copied)
}

/// Gives a program pages that were another's: those that the map names. It maps what the other mapped, at that address, and does not run yet.
pub fn give(part: &Part, from: &Path, map: &Path) -> io::Result<u64> {
    let source = File::open(from)?;
    if source.metadata()?.len() != part.size {
        return Err(io::Error::other("it is of another size"));
    }
    let own = Map::read(map, part.size)?;
    let memory = OpenOptions::new().write(true).open(format!("/proc/{}/mem", part.pid))?;
    let mut content = vec![0; (BATCH * PAGE) as usize];
    let mut given = 0;
    for run in own.runs(0..part.size / PAGE) {
        let mut first = run.start;
        while first < run.end {
            let count = BATCH.min(run.end - first);
            let bytes = &mut content[..(count * PAGE) as usize];
            source.read_exact_at(bytes, first * PAGE)?;
            memory.write_all_at(bytes, part.address + first * PAGE)?;
            first += count;
        }
        given += run.end - run.start;
    }
    Ok(given)
}

/// Which pages are copied.
enum Wanted {
    /// those that the program has to itself
    Own,
    All,
}

fn copy_pages(
    part: &Part,
    wanted: &Wanted,
    pages: &File,
    memory: &File,
    target: &File,
    mut map: Option<&mut Map>,
) -> io::Result<u64> {
    let mut entries = vec![0; (BATCH * 8) as usize];
    let mut content = vec![0; (BATCH * PAGE) as usize];
    let mut copied = 0;
    let total = part.size / PAGE;
    let mut first = 0;
    while first < total {
        let count = BATCH.min(total - first);
        let entries = &mut entries[..(count * 8) as usize];
        pages.read_exact_at(entries, (part.address / PAGE + first) * 8)?;
        let own = |index: u64| {
            let at = (index * 8) as usize;
            let entry = u64::from_ne_bytes(entries[at..at + 8].try_into().unwrap_or_default());
            matches!(wanted, Wanted::All) || (entry & (PRESENT | SWAPPED) != 0 && entry & OF_FILE == 0)
        };
        let mut index = 0;
        while index < count {
            let start = index;
            while index < count && own(index) {
                index += 1;
            }
            if index > start {
                let bytes = &mut content[..((index - start) * PAGE) as usize];
                let offset = (first + start) * PAGE;
                memory.read_exact_at(bytes, part.address + offset)?;
                put(target, bytes, offset)?;
                if let Some(map) = &mut map {
                    (first + start..first + index).for_each(|page| map.add(page));
                }
                copied += index - start;
            } else {
                index += 1;
            }
        }
        first += count;
    }
    Ok(copied)
}

/// Copies a file that holds a memory whole, without its pages of zeros. Returns an exit status; nothing is left on failure.
pub fn save_file(from: &Path, to: &Path) -> i32 {
    let done = File::open(from).and_then(|source| Ok((source, create(to)?))).and_then(|(source, target)| {
        copy_file(&source, &target).inspect_err(|_| {
            let _ = std::fs::remove_file(to);
        })
    });
    match done {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}: {error}", to.display());
            1
        }
    }
}

fn copy_file(source: &File, target: &File) -> io::Result<()> {
    let size = source.metadata()?.len();
    if size % PAGE != 0 {
        return Err(io::Error::other("it is no memory: there is a piece of a page"));
    }
    target.set_len(size)?;
    let mut content = vec![0; (BATCH * PAGE) as usize];
    let mut at = 0;
    while at < size {
        let bytes = &mut content[..(BATCH * PAGE).min(size - at) as usize];
        source.read_exact_at(bytes, at)?;
        put(target, bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(())
}

/// Writes pages; those of zeros become holes.
fn put(target: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let page = PAGE as usize;
    let count = bytes.len() / page;
    let zero = |index: usize| is_zero(&bytes[index * page..(index + 1) * page]);
    let mut index = 0;
    while index < count {
        let (start, is_hole) = (index, zero(index));
        while index < count && zero(index) == is_hole {
            index += 1;
        }
        let at = offset + (start * page) as u64;
        if is_hole {
            punch(target, at, ((index - start) * page) as u64)?;
        } else {
            target.write_all_at(&bytes[start * page..index * page], at)?;
        }
    }
    Ok(())
}

/// A line of /proc/PID/maps.
struct Mapping {
    start: u64,
    offset: u64,
    inode: u64,
}

impl Mapping {
    fn is_file(&self) -> bool {
        self.inode != 0
    }

    /// It maps a file, whose first byte is that at `address`.
    fn begins_at(&self, address: u64) -> bool {
        self.is_file() && self.offset + (address - self.start) == 0
    }
}

/// The file with that number, by a descriptor that the program has of it: its name may be gone, or be another's.
fn file_of(pid: u32, inode: u64) -> Option<File> {
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        let is_it = |is: &Metadata| is.is_file() && is.ino() == inode;
        if std::fs::metadata(entry.path()).is_ok_and(|is| is_it(&is)) {
            let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(entry.path()).ok()?;
            return file.metadata().is_ok_and(|is| is_it(&is)).then_some(file);
        }
    }
    None
}

fn mapping_at(mut maps: &File, address: u64) -> io::Result<Mapping> {
    let mut text = Vec::new();
    maps.read_to_end(&mut text)?;
    let found = text.split(|&byte| byte == b'\n').find_map(|line| parse_line(line, address));
    found.ok_or_else(|| io::Error::other("there is no memory at that address"))
}

/// `START-END PERMISSIONS OFFSET DEVICE INODE PATH`, numbers in hex but for the inode (proc(5)); None if it is not at `address`.
fn parse_line(line: &[u8], address: u64) -> Option<Mapping> {
    let text = std::str::from_utf8(line).ok()?;
    let mut fields = text.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let (start, end) = (hex(start)?, hex(end)?);
    if !(start..end).contains(&address) {
        return None;
    }
    let offset = hex(fields.nth(1)?)?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some(Mapping { start, offset, inode })
}
