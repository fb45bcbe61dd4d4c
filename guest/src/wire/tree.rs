//! The records that trees travel in, and the rules they obey. Pure. Whatever breaks a rule is taken for an attack.

use crate::wire::fields::{put_field, put_uint, put_varint, read_varint, Reader};
use crate::wire::messages::file_kind::{DIRECTORY, FILE, HARD_LINK, SYMLINK};
use crate::wire::messages::FileInfo;

/// The longest record, without its length.
pub const MAX_RECORD: usize = 65_536;
/// The most content of one record.
pub const MAX_DATA: usize = 65_000;
const MAX_PATH: usize = 4096;
/// XATTR_NAME_MAX, linux/limits.h
const MAX_ATTRIBUTE_NAME: usize = 255;
pub const MAX_DEPTH: usize = 256;

/// An extended attribute: its name and value.
pub type Attribute<'a> = (&'a [u8], &'a [u8]);

/// What one record says.
#[derive(Debug, PartialEq, Eq)]
pub enum Record<'a> {
    Entry(FileInfo<'a>, Vec<Attribute<'a>>),
    Data(&'a [u8]),
    End,
}

/// A rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// The first record of `buf` and its length; `None` when more bytes are needed.
pub fn next(buf: &[u8]) -> Result<Option<(Record<'_>, usize)>, Broken> {
    let Some((len, used)) = read_varint(buf).map_err(|_| Broken("a record's length is malformed"))? else {
        return Ok(None);
    };
    if len > MAX_RECORD as u64 {
        return Err(Broken("a record is longer than 65536 bytes"));
    }
    let end = used + len as usize;
    match buf.get(used..end) {
        Some(body) => Ok(Some((decode(body)?, end))),
        None => Ok(None),
    }
}

fn decode(body: &[u8]) -> Result<Record<'_>, Broken> {
    let malformed = |_| Broken("a record is malformed");
    let mut fields = Reader::new(body);
    let (mut entry, mut data, mut end) = (None, None, false);
    let mut attributes = Vec::new();
    while let Some((number, value)) = fields.next().map_err(malformed)? {
        match number {
            1 => entry = Some(value.bytes().map_err(malformed)?),
            2 => data = Some(value.bytes().map_err(malformed)?),
            3 => end = value.bool().map_err(malformed)?,
            9 => attributes.push(decode_attribute(value.bytes().map_err(malformed)?)?),
            _ => {}
        }
    }
    if entry.is_none() && !attributes.is_empty() {
        return Err(Broken("attributes come without an entry"));
    }
    match (entry, data, end) {
        (Some(entry), None, false) => {
            let info = FileInfo::decode(entry).map_err(malformed)?;
            check_entry(&info)?;
            Ok(Record::Entry(info, attributes))
        }
        (None, Some(data), false) => {
            if data.is_empty() || data.len() > MAX_DATA {
                return Err(Broken("a data record holds nothing, or more than 65000 bytes"));
            }
            Ok(Record::Data(data))
        }
        (None, None, true) => Ok(Record::End),
        _ => Err(Broken("a record is not exactly one of entry, data and end")),
    }
}

fn decode_attribute(body: &[u8]) -> Result<Attribute<'_>, Broken> {
    let malformed = |_| Broken("a record is malformed");
    let mut fields = Reader::new(body);
    let (mut name, mut content): Attribute = (b"", b"");
    while let Some((number, value)) = fields.next().map_err(malformed)? {
        match number {
            1 => name = value.bytes().map_err(malformed)?,
            2 => content = value.bytes().map_err(malformed)?,
            _ => {}
        }
    }
    if name.is_empty() || name.len() > MAX_ATTRIBUTE_NAME || name.contains(&0) {
        return Err(Broken("an attribute has no name that can be"));
    }
    Ok((name, content))
}

/// A mode of no permission, where 0 is none that was told (PROTOCOL.md). It is given to chmod as it is, which takes the permissions alone.
const NO_PERMISSION: u32 = 0o100_000;

fn check_entry(info: &FileInfo) -> Result<(), Broken> {
    check_path(info.path)?;
    if !matches!(info.kind, FILE | DIRECTORY | SYMLINK | HARD_LINK) {
        return Err(Broken("an entry is no file, directory or link"));
    }
    if (info.mode > 0o7777 && info.mode != NO_PERMISSION) || info.mtime_ns > 999_999_999 {
        return Err(Broken("an entry's mode or time is out of range"));
    }
    if info.kind == HARD_LINK {
        check_path(info.target)?;
        if info.path.is_empty() || info.path == info.target {
            return Err(Broken("an entry is a link to itself"));
        }
    }
    let link = matches!(info.kind, SYMLINK | HARD_LINK);
    if link == info.target.is_empty() || info.target.len() > MAX_PATH || info.target.contains(&0) {
        return Err(Broken("an entry's link target is wrong"));
    }
    Ok(())
}

/// A relative path without empty, "." or ".." components; empty for the root.
fn check_path(path: &[u8]) -> Result<(), Broken> {
    if path.is_empty() {
        return Ok(());
    }
    if path.len() > MAX_PATH || path.contains(&0) {
        return Err(Broken("a path is longer than 4096 bytes or holds a NUL byte"));
    }
    let mut depth = 0;
    for component in path.split(|&b| b == b'/') {
        if matches!(component, b"" | b"." | b"..") {
            return Err(Broken("a path has an empty, '.' or '..' component"));
        }
        depth += 1;
    }
    if depth > MAX_DEPTH {
        return Err(Broken("a path is deeper than 256 components"));
    }
    Ok(())
}

/// The order that records must come in.
#[derive(Default)]
pub struct Order {
    begun: bool,
    in_file: bool,
    /// the root is a file or symlink: nothing follows it
    single: bool,
}

impl Order {
    /// Takes note of a record; an error if it may not come now.
    pub fn take(&mut self, record: &Record) -> Result<(), Broken> {
        match record {
            Record::Entry(..) if self.in_file => Err(Broken("a file's content has no end")),
            Record::Entry(info, _) => {
                if self.begun == info.path.is_empty() {
                    return Err(Broken("the root must be the first entry, and only that"));
                }
                if self.single {
                    return Err(Broken("a file has entries below it"));
                }
                self.single = !self.begun && info.kind != DIRECTORY;
                self.begun = true;
                self.in_file = info.kind == FILE;
                Ok(())
            }
            Record::Data(_) if self.in_file => Ok(()),
            Record::End if self.in_file => {
                self.in_file = false;
                Ok(())
            }
            _ => Err(Broken("content comes without a file")),
        }
    }

    /// The stream is over; an error if something is missing.
    pub fn end(&self) -> Result<(), Broken> {
        if self.in_file || !self.begun {
            return Err(Broken("the stream ends too early"));
        }
        Ok(())
    }
}

/// Appends an entry.
pub fn put_entry(out: &mut Vec<u8>, info: &FileInfo) {
    let mut body = Vec::new();
    info.encode(&mut body);
    let mut record = Vec::new();
    put_field(&mut record, 1, &body);
    put_varint(out, record.len() as u64);
    out.extend_from_slice(&record);
}

/// What a record of a difference says of an entry besides.
#[derive(Default)]
pub struct Extra<'a> {
    /// of a directory: nothing of what lies below it is left
    pub opaque: bool,
    /// of a file: its content does not follow
    pub same: bool,
    /// of a device
    pub device: (u32, u32),
    /// names and values
    pub attributes: &'a [(Vec<u8>, Vec<u8>)],
}

/// Appends an entry of a difference. Returns false if it is too long, and appends nothing.
pub fn put_changed(out: &mut Vec<u8>, info: &FileInfo, extra: &Extra) -> bool {
    let mut body = Vec::new();
    info.encode(&mut body);
    let mut record = Vec::new();
    put_field(&mut record, 1, &body);
    put_uint(&mut record, 5, extra.opaque.into());
    put_uint(&mut record, 6, extra.same.into());
    put_uint(&mut record, 7, extra.device.0.into());
    put_uint(&mut record, 8, extra.device.1.into());
    for (name, value) in extra.attributes {
        let mut attribute = Vec::new();
        put_field(&mut attribute, 1, name);
        put_field(&mut attribute, 2, value);
        put_field(&mut record, 9, &attribute);
    }
    if record.len() > MAX_RECORD {
        return false;
    }
    put_varint(out, record.len() as u64);
    out.extend_from_slice(&record);
    true
}

/// Appends the path of what was removed.
pub fn put_removed(out: &mut Vec<u8>, path: &[u8]) {
    let mut record = Vec::new();
    put_field(&mut record, 4, path);
    put_varint(out, record.len() as u64);
    out.extend_from_slice(&record);
}

/// Appends what comes before `len` bytes of content.
pub fn put_data_header(out: &mut Vec<u8>, len: usize) {
    let mut header = Vec::new();
    put_varint(&mut header, 2 << 3 | 2);
    put_varint(&mut header, len as u64);
    put_varint(out, (header.len() + len) as u64);
    out.extend_from_slice(&header);
}

/// Appends the end of a file's content.
pub fn put_end(out: &mut Vec<u8>) {
    let mut record = Vec::new();
    put_uint(&mut record, 3, 1);
    put_varint(out, record.len() as u64);
    out.extend_from_slice(&record);
}
