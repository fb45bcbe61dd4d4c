//! Files that are kept as their difference to others of the same size: a base, and over it any number of layers, of which each has a map that says, a bit
//! for each block of 4 KiB, what is the layer's. A block of a layer that is a hole is one of zeros.

use crate::copy::{copy_range, create, fill};
use crate::extents::data_after;
use crate::sparse::{is_zero, punch};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK: u64 = 4096;
/// What is compared at once.
const CHUNK: u64 = 1 << 20;

/// A base, and the layers over it with their maps, from the lowest on.
pub struct Stack {
    base: File,
    layers: Vec<(File, Map)>,
    size: u64,
}

/// Which blocks are a layer's.
pub struct Map(Vec<u8>);

impl Map {
    pub fn new(size: u64) -> Map {
        Map(vec![0; size.div_ceil(BLOCK).div_ceil(8) as usize])
    }

    pub fn read(path: &Path, size: u64) -> io::Result<Map> {
        let map = Map(std::fs::read(path)?);
        if map.0.len() != Map::new(size).0.len() {
            return Err(io::Error::other(format!("{} is no map of that layer", path.display())));
        }
        Ok(map)
    }

    /// Into a new file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        create(path)?.write_all_at(&self.0, 0)
    }

    fn has(&self, block: u64) -> bool {
        self.0[(block / 8) as usize] & (1 << (block % 8)) != 0
    }

    pub fn add(&mut self, block: u64) {
        self.0[(block / 8) as usize] |= 1 << (block % 8);
    }

    /// Its blocks within `blocks`, as runs.
    pub fn runs(&self, blocks: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut at = blocks.start;
        std::iter::from_fn(move || {
            while at < blocks.end && !self.has(at) {
                // Most of a map is empty.
                at = if at % 8 == 0 && self.0[(at / 8) as usize] == 0 { at + 8 } else { at + 1 };
            }
            let start = at.min(blocks.end);
            while at < blocks.end && self.has(at) {
                at += 1;
            }
            (start < blocks.end).then_some(start..at)
        })
    }
}

impl Stack {
    /// `BASE [LAYER MAP]...`
    fn open(mut paths: impl Iterator<Item = OsString>) -> io::Result<Stack> {
        let missing = || io::Error::other("a layer without a map");
        let base = File::open(paths.next().ok_or_else(missing)?)?;
        let size = base.metadata()?.len();
        let mut layers = Vec::new();
        while let Some(layer) = paths.next() {
            let file = File::open(layer)?;
            if file.metadata()?.len() != size {
                return Err(io::Error::other("its layers are not of one size"));
            }
            layers.push((file, Map::read(&PathBuf::from(paths.next().ok_or_else(missing)?), size)?));
        }
        Ok(Stack { base, layers, size })
    }

    fn files(&self) -> impl Iterator<Item = &File> {
        std::iter::once(&self.base).chain(self.layers.iter().map(|(file, _)| file))
    }

    /// Reads whole blocks, but for the last.
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.base.read_exact_at(buffer, offset)?;
        let blocks = offset / BLOCK..(offset + buffer.len() as u64).div_ceil(BLOCK);
        for (file, map) in &self.layers {
            for run in map.runs(blocks.clone()) {
                let start = (run.start * BLOCK - offset) as usize;
                let end = ((run.end * BLOCK - offset) as usize).min(buffer.len());
                file.read_exact_at(&mut buffer[start..end], offset + start as u64)?;
            }
        }
        Ok(())
    }
}

/// `TO BASE [LAYER MAP]...`: writes what they are together into a new file. Nothing is left on failure.
pub fn join(mut args: impl Iterator<Item = OsString>) -> io::Result<()> {
    let to = args.next().ok_or_else(|| io::Error::other("no file is named"))?;
    let stack = Stack::open(args)?;
    let target = create(Path::new(&to))?;
    join_into(&stack, &target).inspect_err(|_| {
        let _ = std::fs::remove_file(&to);
    })
}

fn join_into(stack: &Stack, target: &File) -> io::Result<()> {
    fill(&stack.base, target, stack.size)?;
    for (layer, map) in &stack.layers {
        for run in map.runs(0..stack.size.div_ceil(BLOCK)) {
            let end = (run.end * BLOCK).min(stack.size);
            let mut at = run.start * BLOCK;
            while at < end {
                let (start, data_end) = match data_after(layer, at as i64)? {
                    Some((start, data_end)) => ((start as u64).min(end), (data_end as u64).min(end)),
                    None => (end, end),
                };
                if start > at {
                    punch(target, at, start - at)?;
                }
                copy_range(layer, target, start as i64, data_end as i64)?;
                at = data_end;
            }
        }
    }
    Ok(())
}

/// What became of a file that was to be a difference.
pub enum Subtracted {
    /// its blocks that are its own, of all that hold data
    Difference { own: u64, of: u64 },
    /// too much of it is its own: it is as it was
    Whole { own: u64, of: u64 },
}

/// `PERCENT FILE MAP BASE [LAYER MAP]...`: makes holes in FILE where it is what the others are, and writes the map of what is not into a new file; unless
/// that is more than so much of what the file holds.
pub fn subtract(mut args: impl Iterator<Item = OsString>) -> io::Result<Subtracted> {
    let mut next = || args.next().ok_or_else(|| io::Error::other("a word is missing"));
    let (percent, path, map_path) = (next()?, next()?, next()?);
    let percent: u64 =
        percent.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| io::Error::other("no number"))?;
    let stack = Stack::open(args)?;
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    if file.metadata()?.len() != stack.size {
        return Err(io::Error::other("its layers are of another size"));
    }
    let mut map = Map::new(stack.size);
    let (own, of) = compare(&file, &stack, &mut map)?;
    if own * 100 > of * percent {
        return Ok(Subtracted::Whole { own, of });
    }
    let last = stack.size.div_ceil(BLOCK);
    let mut at = 0;
    for run in map.runs(0..last).chain(std::iter::once(last..last)) {
        if run.start > at {
            punch(&file, at * BLOCK, (run.start * BLOCK).min(stack.size) - at * BLOCK)?;
        }
        at = run.end;
    }
    map.write(Path::new(&map_path))?;
    Ok(Subtracted::Difference { own, of })
}

/// Notes the blocks of `file` that are not those of `stack`. Returns how many, and how many of its blocks are not all zeros.
fn compare(file: &File, stack: &Stack, map: &mut Map) -> io::Result<(u64, u64)> {
    let (mut own, mut of, mut at) = (0, 0, 0);
    let (mut is, mut was) = (vec![0; CHUNK as usize], vec![0; CHUNK as usize]);
    while let Some(part) = data_of_any(file, stack, at)? {
        at = part.start;
        while at < part.end {
            let length = CHUNK.min(part.end - at) as usize;
            let (is, was) = (&mut is[..length], &mut was[..length]);
            file.read_exact_at(is, at)?;
            stack.read(was, at)?;
            for (index, (is, was)) in is.chunks(BLOCK as usize).zip(was.chunks(BLOCK as usize)).enumerate() {
                of += u64::from(!is_zero(is));
                if is != was {
                    own += 1;
                    map.add(at / BLOCK + index as u64);
                }
            }
            at += length as u64;
        }
    }
    Ok((own, of))
}

/// The next part in which any of the files has data, in whole blocks.
fn data_of_any(file: &File, stack: &Stack, at: u64) -> io::Result<Option<Range<u64>>> {
    let mut next: Option<Range<u64>> = None;
    for file in std::iter::once(file).chain(stack.files()) {
        let Some((start, end)) = data_after(file, at as i64)? else { continue };
        let part = (start as u64 / BLOCK * BLOCK).max(at)..(end as u64).next_multiple_of(BLOCK).min(stack.size);
        if part.start < part.end && next.as_ref().is_none_or(|next| part.start < next.start) {
            next = Some(part);
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 40 * BLOCK as usize;

    /// A file with a byte in each of the named blocks; the others are holes.
    fn file(dir: &Path, name: &str, blocks: &[(u64, u8)]) -> PathBuf {
        let path = dir.join(name);
        let file = create(&path).unwrap();
        file.set_len(SIZE as u64).unwrap();
        for &(block, byte) in blocks {
            file.write_all_at(&vec![byte; BLOCK as usize], block * BLOCK).unwrap();
        }
        path
    }

    fn words(paths: &[&Path]) -> std::vec::IntoIter<OsString> {
        paths.iter().map(|path| path.as_os_str().to_owned()).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn what_is_subtracted_and_joined_again_is_what_it_was() {
        let dir = std::env::temp_dir().join(format!("smolvm-layers-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let base = file(&dir, "base", &[(0, 1), (1, 1), (2, 1), (9, 1), (39, 1)]);
        // one the same, one another, one zero, one new, one more
        let first = file(&dir, "first", &[(0, 1), (1, 2), (9, 1), (20, 2), (39, 1)]);
        let second = file(&dir, "second", &[(0, 1), (1, 2), (2, 1), (9, 3), (39, 1)]);
        let (whole_first, whole_second) = (std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
        let (map1, map2) = (dir.join("map1"), dir.join("map2"));
        let percent = Path::new("100");

        let done = subtract(words(&[percent, &first, &map1, &base])).unwrap();
        assert!(matches!(done, Subtracted::Difference { own: 3, of: 5 }));
        let done = subtract(words(&[percent, &second, &map2, &base, &first, &map1])).unwrap();
        assert!(matches!(done, Subtracted::Difference { own: 3, of: 5 })); // 2 is there again, 9 is another, 20 is zero
        let joined = dir.join("joined");
        join(words(&[&joined, &base, &first, &map1, &second, &map2])).unwrap();
        assert!(std::fs::read(&joined).unwrap() == whole_second);
        std::fs::remove_file(&joined).unwrap();
        join(words(&[&joined, &base, &first, &map1])).unwrap();
        assert!(std::fs::read(&joined).unwrap() == whole_first);
        // Only what is its own takes room, where the file system has holes.
        assert_eq!(
            data_after(&File::open(&second).unwrap(), 0).unwrap().unwrap(),
            (2 * BLOCK as i64, 3 * BLOCK as i64)
        );

        // Too much of its own: it stays whole. Another size, a map that is none: refused, and nothing is left.
        let other = file(&dir, "other", &[(5, 5), (6, 6)]);
        let none = dir.join("none");
        let whole = subtract(words(&[Path::new("50"), &other, &none, &base])).unwrap();
        assert!(matches!(whole, Subtracted::Whole { own: 7, of: 2 }));
        assert!(!none.exists());
        std::fs::write(&none, b"xx").unwrap();
        let to = dir.join("to");
        assert!(join(words(&[&to, &base, &first, &none])).is_err());
        assert!(!to.exists());
        OpenOptions::new().write(true).open(&first).unwrap().set_len(7).unwrap();
        assert!(join(words(&[&to, &base, &first, &map1])).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
