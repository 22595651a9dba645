/** The out-of-order queue: what the peer is told of it, and that the bytes come out in order, once. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { msgHdr } from "../../../plugins/transport/sock/mod.ts";
import { concat } from "../../support/frames/bytes.ts";
import { mssOption, RawPeer, SACK_PERMITTED } from "../../support/tcp_peer.ts";

const ISN = 0x10000;
const OPTIONS = concat(mssOption(1460), SACK_PERMITTED);

/** Bytes `from` to `from + len` of the stream; the first has number 1. */
function bytes(from: number, len: number): Uint8Array {
  return new Uint8Array(len).map((_, i) => (from + i) * 7);
}

/** A receiver that has all up to the handshake. */
class Receiver extends RawPeer {
  readonly fd: number = this.connect({ options: OPTIONS });

  /** A segment of `len` bytes from byte `from` on: the SACK blocks of the answer, held back or not; null: no answer. */
  part(from: number, len: number, flags = "A"): string | null {
    this.send({ seq: from, ack: 1, flags }, bytes(from, len));
    const seen = this.take().at(-1) ?? this.after(2).at(-1);
    if (seen === undefined) return null;
    const at = seen.options.indexOf("010105");
    if (at < 0) return "";
    const words = seen.options.slice(at + 8).match(/.{8}/g) ?? [];
    return words.map((w) => parseInt(w, 16) - ISN).join(" ");
  }

  /** All that can be read. */
  all(): Uint8Array {
    const msg = msgHdr(new Uint8Array(1 << 16));
    const n = this.host.sys.recvmsg(this.fd, msg, 0);
    return msg.buf.slice(0, Math.max(0, n));
  }
}

Deno.test("what joins its left neighbour leaves the right ones that it overlaps or covers, and tells no D-SACK", () => {
  const cases: [[number, number][], string][] = [
    [[[101, 100], [251, 150], [201, 60]], "101 401"],
    [[[101, 100], [251, 50], [201, 200]], "101 401"],
    [[[101, 100], [251, 50], [351, 50], [201, 250]], "101 451"],
    [[[101, 100], [251, 150], [201, 60], [256, 20]], "256 276 101 401"],
    [[[101, 100], [251, 150], [201, 60], [251, 700]], "251 401 101 951"],
    [[[101, 100], [251, 50], [201, 200], [301, 20], [301, 300]], "301 321 101 601"],
  ];
  for (const [parts, told] of cases) {
    using t = new Receiver();
    const last = parts.map(([from, len]) => t.part(from, len)).at(-1);
    assertEquals(last, told, JSON.stringify(parts));
    t.part(1, 100);
    const end = Math.max(...parts.map(([from, len]) => from + len));
    assertEquals(t.all(), bytes(1, end - 1));
    assertEquals(t.tp(t.fd).ofo?.length, 0);
  }
});

Deno.test("bytes behind a FIN are nobody's: they hang on no segment, and the reader does not get them", () => {
  using t = new Receiver();
  assertEquals(t.part(101, 50, "FA"), "101 152");
  assertEquals(t.part(152, 20), "101 172");
  t.part(1, 100);
  assertEquals(t.all(), bytes(1, 150));
  assertEquals([t.read(t.fd, 10), t.read(t.fd, 10)], [0, 0]);
});

Deno.test("a FIN alone that joins the last segment of the queue costs no memory", () => {
  using t = new Receiver();
  const { sk } = t.tp(t.fd);
  t.part(1, 100);
  const charged = sk.rmemAlloc;
  t.part(101, 0, "FA");
  assertEquals(sk.rmemAlloc, charged);
  assertEquals(t.all(), bytes(1, 100));
  assertEquals(t.read(t.fd, 10), 0);
});

Deno.test("a D-SACK that waits for a delayed ACK: told when time is up, forgotten where the reserve of memory is filled up", () => {
  for (const full of [false, true]) {
    using t = new Receiver();
    t.part(1, 10);
    t.all();
    t.write(t.fd, 5);
    t.take();
    const send = (seq: number, len: number) => t.send({ seq, ack: 6, flags: "PA" }, bytes(seq, len));
    send(11, 500);
    send(491, 500);
    assertEquals(t.take(), []);
    if (full) send(991, 1440);
    const [ack] = full ? t.take() : t.after(60);
    assertEquals([ack.ack, ack.options.includes("010105")], full ? [2431, false] : [991, true]);
  }
});

Deno.test("segments in any order, overlapping in any way: the stream comes out once, and nothing is left", () => {
  const part = fc.record({ from: fc.integer({ min: 1, max: 3000 }), len: fc.integer({ min: 1, max: 900 }) });
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 40 }), (parts) => {
      using t = new Receiver();
      const got: Uint8Array[] = [];
      parts.forEach(({ from, len }, i) => {
        t.part(from, len);
        if (i % 5 === 4) got.push(t.all());
      });
      // Whatever is missing still: from the front.
      for (let at = 1; at < 4000; at += 500) t.part(at, 500);
      got.push(t.all());
      assertEquals(concat(...got), bytes(1, 4000));
      assertEquals(t.tp(t.fd).ofo?.length ?? 0, 0);
    }),
    { numRuns: 100 },
  );
});
