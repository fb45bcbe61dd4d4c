//! The heap. Small blocks are kept, each size by itself, for the next of that size: libc's would give a command's pages back to the
//! kernel at its end, and get others at the beginning of the next one, for which a call and a page fault each time are dear.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// Small blocks have 16, 32, ... up to this many bytes.
const LARGEST: usize = 4096;
/// What all blocks are aligned to, and the least that they have.
const ALIGN: usize = 16;
const SIZES: usize = (LARGEST / ALIGN).ilog2() as usize + 1;
/// So many bytes at a time are got from libc, and never given back: the heap stays as large as it was at its largest.
const CHUNK: usize = 65_536;

/// A block that nobody has.
struct Free {
    next: *mut Free,
}

struct Small {
    free: [*mut Free; SIZES],
    /// what is left of the last chunk
    rest: *mut u8,
    left: usize,
}

/// An allocator for programs with one thread.
pub struct Heap(UnsafeCell<Small>);

// SAFETY: the agent has one thread, and what it forks has as well.
unsafe impl Sync for Heap {}

impl Heap {
    /// An empty one.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Heap {
        Heap(UnsafeCell::new(Small { free: [null_mut(); SIZES], rest: null_mut(), left: 0 }))
    }
}

/// Which size of small blocks fits; none if it is libc's to do.
fn size_of(layout: &Layout) -> Option<usize> {
    let fits = layout.size() <= LARGEST && layout.align() <= ALIGN;
    fits.then(|| (layout.size().max(ALIGN) - 1).ilog2() as usize + 1 - ALIGN.ilog2() as usize)
}

impl Small {
    /// A block of the size, from a chunk.
    unsafe fn cut(&mut self, size: usize) -> *mut u8 {
        let bytes = ALIGN << size;
        if self.left < bytes {
            let chunk = System.alloc(Layout::from_size_align_unchecked(CHUNK, ALIGN));
            if chunk.is_null() {
                return chunk;
            }
            // The rest of the one before is smaller than a block of this size, and is left.
            (self.rest, self.left) = (chunk, CHUNK);
        }
        let block = self.rest;
        self.rest = block.add(bytes);
        self.left -= bytes;
        block
    }
}

// SAFETY: a block is in a free list, or somebody's, never both; sizes and alignment are at least what was asked for.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = size_of(&layout) else { return System.alloc(layout) };
        let small = &mut *self.0.get();
        let first = small.free[size];
        if first.is_null() {
            return small.cut(size);
        }
        small.free[size] = (*first).next;
        first.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(size) = size_of(&layout) else { return System.dealloc(block, layout) };
        let small = &mut *self.0.get();
        let freed: *mut Free = block.cast();
        (*freed).next = small.free[size];
        small.free[size] = freed;
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if size_of(&layout).is_none() {
            return System.alloc_zeroed(layout); // mostly pages that are zero already
        }
        let block = self.alloc(layout);
        if !block.is_null() {
            block.write_bytes(0, layout.size());
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let wanted = Layout::from_size_align_unchecked(bytes, layout.align());
        match (size_of(&layout), size_of(&wanted)) {
            (None, None) => System.realloc(block, layout, bytes),
            (old, new) if old == new => block,
            _ => {
                let moved = self.alloc(wanted);
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(block, layout.size().min(bytes));
                    self.dealloc(block, layout);
                }
                moved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn blocks_are_aligned_and_do_not_overlap() {
        let heap = Heap::new();
        let mut blocks: Vec<(*mut u8, Layout, u8)> = Vec::new();
        for round in 0..2_000u32 {
            let size = (round as usize * 7919) % 9_000 + 1;
            let layout = layout(size, 1 << (round % 7));
            // SAFETY: each block is used within its layout, and given back with it.
            unsafe {
                let block = heap.alloc(layout);
                assert_eq!(block as usize % layout.align(), 0);
                block.write_bytes(round as u8, size);
                blocks.push((block, layout, round as u8));
                if round % 3 == 0 {
                    let (block, layout, mark) = blocks.swap_remove(round as usize % blocks.len());
                    let bytes = std::slice::from_raw_parts(block, layout.size());
                    assert!(bytes.iter().all(|&byte| byte == mark));
                    heap.dealloc(block, layout);
                }
            }
        }
        for (block, layout, mark) in blocks {
            // SAFETY: as above.
            unsafe {
                assert!(std::slice::from_raw_parts(block, layout.size()).iter().all(|&byte| byte == mark));
                heap.dealloc(block, layout);
            }
        }
    }

    #[test]
    fn content_stays_while_a_block_grows_and_shrinks() {
        let heap = Heap::new();
        let mut size = 1;
        // SAFETY: the block is used within its layout.
        unsafe {
            let mut block = heap.alloc(layout(size, 1));
            *block = 7;
            for next in [16, 17, 4096, 4097, 100_000, 5000, 4096, 40, 1] {
                block = heap.realloc(block, layout(size, 1), next);
                size = next;
                assert_eq!(*block, 7);
            }
            heap.dealloc(block, layout(size, 1));
        }
    }

    #[test]
    fn a_block_is_used_again_and_cleared_when_that_is_asked_for() {
        let heap = Heap::new();
        // SAFETY: the blocks are used within their layouts.
        unsafe {
            let first = heap.alloc(layout(100, 8));
            first.write_bytes(0xff, 100);
            heap.dealloc(first, layout(100, 8));
            let second = heap.alloc_zeroed(layout(128, 8));
            assert_eq!(first, second);
            assert!(std::slice::from_raw_parts(second, 128).iter().all(|&byte| byte == 0));
            heap.dealloc(second, layout(128, 8));
        }
    }
}
