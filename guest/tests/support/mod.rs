//! A real agent, as an ordinary process, and a host that talks to it.
#![allow(dead_code)] // each test program uses a part of this

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use smolvm_agent::wire::fields::{put_bytes, put_field, put_uint, Reader, Value};
use smolvm_agent::wire::frame::{kind, put_frame, Header, Sender, HEADER, MAGIC};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Agent {
    pub child: Child,
    pub dir: PathBuf,
}

impl Agent {
    pub fn start() -> Agent {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("smolvm-agent-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let program = Command::new(env!("CARGO_BIN_EXE_smolvm-agent"))
            .arg("--listen-unix")
            .arg(dir.join("s"))
            .stderr(Stdio::null())
            .spawn();
        Agent { child: program.unwrap(), dir }
    }

    pub fn connect(&self) -> UnixStream {
        wait_for("the agent's socket", || UnixStream::connect(self.dir.join("s")).ok())
    }

    pub fn host(&self) -> Host {
        let mut host = Host::on(self.connect());
        host.hello();
        host
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Processor time in clock ticks.
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

#[derive(Default, Debug)]
pub struct Outcome {
    pub opened: bool,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub error: u32,
    pub exit_code: u64,
    pub signal: u64,
    pub process: u64,
    pub dropped: u64,
}

pub struct Host {
    pub socket: UnixStream,
    pub buf: Vec<u8>,
    pub next: u32,
}

pub fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_field(&mut out, number, bytes);
    out
}

pub fn int(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, number, value);
    out
}

pub fn shell(line: &str) -> Vec<u8> {
    field(2, line.as_bytes())
}

impl Host {
    pub fn on(socket: UnixStream) -> Host {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Host { socket, buf: Vec::new(), next: 1 }
    }

    pub fn hello(&mut self) {
        static NONCE: AtomicU32 = AtomicU32::new(1);
        let nonce = u128::from(NONCE.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
        let mut hello = [int(1, 1), int(2, 1)].concat();
        put_bytes(&mut hello, 3, &nonce);
        let mut bytes = MAGIC.to_vec();
        put_frame(&mut bytes, 0, kind::HELLO, 0, &hello);
        self.send(&bytes);
        self.next = 1;
        loop {
            let at = self.buf.windows(16).position(|w| w == MAGIC);
            if let Some(frame) = at.map(|at| &self.buf[at + 16..]) {
                if frame.len() >= HEADER {
                    let header = Header::parse(frame.first_chunk().unwrap(), Sender::Guest).unwrap();
                    if frame.len() >= HEADER + header.len {
                        let ours = frame[HEADER..HEADER + header.len].windows(16).any(|w| w == nonce);
                        let used = at.unwrap() + if ours { 16 + HEADER + header.len } else { 1 };
                        self.buf.drain(..used);
                        if ours {
                            return;
                        }
                        continue;
                    }
                }
            }
            assert!(self.more(), "the agent closed");
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub fn frame(&mut self, stream: u32, kind: u8, flags: u8, payload: &[u8]) {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, stream, kind, flags, payload);
        self.send(&bytes);
    }

    /// Reads what there is; false at the end.
    pub fn more(&mut self) -> bool {
        let mut chunk = vec![0; 1 << 16];
        let n = self.socket.read(&mut chunk).expect("an answer in time");
        self.buf.extend_from_slice(&chunk[..n]);
        n > 0
    }

    pub fn next_frame(&mut self) -> (Header, Vec<u8>) {
        loop {
            if let Some(head) = self.buf.first_chunk::<HEADER>() {
                let header = Header::parse(head, Sender::Guest).expect("the agent keeps the rules");
                if self.buf.len() >= HEADER + header.len {
                    let payload = self.buf.drain(..HEADER + header.len).skip(HEADER).collect();
                    return (header, payload);
                }
            }
            assert!(self.more(), "the agent closed");
        }
    }

    pub fn open(&mut self, number: u32, body: &[u8], window: u64) -> u32 {
        let id = self.next;
        self.next += 2;
        let payload = [field(number, body), int(30, window)].concat();
        self.frame(id, kind::OPEN, 0, &payload);
        id
    }

    /// Takes frames until the stream's RESULT; grants what it reads.
    pub fn collect(&mut self, id: u32) -> Outcome {
        let mut outcome = Outcome::default();
        loop {
            let (header, payload) = self.next_frame();
            if header.stream != id {
                continue;
            }
            match header.kind {
                kind::OPENED => {
                    outcome.opened = true;
                    outcome.process = number(&payload, 1);
                }
                kind::DATA => {
                    let out = if header.flags == 1 { &mut outcome.stdout } else { &mut outcome.stderr };
                    out.extend_from_slice(&payload);
                    self.frame(id, kind::WINDOW, header.flags, &(payload.len() as u32).to_le_bytes());
                }
                kind::RESULT => {
                    let mut fields = Reader::new(&payload);
                    while let Some((field, value)) = fields.next().unwrap() {
                        match (field, value) {
                            (1, Value::Bytes(error)) => outcome.error = number(error, 1) as u32,
                            (2, Value::Int(v)) => outcome.exit_code = v,
                            (3, Value::Int(v)) => outcome.signal = v,
                            (4, Value::Int(v)) => outcome.dropped = v,
                            (6, Value::Int(v)) => outcome.process = v,
                            _ => {}
                        }
                    }
                    return outcome;
                }
                _ => {}
            }
        }
    }

    pub fn run(&mut self, line: &str) -> Outcome {
        let id = self.open(1, &shell(line), 0);
        self.collect(id)
    }

    /// Waits until the stream has sent `wanted` bytes of output.
    pub fn output(&mut self, id: u32, wanted: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < wanted {
            let (header, payload) = self.next_frame();
            if header.stream == id && header.kind == kind::DATA {
                out.extend_from_slice(&payload);
            }
        }
        out
    }

    pub fn works(&mut self) {
        assert_eq!(self.run("echo works").stdout, b"works\n");
    }
}

pub fn number(message: &[u8], wanted: u32) -> u64 {
    let mut fields = Reader::new(message);
    let mut found = 0;
    while let Some((field, value)) = fields.next().unwrap() {
        if let (true, Value::Int(v)) = (field == wanted, value) {
            found = v;
        }
    }
    found
}

pub fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}
