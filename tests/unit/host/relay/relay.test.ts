import { describe, expect, test } from "vitest";
import { chardevPorts } from "../../../../src/host/relay/control.ts";
import { isProof, newNonce, newToken, parseOpening, proof } from "../../../../src/host/relay/proof.ts";

describe("a proof of knowing the token", () => {
  const token = newToken();
  const nonce = newNonce();
  const mine = proof(token, "client", "ch1", nonce);

  test("is accepted for that end, that socket and that nonce alone", () => {
    expect(isProof(mine, proof(token, "client", "ch1", nonce))).toBe(true);
    for (const other of [
      proof(token, "relay", "ch1", nonce),
      proof(token, "client", "ch2", nonce),
      proof(token, "client", "ch1", newNonce()),
      proof(newToken(), "client", "ch1", nonce),
    ]) {
      expect(isProof(mine, other)).toBe(false);
    }
    for (const said of ["", "x", mine.slice(1), `${mine}0`, mine.toUpperCase()])
      expect(isProof(said, mine)).toBe(false);
  });

  test("begins with the socket's name and a nonce", () => {
    expect(parseOpening(`ch1 ${nonce}`)).toEqual({ name: "ch1", nonce });
    for (const line of [
      "",
      "ch1",
      `ch1 ${nonce} x`,
      `CH1 ${nonce}`,
      `../ch1 ${nonce}`,
      `ch1 ${nonce.slice(1)}`,
    ])
      expect(parseOpening(line)).toBeUndefined();
  });
});

test("QEMU tells by which local port it has connected for what", () => {
  // As QEMU 7.2 answers.
  const answer = {
    return: [
      { "frontend-open": true, filename: "tcp:127.0.0.1:45266 <-> 127.0.0.1:41035", label: "console" },
      { "frontend-open": false, filename: "tcp:127.0.0.1:45280 <-> 127.0.0.1:41035", label: "channel0" },
      { "frontend-open": true, filename: "stdio", label: "qmp" },
      { "frontend-open": false, filename: "disconnected:tcp:127.0.0.1:1", label: "channel1" },
    ],
  };
  expect([...chardevPorts(answer)]).toEqual([
    ["console", 45_266],
    ["channel0", 45_280],
  ]);
  expect(chardevPorts({ error: {} }).size).toBe(0);
});
