//! The golden vectors of protocol/vectors: what the server reads of a guest is decoded, whole and split at every byte.

use std::path::Path;

use serde_json::Value;
use smolvm_files::wire::frame::{kind, Header, Sender, HEADER};
use smolvm_files::wire::messages::{decode_result, HelloAck, Opened};
use smolvm_files::wire::scan::{scan, Scan};

fn vectors(layer: &str) -> Vec<Value> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/vectors");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let list: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            found.extend(list.into_iter().filter(|v| v["layer"] == layer && v["direction"] == "guest"));
        }
    }
    assert!(!found.is_empty(), "there are vectors of the layer {layer}");
    found
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap_or("");
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
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

/// The frames of some bytes, until one breaks a rule that a header alone shows, or a message is none.
fn frames(mut buf: &[u8]) -> (Vec<(Header, Vec<u8>)>, bool) {
    let mut found = Vec::new();
    while let Some(header) = buf.first_chunk::<HEADER>() {
        let Ok(header) = Header::parse(header, Sender::Guest) else { return (found, true) };
        let Some(payload) = buf.get(HEADER..HEADER + header.len) else { break };
        let read = match header.kind {
            kind::OPENED => Opened::decode(payload).is_ok(),
            kind::RESULT => decode_result(payload).is_ok(),
            _ => true,
        };
        if !read {
            return (found, true);
        }
        found.push((header, payload.to_vec()));
        buf = &buf[HEADER + header.len..];
    }
    (found, false)
}

#[test]
fn frames_of_a_guest_are_read() {
    for vector in vectors("frames") {
        let name = vector["name"].as_str().unwrap();
        let wanted = vector["frames"].as_array().unwrap();
        let (found, _) = frames(&bytes(&vector["bytes"]));
        assert!(found.len() >= wanted.len(), "{name}");
        for ((header, payload), wanted) in found.iter().zip(wanted) {
            assert_eq!(TYPES[header.kind as usize], wanted["type"], "{name}");
            assert_eq!(u64::from(header.stream), wanted["stream"].as_u64().unwrap(), "{name}");
            assert_eq!(u64::from(header.flags), wanted["flags"].as_u64().unwrap(), "{name}");
            assert_eq!(*payload, bytes(&wanted["payload"]), "{name}");
            let message = &wanted["message"];
            if header.kind == kind::OPENED {
                let opened = Opened::decode(payload).unwrap();
                for (field, value) in [("pid", opened.pid), ("uid", opened.uid), ("gid", opened.gid)] {
                    assert_eq!(u64::from(value), message[field].as_u64().unwrap_or(0), "{name}");
                }
            }
            if header.kind == kind::RESULT {
                let failure = decode_result(payload).unwrap();
                assert_eq!(failure.is_some(), message["error"].is_object(), "{name}");
                let code = failure.map_or(0, |failure| u64::from(failure.code));
                assert_eq!(code, message["error"]["code"].as_u64().unwrap_or(0), "{name}");
            }
        }
    }
}

#[test]
fn the_answer_to_a_greeting_is_found() {
    for vector in vectors("session") {
        let name = vector["name"].as_str().unwrap();
        let nonce: [u8; 16] = bytes(&vector["nonce"]).try_into().unwrap();
        let buf = bytes(&vector["bytes"]);
        let wanted = vector["frames"].as_array().unwrap();
        let whole = scan(&buf, &nonce);
        assert_eq!(matches!(whole, Scan::Start { .. }), !wanted.is_empty(), "{name}");
        if let Scan::Start { message: ack, .. } = &whole {
            let message = &wanted[0]["message"];
            assert_eq!(u64::from(ack.version), message["version"].as_u64().unwrap_or(0), "{name}");
            assert_eq!(ack.resumed, message["resumed"].as_bool().unwrap_or(false), "{name}");
            assert_eq!(HelloAck::decode(&bytes(&wanted[0]["payload"])).unwrap(), *ack, "{name}");
        }
        // Byte by byte, throwing away what it says can be thrown away.
        let mut some = Vec::new();
        let mut found = false;
        for byte in &buf {
            some.push(*byte);
            match scan(&some, &nonce) {
                Scan::Start { .. } => {
                    found = true;
                    break;
                }
                Scan::More { discard } => drop(some.drain(..discard)),
            }
        }
        assert_eq!(found, !wanted.is_empty(), "{name}");
    }
}
