//! A program that runs: its output goes into bounded files, signals go to it, and how it ended is written down.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::exit_file::ExitFile;
use crate::log::Log;
use crate::network::Network;
use crate::sys::read;

/// One read.
const CHUNK: usize = 64 * 1024;
/// What is read after the program's end at most: its children may write for ever.
const REST_READS: usize = 64;

/// A program that runs.
pub struct Running {
    /// the program's process
    pub pid: i32,
    /// our child: the program itself, or what it is wrapped in
    pub child: i32,
    pub wrapped: bool,
    pub signals: OwnedFd,
    pub console: Option<OwnedFd>,
    pub messages: Option<OwnedFd>,
    pub console_log: Log,
    pub messages_log: Log,
    pub exit: ExitFile,
    pub network: Option<Network>,
}

impl Running {
    /// Connects its network, which is closed until then, while the program starts: nobody waits for it. Without a filter it ends.
    pub fn connect(&mut self) {
        let Some(Err((what, error))) = self.network.as_mut().map(Network::connect) else { return };
        copy(&mut self.messages, &mut self.messages_log, REST_READS); // why, in the words of the program that failed
        let reason = std::io::Error::from_raw_os_error(error);
        self.messages_log.append(format!("smolvm-monitor: {what}: {reason}\n").as_bytes());
        // SAFETY: plain calls; our child is not reaped yet.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::kill(self.child, libc::SIGKILL);
        }
    }

    /// Copies output until the program ends, then writes down how.
    pub fn follow(&mut self) {
        let mut patience = None;
        loop {
            let entry = |fd: Option<RawFd>| libc::pollfd { fd: fd.unwrap_or(-1), events: libc::POLLIN, revents: 0 };
            let mut polled = [
                entry(Some(self.signals.as_raw_fd())),
                entry(self.console.as_ref().map(AsRawFd::as_raw_fd)),
                entry(self.messages.as_ref().map(AsRawFd::as_raw_fd)),
                entry(self.network.as_ref().map(Network::fd)), // only wakes us
            ];
            // SAFETY: four entries. An error can only be an interruption.
            unsafe { libc::poll(polled.as_mut_ptr(), 4, patience.unwrap_or(-1)) };
            if polled[1].revents != 0 {
                copy(&mut self.console, &mut self.console_log, 1);
            }
            if polled[2].revents != 0 {
                copy(&mut self.messages, &mut self.messages_log, 1);
            }
            if polled[0].revents != 0 {
                self.on_signals();
                if let Some(status) = self.ended() {
                    if let Some(network) = &mut self.network {
                        network.end();
                    }
                    copy(&mut self.console, &mut self.console_log, REST_READS);
                    copy(&mut self.messages, &mut self.messages_log, REST_READS);
                    self.reap_rest();
                    return self.exit.write(i64::from(self.pid), status.code.map(i64::from), status.signal);
                }
            }
            patience = self.tend_network();
        }
    }

    /// Milliseconds after which it wants to be looked after again.
    fn tend_network(&mut self) -> Option<i32> {
        let (wait, told) = self.network.as_mut()?.tend();
        if let Some(told) = told {
            self.messages_log.append(format!("smolvm-monitor: {told}\n").as_bytes());
        }
        wait.map(|wait| wait.as_millis() as i32 + 1)
    }

    fn on_signals(&self) {
        let mut info = [0u8; std::mem::size_of::<libc::signalfd_siginfo>()];
        while read(self.signals.as_raw_fd(), &mut info) == Ok(info.len()) {
            let signal = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]) as i32;
            if signal == libc::SIGTERM || signal == libc::SIGINT {
                // SAFETY: plain call; our child is not reaped yet. A wrapper ends as soon as its program has, so for hardly
                // a moment is the number free.
                unsafe { libc::kill(self.pid, signal) };
            }
        }
    }

    /// How the program has ended, if it has.
    fn ended(&self) -> Option<End> {
        let mut status = 0;
        // SAFETY: plain out parameter.
        let pid = unsafe { libc::waitpid(self.child, &mut status, libc::WNOHANG) };
        (pid == self.child).then(|| End::of(status, self.wrapped))
    }

    /// Waits for what is left of a wrapper: it dies with its parent, so this takes no time.
    fn reap_rest(&self) {
        // SAFETY: plain call; it fails when there is no child.
        while self.wrapped && unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
    }
}

/// How a program ended: one of the two.
struct End {
    code: Option<i32>,
    signal: Option<i32>,
}

impl End {
    /// A wrapper ends as shells do, with 128 and the number of the signal that ended its program. Higher numbers than these
    /// are codes of VMMs themselves (Firecracker's are 148 to 157).
    fn of(status: i32, wrapped: bool) -> End {
        let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        match code.map(|code| code - 128) {
            Some(signal @ (1..=libc::SIGTERM | libc::SIGSYS)) if wrapped => End { code: None, signal: Some(signal) },
            _ => End { code, signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)) },
        }
    }
}

/// Copies what is there, in at most `reads` reads; a stream that is over is closed.
fn copy(from: &mut Option<OwnedFd>, to: &mut Log, reads: usize) {
    let mut buf = [0u8; CHUNK];
    for _ in 0..reads {
        let Some(fd) = from else { return };
        match read(fd.as_raw_fd(), &mut buf) {
            Ok(0) => *from = None,
            Ok(n) => to.append(&buf[..n]),
            Err(libc::EAGAIN) => return,
            Err(_) => *from = None,
        }
    }
}
