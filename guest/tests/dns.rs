//! Questions for names, as resolvers send them, and what nobody should send.

use proptest::collection::vec;
use proptest::prelude::*;
use smolvm_agent::wire::dns::{answer, parse, rcode, refusal, Query, A, AAAA};

fn message(flags: u8, questions: u8, name: &[&str], kind: u16) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, flags, 0, 0, questions, 0, 0, 0, 0, 0, 0];
    for label in name {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out
}

#[test]
fn a_question_is_answered_with_one_address() {
    let query = message(1, 1, &["Good", "TEST"], A);
    let Query::Question(question) = parse(&query) else { panic!("no question") };
    assert_eq!((question.name.as_slice(), question.kind, question.plain), (&b"good.test"[..], A, true));
    let reply = answer(&query, &question, rcode::NO_ERROR, Some(&[198, 18, 0, 2]));
    let head = [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 198, 18, 0, 2];
    // The question comes back letter by letter: resolvers compare it.
    assert_eq!(reply, [&head, &query[12..], &record].concat());
}

#[test]
fn what_has_no_address_is_answered_with_none() {
    let query = message(1, 1, &["good", "test"], 16);
    let Query::Question(question) = parse(&query) else { panic!("no question") };
    let reply = answer(&query, &question, rcode::NO_ERROR, None);
    assert_eq!(reply, [&[0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0], &query[12..]].concat());
}

#[test]
fn additional_records_are_left_where_they_are() {
    let mut query = message(1, 1, &["a"], AAAA);
    query[11] = 1;
    let end = query.len();
    query.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    let Query::Question(question) = parse(&query) else { panic!("no question") };
    assert_eq!(answer(&query, &question, rcode::NO_ERROR, None)[12..], query[12..end]);
}

#[test]
fn what_is_no_question_is_refused_or_not_heard() {
    assert_eq!(parse(&message(0x81, 1, &["a"], A)), Query::Noise, "an answer");
    assert_eq!(parse(&[0; 11]), Query::Noise, "too short");
    assert_eq!(parse(&message(0x29, 1, &["a"], A)), Query::Bad(rcode::NOT_IMPLEMENTED), "an update");
    assert_eq!(parse(&message(1, 2, &["a"], A)), Query::Bad(rcode::FORMAT_ERROR), "two questions");
    assert_eq!(parse(&message(1, 1, &[&"x".repeat(64)], A)), Query::Bad(rcode::FORMAT_ERROR), "a label of 64");
    let label = "x".repeat(63);
    let long = [label.as_str(); 4];
    assert_eq!(parse(&message(1, 1, &long, A)), Query::Bad(rcode::FORMAT_ERROR), "a name of 255");
    let mut pointer = message(1, 1, &["a"], A);
    pointer[12] = 0xc0;
    assert_eq!(parse(&pointer), Query::Bad(rcode::FORMAT_ERROR), "a pointer");
    let query = message(1, 1, &["a"], A);
    for cut in 12..query.len() {
        assert_eq!(parse(&query[..cut]), Query::Bad(rcode::FORMAT_ERROR), "cut at {cut}");
    }
    assert_eq!(refusal(&query, rcode::FORMAT_ERROR), [0x12, 0x34, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn names_that_no_rule_can_mean_are_told_apart() {
    for (name, plain) in [("a-b_c.d", false), ("a b", false), ("a\0", false), ("a-b_c", true), ("xn--a", true)] {
        let Query::Question(question) = parse(&message(1, 1, &[name], A)) else { panic!("no question") };
        assert_eq!(question.plain, plain, "{name:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_message_makes_it_panic(mut bytes in vec(any::<u8>(), 0..300), likely in any::<bool>()) {
        if likely && bytes.len() > 5 {
            bytes[2] &= 0x01;
            bytes[4..6].copy_from_slice(&[0, 1]);
        }
        match parse(&bytes) {
            Query::Question(question) => {
                prop_assert!(question.name.len() <= 253);
                let reply = answer(&bytes, &question, rcode::NO_ERROR, Some(&[0; 16]));
                prop_assert!(reply.len() <= bytes.len() + 28);
            }
            Query::Bad(code) => prop_assert_eq!(refusal(&bytes, code).len(), 12),
            Query::Noise => {}
        }
    }
}
