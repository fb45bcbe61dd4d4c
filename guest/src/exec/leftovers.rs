//! Commands that have ended and whose processes have not: what they left in the background, which is anyone's right, and
//! which somebody must be able to see and to end.

use std::collections::VecDeque;

use crate::exec::process::Process;

/// So many are known. The processes of one that is forgotten live on, as bounded as they were.
const KEEP: usize = 512;

#[derive(Default)]
pub struct Leftovers {
    /// oldest first; each has a cgroup
    list: VecDeque<Box<Process>>,
}

impl Leftovers {
    /// Remembers a command that has ended, and its cgroup, in which there are processes.
    pub fn keep(&mut self, process: Box<Process>) {
        self.list.push_back(process);
        if self.list.len() > KEEP {
            self.list.pop_front();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.list.iter().map(|process| &**process)
    }

    pub fn find(&self, id: u32) -> Option<&Process> {
        self.iter().find(|process| process.id == id)
    }

    /// Looks at up to `count` of them, each in turn: those of which nothing is left are no longer any.
    pub fn take_ended(&mut self, count: usize) -> Vec<Box<Process>> {
        let mut ended = Vec::new();
        for _ in 0..self.list.len().min(count) {
            let Some(process) = self.list.pop_front() else { break };
            if process.all_ended() {
                ended.push(process);
            } else {
                self.list.push_back(process);
            }
        }
        ended
    }
}
