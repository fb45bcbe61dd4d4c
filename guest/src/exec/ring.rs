//! The last output of a detached process: a byte ring that remembers which channel each byte came from. Pure.

use std::collections::VecDeque;

/// Bytes kept per process. A change of channel costs [`SEGMENT_COST`] of them.
pub const CAPACITY: usize = 262_144;
/// What a segment's bookkeeping takes, so that one-byte writes on alternating channels stay bounded too.
const SEGMENT_COST: usize = 16;

struct Segment {
    /// position just behind its last byte, counted from the process's first byte of output
    end: u64,
    channel: u8,
}

#[derive(Default)]
pub struct Ring {
    bytes: VecDeque<u8>,
    segments: VecDeque<Segment>,
    /// position of the oldest byte kept
    start: u64,
}

impl Ring {
    /// Position behind the newest byte.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Position of the oldest byte kept.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Appends output; the oldest falls out.
    pub fn push(&mut self, channel: u8, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.bytes.extend(data);
        let end = self.end();
        match self.segments.back_mut() {
            Some(last) if last.channel == channel => last.end = end,
            _ => self.segments.push_back(Segment { end, channel }),
        }
        while self.bytes.len() + self.segments.len() * SEGMENT_COST > CAPACITY {
            let over = self.bytes.len() + self.segments.len() * SEGMENT_COST - CAPACITY;
            let first = &self.segments[0];
            let in_first = (first.end - self.start) as usize;
            let gone = over.min(in_first);
            self.bytes.drain(..gone);
            self.start += gone as u64;
            if gone == in_first {
                self.segments.pop_front();
            }
        }
    }

    /// The bytes at position `at` (which must be kept): their channel and as many as lie together.
    pub fn read(&self, at: u64) -> Option<(u8, &[u8])> {
        if at < self.start || at >= self.end() {
            return None;
        }
        let segment = &self.segments[self.segments.partition_point(|s| s.end <= at)];
        let from = (at - self.start) as usize;
        let to = (segment.end - self.start) as usize;
        let (head, tail) = self.bytes.as_slices();
        let bytes =
            if from < head.len() { &head[from..to.min(head.len())] } else { &tail[from - head.len()..to - head.len()] };
        Some((segment.channel, bytes))
    }
}
