import { expect, test } from "vitest";
import { parseMount } from "../../../../src/builder/plan/mounts.ts";

test.for<[string, object]>([
  [
    "type=cache,target=/c",
    { type: "cache", id: "/c", target: "/c", readOnly: false, mode: 0o755, uid: 0, gid: 0 },
  ],
  [
    "type=cache,id=x,dst=rel,ro,sharing=locked,mode=700,uid=5",
    { id: "x", target: "/w/rel", readOnly: true, mode: 0o700, uid: 5 },
  ],
  ["target=/c", { type: "bind", from: undefined, source: "/", target: "/c", readOnly: true }],
  ["type=bind,from=a,src=/x,target=/c,rw", { from: "a", source: "/x", readOnly: false }],
  [
    "type=secret,id=k",
    { type: "secret", target: "/run/secrets/k", env: undefined, required: false, mode: 0o400 },
  ],
  ["type=secret,id=k,env=K,required", { target: undefined, env: "K", required: true }],
  ["type=tmpfs,target=/t,size=64m", { type: "tmpfs", size: 64 * 2 ** 20 }],
])("--mount=%s", ([text, expected]) => {
  expect(parseMount(text, "/w")).toMatchObject(expected);
});

test.for([
  "type=ssh",
  "type=cache",
  "type=cache,target=/",
  "type=cache,target=/c,from=a",
  "type=cache,target=/c,sharing=x",
  "type=secret",
  "type=tmpfs,target=/t,size=x",
  "type=bind,target=/c,nothing",
  "type=cache,target=/c,uid=x",
])("--mount=%s is refused", (text) => {
  expect(() => parseMount(text, "/w")).toThrow();
});
