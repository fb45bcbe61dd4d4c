//! The golden vectors of protocol/vectors: what the agent reads is decoded, whole and split at every byte; what it
//! writes is encoded to the same bytes.

use std::path::Path;

use serde_json::{json, Map, Value};
use smolvm_agent::wire::fields::put_field;
use smolvm_agent::wire::frame::{kind, put_frame, Header, Sender, HEADER, MAGIC, MORE};
use smolvm_agent::wire::hello::{scan, Scan};
use smolvm_agent::wire::messages::{
    encode_opened_connection, encode_opened_process, put_record, Change, Control, DoorConnection, Failure, FileEvent,
    FileInfo, FileOp, Forward, Full, Hello, HelloAck, Info, InitRequest, Limits, Mount, Network, Open, Outcome,
    ProcessRecord, Request, DEFAULT_WINDOW, MAX_WINDOW,
};
use smolvm_agent::wire::tree::{self, Record};

fn vectors(layer: &str) -> Vec<Value> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/vectors");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let list: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            found.extend(list.into_iter().filter(|v| v["layer"] == layer));
        }
    }
    assert!(!found.is_empty(), "there are vectors of the layer {layer}");
    found
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap_or("");
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> Value {
    Value::from(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
}

const TYPES: [&str; 16] = [
    "",
    "HELLO",
    "HELLO_ACK",
    "OPEN",
    "OPENED",
    "DATA",
    "WINDOW",
    "END",
    "CONTROL",
    "RESULT",
    "RESET",
    "GOODBYE",
    "PING",
    "PONG",
    "SUSPEND",
    "SWITCH",
];

/// A message object without its default values.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn int(mut self, name: &str, value: u64) -> Self {
        if value != 0 {
            self.0.insert(name.into(), value.into());
        }
        self
    }
    fn flag(mut self, name: &str, value: bool) -> Self {
        if value {
            self.0.insert(name.into(), true.into());
        }
        self
    }
    fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        if !value.is_empty() {
            self.0.insert(name.into(), hex(value));
        }
        self
    }
    fn list(mut self, name: &str, values: &[&[u8]]) -> Self {
        if !values.is_empty() {
            self.0.insert(name.into(), values.iter().map(|v| hex(v)).collect());
        }
        self
    }
    fn messages(mut self, name: &str, values: Vec<Value>) -> Self {
        if !values.is_empty() {
            self.0.insert(name.into(), values.into());
        }
        self
    }
    fn message(mut self, name: &str, value: Option<Value>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.into(), value);
        }
        self
    }
    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

fn size_json(size: smolvm_agent::wire::messages::Size) -> Value {
    Fields::default().int("cols", size.cols.into()).int("rows", size.rows.into()).done()
}

fn limits_json(limits: Limits) -> Option<Value> {
    let fields = Fields::default().int("pids", limits.pids.into()).int("memory_bytes", limits.memory);
    (limits != Limits::default()).then(|| fields.done())
}

fn network_json(n: &Network) -> Value {
    Fields::default()
        .bytes("interface", n.interface)
        .bytes("address", n.address)
        .bytes("gateway", n.gateway)
        .list("dns", &n.dns)
        .int("mtu", n.mtu.into())
        .bytes("ipv6_address", n.ipv6_address)
        .bytes("ipv6_gateway", n.ipv6_gateway)
        .bytes("mac", n.mac)
        .flag("door", n.door)
        .flag("down", n.down)
        .done()
}

fn mount_json(m: &Mount) -> Value {
    let fields = Fields::default().bytes("serial", m.serial).bytes("path", m.path).bytes("kind", m.kind);
    fields.flag("read_only", m.read_only).done()
}

fn init_json(init: &InitRequest) -> Value {
    Fields::default().list("argv", &init.argv).list("env", &init.env).done()
}

fn request_json(request: &Request) -> (&'static str, Value) {
    let fields = Fields::default();
    match request {
        Request::Exec(e) => {
            let fields = fields.list("argv", &e.argv).bytes("shell", e.shell).list("env", &e.env);
            let fields = fields.bytes("cwd", e.cwd).bytes("user", e.user).message("pty", e.pty.map(size_json));
            let fields = fields.flag("detached", e.detached).flag("stdin", e.stdin);
            ("exec", fields.message("limits", limits_json(e.limits)).done())
        }
        Request::Attach(process) => ("attach", fields.int("process", (*process).into()).done()),
        Request::ProcessList => ("process_list", fields.done()),
        Request::ProcessSignal(s) => {
            let fields = fields.int("process", s.process.into()).int("signal", s.signal.into());
            ("process_signal", fields.flag("tree", s.tree).done())
        }
        Request::File(f) => {
            let name = match f.op {
                FileOp::Read => "file_read",
                FileOp::Write => "file_write",
                FileOp::Stat => "stat",
                FileOp::List => "list",
                FileOp::Mkdir => "mkdir",
                FileOp::Remove => "remove",
                FileOp::Rename => "rename",
                FileOp::TreeRead => "tree_read",
                FileOp::TreeWrite => "tree_write",
                FileOp::Watch => "file_watch",
                FileOp::Copy => "file_copy",
            };
            let first = if matches!(f.op, FileOp::Rename | FileOp::Copy) { "from" } else { "path" };
            let fields = fields.bytes(first, f.path).bytes("to", f.to).bytes("user", f.user);
            let fields = fields.int("offset", f.offset).int("length", f.length).int("mode", f.mode.into());
            let fields = fields.int("mtime_s", f.mtime_s).int("mtime_ns", f.mtime_ns.into());
            let fields = fields
                .flag("parents", f.parents)
                .flag("exclusive", f.exclusive)
                .flag("append", f.append)
                .bytes("if_version", f.if_version)
                .int("depth", f.depth.into());
            let fields = fields.flag("follow", f.follow).flag("recursive", f.recursive).flag("force", f.force);
            (name, fields.flag("replace", f.replace).flag("keep_owner", f.keep_owner).done())
        }
        Request::Forward(Forward { host, port, unix }) => {
            ("forward", fields.bytes("host", host).int("port", (*port).into()).bytes("unix", unix).done())
        }
        Request::Sync => ("sync", fields.done()),
        Request::Shutdown { grace_ms, signal } => {
            ("shutdown", fields.int("grace_ms", (*grace_ms).into()).int("signal", (*signal).into()).done())
        }
        Request::Configure(c) => {
            let fields =
                fields.bytes("entropy", c.entropy).int("clock_s", c.clock_s).int("clock_ns", c.clock_ns.into());
            let fields = fields.bytes("hostname", c.hostname).bytes("machine_id", c.machine_id);
            let fields = fields.message("network", c.network.as_ref().map(network_json));
            let fields = fields.int("disk_bytes", c.disk_bytes);
            let fields = fields.bytes("generation", c.generation).message("limits", limits_json(c.limits));
            let fields = fields.messages("mounts", c.mounts.iter().map(mount_json).collect());
            let fields = fields.bytes("workdir", c.workdir).bytes("user", c.user);
            ("configure", fields.message("init", c.init.as_ref().map(init_json)).done())
        }
        Request::Info => ("info", fields.done()),
        Request::Hold { suspend } => ("hold", fields.flag("suspend", *suspend).done()),
        Request::Door => ("door", fields.done()),
        Request::Difference(wanted) => (
            "difference",
            fields
                .int("since_s", wanted.since_s)
                .int("since_ns", wanted.since_ns.into())
                .flag("base", wanted.base)
                .bytes("path", wanted.path)
                .done(),
        ),
        Request::Bring(port) => ("bring", fields.int("port", (*port).into()).done()),
        Request::HostMount(mount) => (
            "host_mount",
            fields
                .bytes("path", mount.path)
                .flag("read_only", mount.read_only)
                .bytes("user", mount.user)
                .flag("file", mount.file)
                .flag("overlay", mount.overlay)
                .bytes("source", mount.source)
                .bytes("keep", mount.keep)
                .done(),
        ),
        Request::HostUnmount(mount) => {
            ("host_unmount", fields.bytes("path", mount.path).flag("force", mount.force).done())
        }
        Request::HostChanges(mount) => ("host_changes", fields.int("mount", (*mount).into()).done()),
        Request::DoorNext => ("door_accept", fields.flag("next", true).done()),
        Request::DoorAccept(number) => ("door_accept", fields.int("connection", (*number).into()).done()),
        Request::Release => ("release", fields.done()),
        Request::Unknown => ("unknown", fields.done()),
        Request::Ambiguous => ("ambiguous", fields.done()),
    }
}

/// What the agent makes of a host's message, with its defaults filled in on both sides.
fn host_message(kind: u8, payload: &[u8]) -> Result<Option<Value>, &'static str> {
    match kind {
        kind::HELLO => {
            let hello = Hello::decode(payload).map_err(|_| "HELLO")?;
            let fields = Fields::default().int("min_version", hello.min_version.into());
            let fields = fields.int("max_version", hello.max_version.into()).bytes("nonce", &hello.nonce);
            let fields = fields.bytes("resume", hello.resume.as_ref().map_or(&[][..], |token| token));
            Ok(Some(fields.flag("resumes", hello.resumes).done()))
        }
        kind::OPEN => {
            let open = Open::decode(payload).map_err(|_| "OPEN")?;
            let (name, body) = request_json(&open.request);
            Ok(Some(json!({ name: body, "window": open.window, "clock_ms": open.clock_ms })))
        }
        kind::CONTROL => {
            let control = Control::decode(payload).map_err(|_| "CONTROL")?;
            let fields = Fields::default().int("signal", control.signal.into());
            Ok(Some(fields.message("resize", control.resize.map(size_json)).done()))
        }
        _ => Ok(None),
    }
}

fn with_defaults(mut message: Value) -> Value {
    if let Some(object) = message.as_object_mut() {
        object.remove("client");
        if object.keys().any(|name| name == "exec" || name.contains('_') || object[name].is_object()) {
            let is_control = object.contains_key("resize") || object.contains_key("signal");
            let is_hello = object.contains_key("nonce");
            if !is_control && !is_hello {
                let window = object.get("window").and_then(Value::as_u64).unwrap_or(0);
                let window = if window == 0 { DEFAULT_WINDOW.into() } else { window.min(MAX_WINDOW.into()) };
                object.insert("window".into(), window.into());
                object.entry("clock_ms").or_insert(0.into());
            }
        }
        if let Some(shutdown) = object.get_mut("shutdown").and_then(Value::as_object_mut) {
            shutdown.entry("grace_ms").or_insert(500.into());
        }
    }
    message
}

/// Frames as the session layer cuts them, until the bytes end or break a rule.
struct Cutter {
    sender: Sender,
    buf: Vec<u8>,
    open: Vec<u8>,
    frames: Vec<Value>,
    error: bool,
}

impl Cutter {
    fn new(sender: Sender) -> Cutter {
        Cutter { sender, buf: Vec::new(), open: Vec::new(), frames: Vec::new(), error: false }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        while !self.error {
            let Some(head) = self.buf.first_chunk::<HEADER>() else { return };
            let Ok(header) = Header::parse(head, self.sender) else {
                self.error = true;
                return;
            };
            if self.buf.len() < HEADER + header.len {
                return;
            }
            let payload: Vec<u8> = self.buf.drain(..HEADER + header.len).skip(HEADER).collect();
            let mut frame = json!({
                "stream": header.stream, "type": TYPES[usize::from(header.kind)], "flags": header.flags, "payload": hex(&payload),
            });
            if self.sender == Sender::Host {
                let whole = if header.kind == kind::OPEN {
                    self.open.extend_from_slice(&payload);
                    if header.flags & MORE != 0 {
                        None
                    } else {
                        Some(std::mem::take(&mut self.open))
                    }
                } else {
                    Some(payload)
                };
                match whole.map_or(Ok(None), |payload| host_message(header.kind, &payload)) {
                    Ok(Some(message)) => frame["message"] = message,
                    Ok(None) => {}
                    Err(_) => {
                        self.error = true;
                        return;
                    }
                }
            }
            self.frames.push(frame);
        }
    }
}

fn sender(vector: &Value) -> Sender {
    if vector["direction"] == "host" {
        Sender::Host
    } else {
        Sender::Guest
    }
}

fn expected_frames(vector: &Value) -> Vec<Value> {
    let mut frames = vector["frames"].as_array().unwrap().clone();
    for frame in &mut frames {
        if let Some(message) = frame.as_object_mut().unwrap().remove("message") {
            if sender(vector) == Sender::Host {
                frame["message"] = with_defaults(message);
            }
        }
    }
    frames
}

#[test]
fn frames_are_decoded_whole_and_split_at_every_byte() {
    for vector in vectors("frames") {
        let name = vector["name"].as_str().unwrap();
        let input = bytes(&vector["bytes"]);
        let expected = expected_frames(&vector);
        // What only a guest sends is the host's business beyond its frames: messages that are broken included.
        let message_error = sender(&vector) == Sender::Guest;
        for split in 0..=input.len() {
            let mut cutter = Cutter::new(sender(&vector));
            cutter.feed(&input[..split]);
            cutter.feed(&input[split..]);
            if vector["error"].is_string() && message_error && !cutter.error {
                assert!(cutter.frames.len() > expected.len(), "{name}");
                continue;
            }
            assert_eq!(cutter.frames, expected, "{name}, split at {split}");
            assert_eq!(cutter.error, vector["error"].is_string(), "{name}, split at {split}");
        }
    }
}

#[test]
fn a_session_starts_where_the_vectors_say() {
    for vector in vectors("session").iter().filter(|v| v["direction"] == "host") {
        let name = vector["name"].as_str().unwrap();
        let input = bytes(&vector["bytes"]);
        let expected = expected_frames(vector);
        for split in 0..=input.len() {
            let mut buf = Vec::new();
            let mut started = None;
            for part in [&input[..split], &input[split..]] {
                buf.extend_from_slice(part);
                if started.is_some() {
                    continue;
                }
                match scan(&buf) {
                    Scan::More { discard } => drop(buf.drain(..discard)),
                    Scan::Start { used, message: hello } => {
                        started = Some(hello);
                        buf.drain(..used);
                    }
                }
            }
            let Some(hello) = started else {
                assert!(expected.is_empty(), "{name}, split at {split}");
                continue;
            };
            let message = &expected[0]["message"];
            assert_eq!(hex(&hello.nonce), message["nonce"], "{name}");
            assert_eq!(Value::from(hello.min_version), message["min_version"], "{name}");
            let mut cutter = Cutter::new(Sender::Host);
            cutter.feed(&buf);
            assert_eq!(cutter.frames, expected[1..], "{name}, split at {split}");
        }
    }
}

fn int(message: &Value, name: &str) -> u64 {
    message[name].as_u64().unwrap_or(0)
}

fn text(message: &Value, name: &str) -> Vec<u8> {
    // `string` fields are text, `bytes` fields hex.
    message[name].as_str().unwrap_or("").as_bytes().to_vec()
}

/// An entry's extended attributes: names and values.
fn attributes(record: &Value) -> Vec<(Vec<u8>, Vec<u8>)> {
    let none = Vec::new();
    let list = record["attributes"].as_array().unwrap_or(&none);
    list.iter().map(|a| (bytes(&a["name"]), bytes(&a["value"]))).collect()
}

/// A FileInfo's encoding.
fn encode_file(message: &Value) -> Vec<u8> {
    let (path, target) = (bytes(&message["path"]), bytes(&message["target"]));
    let info = FileInfo {
        path: &path,
        kind: int(message, "type") as u32,
        mode: int(message, "mode") as u32,
        size: int(message, "size"),
        mtime_s: int(message, "mtime_s"),
        mtime_ns: int(message, "mtime_ns") as u32,
        uid: int(message, "uid") as u32,
        gid: int(message, "gid") as u32,
        target: &target,
        inode: bytes(&message["inode"]).try_into().map_or(0, u64::from_le_bytes),
        btime_s: int(message, "btime_s"),
        btime_ns: int(message, "btime_ns") as u32,
        version: bytes(&message["version"]).try_into().unwrap_or_default(),
    };
    let mut out = Vec::new();
    info.encode(&mut out);
    out
}

fn encode_event(message: &Value) -> Vec<u8> {
    use Change::{Changed, Created, Overflow, Removed, Renamed};
    let change = [Created, Changed, Removed, Renamed, Overflow][int(message, "kind") as usize - 1];
    let (path, from) = (bytes(&message["path"]), bytes(&message["from"]));
    let mut out = Vec::new();
    FileEvent { change, path: &path, from: &from, directory: message["directory"] == true }.encode(&mut out);
    out
}

fn encode_connection(message: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    with_connection(message, |connection| connection.encode(&mut out));
    out
}

fn with_connection(message: &Value, mut then: impl FnMut(&DoorConnection)) {
    let (name, address) = (bytes(&message["name"]), bytes(&message["address"]));
    let (connection, port) = (int(message, "connection") as u32, int(message, "port") as u16);
    then(&DoorConnection { connection, name: &name, address: &address, port });
}

fn limits(message: &Value) -> Limits {
    Limits { pids: int(message, "pids") as u32, memory: int(message, "memory_bytes") }
}

/// The agent's own words are constants: here they come from a file.
fn words(list: &Value) -> Vec<&'static str> {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(|text| &*Box::leak(text.to_owned().into_boxed_str())).collect()
}

fn encode_process(record: &Value) -> Vec<u8> {
    let argv: Vec<Vec<u8>> = record["argv"].as_array().into_iter().flatten().map(bytes).collect();
    let mut body = Vec::new();
    ProcessRecord {
        process: int(record, "process") as u32,
        pid: int(record, "pid") as u32,
        argv: &argv,
        running: record["running"] == true,
        exit_code: int(record, "exit_code") as u32,
        signal: int(record, "signal") as u32,
        detached: record["detached"] == true,
        pty: record["pty"] == true,
        started_s: int(record, "started_s"),
        user: &bytes(&record["user"]),
        processes: int(record, "processes") as u32,
    }
    .encode(&mut body);
    body
}

fn encode_guest_message(kind: &str, message: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match kind {
        "HELLO_ACK" => HelloAck {
            version: int(message, "version") as u32,
            nonce: &bytes(&message["nonce"]),
            agent: &text(message, "agent"),
            boot_id: &text(message, "boot_id"),
            configured: message["configured"] == true,
            resumed: message["resumed"] == true,
        }
        .encode(&mut out),
        "OPENED" if message["connection"].is_object() => {
            with_connection(&message["connection"], |connection| encode_opened_connection(&mut out, connection));
        }
        "OPENED" if message["file"].is_object() => put_field(&mut out, 3, &encode_file(&message["file"])),
        "OPENED" => encode_opened_process(&mut out, int(message, "process") as u32, int(message, "pid") as u32),
        "RESULT" => {
            let error = message["error"].as_object().map(|error| {
                let error = Value::Object(error.clone());
                let mut failure = Failure::new(int(&error, "code") as u32, text(&error, "message"));
                failure.errno = int(&error, "errno") as i32;
                failure.full = Full { no_inodes: error["no_inodes"] == true, in_memory: error["in_memory"] == true };
                let holders = error["holders"].as_array().into_iter().flatten();
                failure.holders = holders.map(encode_process).collect();
                failure
            });
            let info = message["info"].as_object().map(|_| {
                let info = &message["info"];
                assert!(info["agent"].as_str().is_none_or(|v| v == smolvm_agent::wire::VERSION));
                Info {
                    kernel: text(info, "kernel"),
                    boot_id: text(info, "boot_id"),
                    uptime_ms: int(info, "uptime_ms"),
                    mem_total_bytes: int(info, "mem_total_bytes"),
                    mem_available_bytes: int(info, "mem_available_bytes"),
                    disk_total_bytes: int(info, "disk_total_bytes"),
                    disk_free_bytes: int(info, "disk_free_bytes"),
                    hostname: text(info, "hostname"),
                    clock_s: int(info, "clock_s"),
                    clock_ns: int(info, "clock_ns") as u32,
                    processes: int(info, "processes") as u32,
                    controllers: words(&info["controllers"]),
                    limits: limits(&info["limits"]),
                    command_limits: limits(&info["command_limits"]),
                    mounts: int(info, "mounts") as u32,
                    init: int(info, "init") as u32,
                }
            });
            let file = if message["file"].is_object() { encode_file(&message["file"]) } else { Vec::new() };
            Outcome {
                error,
                exit_code: int(message, "exit_code") as u32,
                signal: int(message, "signal") as u32,
                dropped: int(message, "dropped"),
                file,
                process: int(message, "process") as u32,
                pid: int(message, "pid") as u32,
                info,
                entries: int(message, "entries"),
                bytes: int(message, "bytes"),
                all_ended: message["all_ended"] == true,
                depth: int(message, "depth") as u32,
                skipped: int(message, "skipped"),
            }
            .encode(&mut out)
        }
        "GOODBYE" => smolvm_agent::wire::fields::put_bytes(&mut out, 1, &text(message, "reason")),
        _ => return None,
    }
    Some(out)
}

#[test]
fn what_the_agent_says_is_encoded_to_the_same_bytes() {
    let mut encoded = 0;
    for layer in ["frames", "session"] {
        for vector in vectors(layer).iter().filter(|v| v["canonical"] == true && v["direction"] == "guest") {
            let mut out = if layer == "session" { MAGIC.to_vec() } else { Vec::new() };
            for frame in vector["frames"].as_array().unwrap() {
                let kind = TYPES.iter().position(|t| frame["type"] == *t).unwrap() as u8;
                let message = frame.get("message").and_then(|m| encode_guest_message(TYPES[usize::from(kind)], m));
                let payload = message.unwrap_or_else(|| bytes(&frame["payload"]));
                put_frame(&mut out, int(frame, "stream") as u32, kind, int(frame, "flags") as u8, &payload);
            }
            assert_eq!(hex(&out), vector["bytes"], "{}", vector["name"]);
            encoded += 1;
        }
    }
    assert!(encoded > 10);
}

#[test]
fn records_are_encoded_to_the_same_bytes_and_trees_are_decoded_split_at_every_byte() {
    for vector in vectors("records").iter().filter(|v| v["canonical"] == true) {
        let name = vector["name"].as_str().unwrap();
        let records = vector["records"].as_array().unwrap();
        let mut out = Vec::new();
        for record in records {
            match vector["record"].as_str().unwrap() {
                "TreeRecord" if record["entry"].is_object() && record["attributes"].is_null() => {
                    let encoded = encode_file(&record["entry"]);
                    tree::put_entry(&mut out, &FileInfo::decode(&encoded).unwrap());
                }
                "TreeRecord" if record["data"].is_string() => {
                    let data = bytes(&record["data"]);
                    tree::put_data_header(&mut out, data.len());
                    out.extend_from_slice(&data);
                }
                "TreeRecord" if record["entry"].is_null() => tree::put_end(&mut out),
                "DifferenceRecord" | "TreeRecord" if record["entry"].is_object() => {
                    let encoded = encode_file(&record["entry"]);
                    let attributes = attributes(record);
                    let extra = tree::Extra {
                        opaque: record["opaque"] == true,
                        same: record["same"] == true,
                        device: (int(record, "major") as u32, int(record, "minor") as u32),
                        attributes: &attributes,
                    };
                    assert!(tree::put_changed(&mut out, &FileInfo::decode(&encoded).unwrap(), &extra));
                }
                "DifferenceRecord" if record["removed"].is_string() => {
                    tree::put_removed(&mut out, &bytes(&record["removed"]));
                }
                "DifferenceRecord" if record["data"].is_string() => {
                    let data = bytes(&record["data"]);
                    tree::put_data_header(&mut out, data.len());
                    out.extend_from_slice(&data);
                }
                "DifferenceRecord" => tree::put_end(&mut out),
                "FileInfo" => put_record(&mut out, &encode_file(record)),
                "FileEvent" => put_record(&mut out, &encode_event(record)),
                "DoorConnection" => put_record(&mut out, &encode_connection(record)),
                "Process" => {
                    put_record(&mut out, &encode_process(record));
                }
                other => panic!("{name}: no record {other}"),
            }
        }
        assert_eq!(hex(&out), vector["bytes"], "{name}");
        if vector["record"] != "TreeRecord" {
            continue;
        }
        for split in 0..=out.len() {
            let mut buf = Vec::new();
            let mut found = 0;
            for part in [&out[..split], &out[split..]] {
                buf.extend_from_slice(part);
                while let Some((record, used)) = tree::next(&buf).expect(name) {
                    let same = match record {
                        Record::Entry(_, got) => {
                            let got: Vec<_> = got.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
                            records[found]["entry"].is_object() && got == attributes(&records[found])
                        }
                        Record::Data(data) => hex(data) == records[found]["data"],
                        Record::End => records[found]["end"] == true,
                    };
                    assert!(same, "{name}, record {found}");
                    found += 1;
                    buf.drain(..used);
                }
            }
            assert_eq!((found, buf.len()), (records.len(), 0), "{name}, split at {split}");
        }
    }
}
