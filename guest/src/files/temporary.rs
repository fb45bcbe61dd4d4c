//! Files that are to take another's place. Their names say what they are: a watch does not tell of them, only of what they become.

use std::ffi::{CStr, CString};

use crate::files::info::FileStat;
use crate::files::paths::rename_at;
use crate::sys::text::{decimal, parse_decimal};
use crate::sys::{self, Errno, Fd, Res};

/// Modes of new files, before the umask.
pub const NEW_FILE: u32 = 0o666;

const PREFIX: &[u8] = b".smolvm-";

/// What the place is that a temporary file takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// there is nothing yet
    New,
    /// something there goes
    Taken,
}

impl Place {
    fn suffix(self) -> &'static [u8] {
        match self {
            Place::New => b".new",
            Place::Taken => b".tmp",
        }
    }
}

/// Makes something under a name that nobody else uses. `directory` is a prefix that ends with a slash, or empty.
pub fn with_temporary<T>(directory: &[u8], place: Place, mut make: impl FnMut(&CStr) -> Res<T>) -> Res<(T, CString)> {
    // SAFETY: plain call.
    let pid = unsafe { libc::getpid() } as u64;
    for attempt in 0..100u64 {
        let (_, ns) = sys::clock(libc::CLOCK_MONOTONIC);
        let unique = decimal(u64::from(ns) + attempt);
        let name = [directory, PREFIX, decimal(pid).as_bytes(), b"-", unique.as_bytes(), place.suffix()].concat();
        let name = CString::new(name).map_err(|_| Errno(libc::EINVAL))?;
        match make(&name) {
            Err(Errno(libc::EEXIST)) => {}
            other => return other.map(|made| (made, name)),
        }
    }
    Err(Errno(libc::EEXIST))
}

/// A new file with a name that nobody else uses.
pub fn make_temporary(dir: i32, directory: &[u8], place: Place) -> Res<(Fd, CString)> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    with_temporary(directory, place, |name| sys::openat(dir, name, flags, NEW_FILE))
}

/// What there is under a name.
pub fn place_at(dir: i32, name: &CStr) -> Place {
    if FileStat::of(dir, name, false).is_ok() {
        Place::Taken
    } else {
        Place::New
    }
}

/// Puts something under a name when all of it is done; what is there goes in the same moment, but for directories.
pub fn put_name(dir: i32, name: &CStr, make: impl Fn(&CStr) -> Res<()>, finish: impl Fn(&CStr) -> Res<()>) -> Res<()> {
    let ((), temporary) = with_temporary(b"", place_at(dir, name), make)?;
    let put = finish(&temporary).and_then(|()| rename_at(dir, &temporary, name, true));
    // Between two names of one file a rename does nothing; and one that failed leaves what it could not move.
    // SAFETY: the name is NUL-terminated.
    unsafe { libc::unlinkat(dir, temporary.as_ptr(), 0) };
    put
}

/// The place that a file of this name is to take; none if it is no temporary file's. Pure.
pub fn place_of(name: &[u8]) -> Option<Place> {
    let place = if name.ends_with(Place::New.suffix()) { Place::New } else { Place::Taken };
    let numbers = name.strip_prefix(PREFIX)?.strip_suffix(place.suffix())?;
    let dash = numbers.iter().position(|&b| b == b'-')?;
    parse_decimal(&numbers[..dash]).and(parse_decimal(&numbers[dash + 1..])).map(|_| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_place_they_take() {
        for place in [Place::New, Place::Taken] {
            let ((), name) = with_temporary(b"", place, |_| Ok(())).unwrap();
            assert_eq!(place_of(name.to_bytes()), Some(place));
        }
        for name in [".smolvm-1-2", ".smolvm-1.tmp", ".smolvm--2.tmp", ".smolvm-1-.new", ".smolvm-1-2.tmp2", "a.tmp"] {
            assert_eq!(place_of(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_name_that_is_taken_is_not_used() {
        let mut left = 3;
        let (made, name) = with_temporary(b"/d/", Place::New, |name| {
            left -= 1;
            if left > 0 {
                Err(Errno(libc::EEXIST))
            } else {
                Ok(name.to_owned())
            }
        })
        .unwrap();
        assert_eq!(made, name);
        assert!(name.to_bytes().starts_with(b"/d/.smolvm-"));
        assert_eq!(with_temporary(b"", Place::New, |_| Err::<(), _>(Errno(libc::EACCES))), Err(Errno(libc::EACCES)));
    }
}
