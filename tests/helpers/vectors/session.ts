import { bytes, frame, header, hex, MAGIC, number, TYPE, text } from "./bytes.ts";
import type { Message, Vector, VectorFrame } from "./vector.ts";

const NONCE = "000102030405060708090a0b0c0d0e0f";
const OTHER = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

const HELLO = hex("08 01 10 01 1a 10", NONCE, "22 06", text("smolvm"));
const HELLO_MESSAGE: Message = { min_version: 1, max_version: 1, nonce: NONCE, client: "smolvm" };
const HELLO_FRAME: VectorFrame = {
  stream: 0,
  type: "HELLO",
  flags: 0,
  payload: HELLO,
  message: HELLO_MESSAGE,
};

const RESUMING = hex(HELLO, "2a 10", OTHER, "30 01");

const ACK = hex("08 01 12 10", NONCE, "1a 05", text("0.1.0"), "22 04", text("boot"), "28 01");
const ACK_MESSAGE: Message = { version: 1, nonce: NONCE, agent: "0.1.0", boot_id: "boot", configured: true };
const ACK_FRAME: VectorFrame = { stream: 0, type: "HELLO_ACK", flags: 0, payload: ACK, message: ACK_MESSAGE };
const OTHER_ACK = hex("08 01 12 10", OTHER, "1a 05", text("0.1.0"));

const ping: VectorFrame = { stream: 0, type: "PING", flags: 0, payload: "aa" };

/** The start of sessions: what is skipped and what counts. `frames` holds what comes from the first hello that counts. */
export const SESSION: readonly Vector[] = [
  {
    name: "HELLO after its MAGIC",
    direction: "host",
    layer: "session",
    canonical: true,
    bytes: hex("ffffffff 736d6f6c766d2d6167656e74", "1e000000 00000000 01 00 0000", HELLO),
    frames: [HELLO_FRAME],
  },
  {
    name: "HELLO of a suspended session's host",
    direction: "host",
    layer: "session",
    canonical: true,
    bytes: hex(MAGIC, frame("HELLO", 0, RESUMING)),
    frames: [
      {
        stream: 0,
        type: "HELLO",
        flags: 0,
        payload: RESUMING,
        message: { ...HELLO_MESSAGE, resume: OTHER, resumes: true },
      },
    ],
  },
  {
    name: "HELLO_ACK of a session that goes on",
    direction: "guest",
    layer: "session",
    canonical: true,
    nonce: NONCE,
    bytes: hex(MAGIC, frame("HELLO_ACK", 0, hex(ACK, "30 01"))),
    frames: [{ ...ACK_FRAME, payload: hex(ACK, "30 01"), message: { ...ACK_MESSAGE, resumed: true } }],
  },
  {
    name: "HELLO_ACK after its MAGIC, then a frame",
    direction: "guest",
    layer: "session",
    canonical: true,
    nonce: NONCE,
    bytes: hex(
      "ffffffff 736d6f6c766d2d6167656e74",
      "23000000 00000000 02 00 0000",
      ACK,
      frame("PING", 0, "aa"),
    ),
    frames: [ACK_FRAME, ping],
  },
  {
    name: "an answer of an agent that speaks version 7 alone",
    direction: "guest",
    layer: "session",
    nonce: NONCE,
    bytes: hex(MAGIC, frame("HELLO_ACK", 0, hex("08 07 12 10", NONCE))),
    frames: [
      {
        stream: 0,
        type: "HELLO_ACK",
        flags: 0,
        payload: hex("08 07 12 10", NONCE),
        message: { version: 7, nonce: NONCE },
      },
    ],
  },
  {
    name: "a flush before HELLO is skipped (shortened)",
    direction: "host",
    layer: "session",
    bytes: hex("00".repeat(512), MAGIC, frame("HELLO", 0, HELLO)),
    frames: [HELLO_FRAME],
  },
  {
    name: "frames of an earlier session are skipped",
    direction: "guest",
    layer: "session",
    nonce: NONCE,
    bytes: hex(
      "6f6c64",
      frame("DATA", 9, "79".repeat(40), 1),
      frame("RESULT", 9),
      MAGIC,
      frame("HELLO_ACK", 0, ACK),
      frame("PING", 0, "aa"),
    ),
    frames: [ACK_FRAME, ping],
  },
  {
    name: "an answer to an earlier HELLO is skipped, with what follows it",
    direction: "guest",
    layer: "session",
    nonce: NONCE,
    bytes: hex(
      MAGIC,
      frame("HELLO_ACK", 0, OTHER_ACK),
      frame("PING", 0, "bb"),
      MAGIC,
      frame("HELLO_ACK", 0, ACK),
      frame("PING", 0, "aa"),
    ),
    frames: [ACK_FRAME, ping],
  },
  {
    name: "a MAGIC without an answer is skipped, even right before the real one",
    direction: "guest",
    layer: "session",
    nonce: NONCE,
    bytes: hex(MAGIC, MAGIC, frame("HELLO_ACK", 0, ACK)),
    frames: [ACK_FRAME],
  },
  {
    name: "a MAGIC without a HELLO is skipped, even right before the real one",
    direction: "host",
    layer: "session",
    bytes: hex(MAGIC, MAGIC, frame("HELLO", 0, HELLO)),
    frames: [HELLO_FRAME],
  },
  {
    name: "half a MAGIC before the whole one",
    direction: "host",
    layer: "session",
    bytes: hex("ffffffff 736d6f6c", MAGIC, frame("HELLO", 0, HELLO)),
    frames: [HELLO_FRAME],
  },
  {
    name: "five 0xff before the text of the MAGIC",
    direction: "guest",
    layer: "session",
    nonce: NONCE,
    bytes: hex("ff", MAGIC, frame("HELLO_ACK", 0, ACK)),
    frames: [ACK_FRAME],
  },
  {
    name: "an answer that is too long to be one is skipped",
    direction: "guest",
    layer: "session",
    nonce: NONCE,
    bytes: hex(MAGIC, header(1025, 0, TYPE.HELLO_ACK), MAGIC, frame("HELLO_ACK", 0, ACK)),
    frames: [ACK_FRAME],
  },
  {
    name: "an answer on a stream is skipped",
    direction: "guest",
    layer: "session",
    nonce: NONCE,
    bytes: hex(MAGIC, frame("HELLO_ACK", 1, ACK), MAGIC, frame("HELLO_ACK", 0, ACK)),
    frames: [ACK_FRAME],
  },
  {
    name: "an answer that is no message is skipped",
    direction: "guest",
    layer: "session",
    nonce: NONCE,
    bytes: hex(MAGIC, frame("HELLO_ACK", 0, "0d00000000"), MAGIC, frame("HELLO_ACK", 0, ACK)),
    frames: [ACK_FRAME],
  },
  {
    name: "a HELLO whose nonce has 15 bytes is skipped",
    direction: "host",
    layer: "session",
    bytes: hex(
      MAGIC,
      frame("HELLO", 0, hex("08 01 10 01 1a 0f", NONCE.slice(2))),
      MAGIC,
      frame("HELLO", 0, HELLO),
    ),
    frames: [HELLO_FRAME],
  },
  {
    name: "a HELLO without versions is skipped",
    direction: "host",
    layer: "session",
    bytes: hex(MAGIC, frame("HELLO", 0, bytes(3, NONCE)), MAGIC, frame("HELLO", 0, HELLO)),
    frames: [HELLO_FRAME],
  },
  {
    name: "a HELLO with fields from the future counts",
    direction: "host",
    layer: "session",
    bytes: hex(MAGIC, frame("HELLO", 0, hex(HELLO, number(90, 5), bytes(91, "6869")))),
    frames: [{ ...HELLO_FRAME, payload: hex(HELLO, number(90, 5), bytes(91, "6869")) }],
  },
  {
    name: "nothing but noise: still searching",
    direction: "guest",
    layer: "session",
    nonce: NONCE,
    bytes: hex("00ff".repeat(40), MAGIC, frame("HELLO_ACK", 0, OTHER_ACK)),
    frames: [],
  },
];
