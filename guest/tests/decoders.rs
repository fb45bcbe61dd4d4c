//! The decoders meet arbitrary bytes: they never panic, never ask for more than the bounds, and read back what was
//! written.

use proptest::collection::vec;
use proptest::prelude::*;
use smolvm_agent::wire::fields::{put_bytes, put_uint, put_varint, read_varint, Reader, Value};
use smolvm_agent::wire::frame::{Header, Sender, HEADER, MAGIC, MAX_HELLO, MAX_PAYLOAD};
use smolvm_agent::wire::hello::{scan, Scan};
use smolvm_agent::wire::messages::{Control, FileInfo, Hello, Open};
use smolvm_agent::wire::tree::{self, Order, Record, MAX_RECORD};

/// Bytes that look like messages more often than noise does.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let field = (1u32..32, prop_oneof![any::<u64>().prop_map(Ok), vec(any::<u8>(), 0..40).prop_map(Err)]);
    let fields = vec(field, 0..12).prop_map(|fields| {
        let mut out = Vec::new();
        for (number, value) in fields {
            match value {
                Ok(int) => put_uint(&mut out, number, int),
                Err(bytes) => put_bytes(&mut out, number, &bytes),
            }
        }
        out
    });
    prop_oneof![vec(any::<u8>(), 0..200), fields]
}

/// `test.sh --long` tries more of them.
fn cases() -> u32 {
    let long = std::env::var_os("SMOLVM_TEST_LONG").is_some_and(|value| !value.is_empty());
    if long {
        51_200
    } else {
        512
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_varint_reads_back(value in any::<u64>()) {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        prop_assert_eq!(read_varint(&out), Ok(Some((value, out.len()))));
        for cut in 0..out.len() {
            prop_assert_eq!(read_varint(&out[..cut]), Ok(None));
        }
    }

    #[test]
    fn no_message_makes_a_decoder_panic(bytes in messages()) {
        let _ = Open::decode(&bytes);
        let _ = Hello::decode(&bytes);
        let _ = Control::decode(&bytes);
        let _ = FileInfo::decode(&bytes);
        let mut reader = Reader::new(&bytes);
        while let Ok(Some((number, value))) = reader.next() {
            prop_assert!((1..=0x1fff_ffff).contains(&number));
            if let Value::Bytes(inner) = value {
                prop_assert!(inner.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn every_header_that_is_taken_keeps_the_bounds(bytes in any::<[u8; HEADER]>(), host in any::<bool>()) {
        let sender = if host { Sender::Host } else { Sender::Guest };
        if let Ok(header) = Header::parse(&bytes, sender) {
            prop_assert!(header.len <= MAX_PAYLOAD);
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn a_start_is_found_behind_any_noise_and_however_it_is_cut(noise in vec(any::<u8>(), 0..300), cut in 0usize..400) {
        // The noise must not hold a start of its own.
        prop_assume!(!noise.windows(4).any(|w| w == [0xff; 4]));
        let mut hello = Vec::new();
        put_uint(&mut hello, 1, 1);
        put_uint(&mut hello, 2, 1);
        put_bytes(&mut hello, 3, &[7; 16]);
        let mut input = noise.clone();
        input.extend_from_slice(MAGIC);
        smolvm_agent::wire::frame::put_frame(&mut input, 0, smolvm_agent::wire::frame::kind::HELLO, 0, &hello);
        input.extend_from_slice(b"rest");
        let cut = cut.min(input.len());
        let mut buf = Vec::new();
        let mut found = false;
        for part in [&input[..cut], &input[cut..]] {
            buf.extend_from_slice(part);
            if found { continue; }
            match scan(&buf) {
                Scan::More { discard } => {
                    buf.drain(..discard);
                    prop_assert!(buf.len() <= MAGIC.len() + HEADER + MAX_HELLO);
                }
                Scan::Start { used, message: hello } => {
                    prop_assert_eq!(hello.nonce, [7; 16]);
                    buf.drain(..used);
                    found = true;
                }
            }
        }
        prop_assert!(found);
        prop_assert_eq!(&buf[..], b"rest");
    }

    #[test]
    fn no_tree_makes_the_decoder_panic_or_wait_for_more_than_a_record(bytes in messages()) {
        let mut rest = &bytes[..];
        let mut order = Order::default();
        loop {
            match tree::next(rest) {
                Ok(Some((record, used))) => {
                    prop_assert!(used > 0 && used <= rest.len());
                    if let Record::Entry(info, _) = &record {
                        prop_assert!(!info.path.split(|&b| b == b'/').any(|part| part == b".."));
                        prop_assert!(info.path.first() != Some(&b'/'));
                    }
                    if order.take(&record).is_err() { break; }
                    rest = &rest[used..];
                }
                Ok(None) => {
                    prop_assert!(rest.len() < MAX_RECORD + 10);
                    break;
                }
                Err(_) => break,
            }
        }
    }
}
