//! What comes in: valid frames in any division, and every broken one closes with its code.

use chat_core::hub::DisconnectReason;

use crate::tests::Piped;
use crate::tests::raw::{BINARY, CLOSE, PING, PONG, TEXT, frame, head, unmasked};

const FIRST: u8 = 0x01;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

/// The code with which these bytes close a new connection.
async fn code(bytes: impl AsRef<[u8]>) -> u16 {
    let mut piped = Piped::default();
    piped.client.try_send(bytes).await;
    let (code, _) = piped.client.expect_close().await;
    drop(piped.client);
    piped.served.await.unwrap();
    code
}

/// A message in these fragments.
fn fragments(parts: &[&[u8]]) -> Vec<u8> {
    let last = parts.len() - 1;
    let first = |at: usize| if at == 0 { TEXT & 0x0f } else { 0 } | if at == last { 0x80 } else { 0 };
    parts.iter().enumerate().flat_map(|(at, part)| frame(first(at), part)).collect()
}

#[tokio::test]
async fn messages_arrive_however_their_bytes_are_divided() {
    let texts = ["", "a", "你好，世界", &"x".repeat(125), &"y".repeat(126), &"z".repeat(65_536)];
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend(frame(TEXT, text));
        bytes.extend(frame(PING, "p"));
        let (start, end) = text.as_bytes().split_at(text.len() / 2);
        bytes.extend(frame(FIRST, start));
        bytes.extend(frame(PONG, ""));
        bytes.extend(frame(LAST, end));
    }
    let expected: Vec<_> = texts.iter().flat_map(|text| [text.to_string(), text.to_string()]).collect();
    for step in [1, 2, 3, 5, 13, 1_023, 1_024, 1_025, 4_096, 4_097, bytes.len()] {
        let mut piped = Piped::new(crate::Config::default(), 4 << 20);
        for part in bytes.chunks(step) {
            piped.client.send(part).await;
        }
        assert_eq!(piped.engine.hear(expected.len()).await, expected, "in steps of {step}");
    }
}

#[tokio::test]
async fn a_ping_is_answered_and_a_close_too() {
    let mut piped = Piped::default();
    piped.client.send(frame(PING, "are you there?")).await;
    assert_eq!(piped.client.next().await, Some((PONG, b"are you there?".to_vec())));
    piped.client.send(frame(CLOSE, [&1000_u16.to_be_bytes()[..], b"bye"].concat())).await;
    assert_eq!(piped.client.expect_close().await, (1000, "bye".to_owned()));
    assert_eq!(piped.client.next().await, None);
    drop(piped.client);
    assert_eq!(piped.served.await.unwrap(), DisconnectReason::ClientLeft);
    assert_eq!(piped.engine.ended(), Some(DisconnectReason::ClientLeft));
}

#[tokio::test]
async fn a_socket_that_just_ends_is_a_client_that_left() {
    for bytes in [&[][..], &frame(TEXT, "cut")[..5], &head(TEXT, 0x80, 60_000)] {
        let mut piped = Piped::default();
        piped.client.send(bytes).await;
        drop(piped.client);
        assert_eq!(piped.served.await.unwrap(), DisconnectReason::ClientLeft);
    }
}

#[tokio::test]
async fn sec_06_broken_frames_close_with_1002() {
    for first in [TEXT, BINARY, CLOSE, PING, PONG, FIRST] {
        assert_eq!(code(unmasked(first, "x")).await, 1002, "unmasked {first:#x}");
        for reserved in [0x10, 0x20, 0x40, 0x30, 0x50, 0x60, 0x70] {
            assert_eq!(code(frame(first | reserved, "ab")).await, 1002, "{first:#x} with {reserved:#x}");
        }
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        assert_eq!(code(frame(0x80 | opcode, "x")).await, 1002, "reserved opcode {opcode:#x}");
        assert_eq!(code(frame(opcode, "x")).await, 1002, "reserved opcode {opcode:#x}, not final");
    }
    for control in [CLOSE, PING, PONG] {
        assert_eq!(code(frame(control & 0x0f, "x")).await, 1002, "fragmented {control:#x}");
        for length in [126, 127, 1_000, 65_535] {
            assert_eq!(
                code(frame(control, vec![b'x'; length])).await,
                1002,
                "{length} bytes in {control:#x}"
            );
        }
    }
    assert_eq!(code(frame(LAST, "x")).await, 1002, "nothing to continue");
    assert_eq!(code(frame(MORE, "x")).await, 1002, "nothing to continue");
    let twice = [frame(FIRST, "x"), frame(TEXT, "y")].concat();
    assert_eq!(code(twice).await, 1002, "a message inside a message");
    assert_eq!(code(b"GET / HTTP/1.1\r\n\r\n").await, 1002, "something else");
}

#[tokio::test]
async fn sec_06_broken_close_frames_are_answered_with_1002() {
    assert_eq!(code(frame(CLOSE, [3])).await, 1002, "half a code");
    for wrong in [0_u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(code(frame(CLOSE, wrong.to_be_bytes())).await, 1002, "{wrong}");
    }
    let not_text = [&1000_u16.to_be_bytes()[..], &[0xff, 0xfe]].concat();
    assert_eq!(code(frame(CLOSE, not_text)).await, 1007);
    for right in [1000_u16, 1001, 1002, 1003, 1007, 1011, 3000, 4000, 4999] {
        assert_eq!(code(frame(CLOSE, right.to_be_bytes())).await, right);
    }
}

#[tokio::test]
async fn sec_06_invalid_utf_8_closes_with_1007() {
    let invalid: &[&[u8]] = &[
        b"\xff",
        b"\xfe",
        b"\x80",
        b"\xbf",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xc3",
        b"\xc3\x28",
        b"\xe0\x80\xaf",
        b"\xe2\x82",
        b"\xe2\x28\xa1",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x9f\x98",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"ok\xe4\xbd",
        b"\xef\xbf",
        b"\xfc\x84\x80\x80\x80\x80",
    ];
    for bytes in invalid {
        assert_eq!(code(frame(TEXT, bytes)).await, 1007, "{bytes:x?}");
        let (start, end) = bytes.split_at(bytes.len() / 2);
        assert_eq!(code(fragments(&[b"text ", start, end])).await, 1007, "{bytes:x?} in fragments");
    }
    let mut piped = Piped::default();
    let text = "😀é你";
    let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
    piped.client.send(fragments(&bytes)).await;
    assert_eq!(piped.engine.hear(1).await, [text]);
}

#[tokio::test]
async fn binary_frames_close_with_1003() {
    assert_eq!(code(frame(BINARY, "{}")).await, 1003);
    assert_eq!(code(frame(BINARY, "")).await, 1003);
    assert_eq!(code([frame(BINARY & 0x0f, "{"), frame(LAST, "}")].concat()).await, 1003);
}

#[tokio::test]
async fn sec_07_a_compressed_frame_closes_with_1002() {
    let deflated = [0x2a, 0x49, 0xad, 0x28, 0x01, 0x00];
    assert_eq!(code(frame(TEXT | 0x40, deflated)).await, 1002);
    assert_eq!(code(frame(FIRST | 0x40, deflated)).await, 1002);
}

#[tokio::test]
async fn sec_08_a_declared_length_above_the_limit_closes_with_1009_before_its_bytes_come() {
    for length in [65_537, 65_600, 1 << 20, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX] {
        for first in [TEXT, BINARY, FIRST, PING] {
            let mut head = head(first, 0x80, length);
            head.extend([0; 4]);
            assert_eq!(code(head).await, 1009, "{length} in {first:#x}");
        }
    }
}

#[tokio::test]
async fn sec_08_messages_up_to_the_limit_are_taken_and_one_byte_more_is_not() {
    for length in [65_535, 65_536] {
        let mut piped = Piped::default();
        let text = "x".repeat(length);
        piped.client.send(frame(TEXT, &text)).await;
        piped.client.send(fragments(&[&text.as_bytes()[..40_000], &text.as_bytes()[40_000..]])).await;
        assert!(piped.engine.hear(2).await.iter().all(|heard| *heard == text));
    }
    assert_eq!(code(frame(TEXT, "x".repeat(65_537))).await, 1009);
    assert_eq!(code(fragments(&[&[b'x'; 40_000], &[b'x'; 25_537]])).await, 1009);
    assert_eq!(code(fragments(&[&[b'x'; 65_536], b"x"])).await, 1009);
    assert_eq!(code([frame(FIRST, [b'x'; 65_536]), frame(MORE, "x")].concat()).await, 1009, "before its end");
}

#[tokio::test]
async fn sec_08_messages_have_at_most_64_fragments_however_small() {
    for part in [&b"x"[..], b""] {
        let mut piped = Piped::default();
        piped.client.send(fragments(&[part; 63])).await;
        piped.client.send(fragments(&[part; 64])).await;
        assert_eq!(piped.engine.hear(2).await[1].len(), 64 * part.len());
        assert_eq!(code(fragments(&[part; 65])).await, 1009);
        assert_eq!(code(fragments(&vec![part; 60_000])).await, 1009);
    }
}
