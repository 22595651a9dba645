import { assert, assertEquals, fail } from "@std/assert";
import fc from "fast-check";
import { copyFromUser, Machine, type SkBuff } from "../../../core/mod.ts";
import { tcpFastParseOptions, TcpOptionsReceived, tcpParseOptions } from "../../../plugins/transport/tcp/options.ts";
import { tcpInboundHash } from "../../../plugins/transport/tcp/options.ts";
import type { TcpSock } from "../../../plugins/transport/tcp/tcp_sock.ts";
import type { TcpState } from "../../../plugins/transport/tcp/tcp_state.ts";

const SYN = 0x02, ACK = 0x10;

/** Makes packets for all tests: a machine each would cost minutes. */
const machine = new Machine({ slabBytes: 1 << 20 });

/** A packet of one header with these options, `transportHeader` set. */
function withSegment<T>(flags: number, options: ArrayLike<number>, fn: (skb: SkBuff) => T): T {
  const padded = (options.length + 3) & ~3;
  const bytes = new Uint8Array(20 + padded);
  bytes[12] = (20 + padded) << 2;
  bytes[13] = flags;
  bytes.set(Array.from(options), 20);
  const skb = machine.skbs.alloc(64 + bytes.length)!;
  skb.reserve(64);
  copyFromUser(machine.ledger, machine.siteNetifRx, skb.slab, skb.put(bytes.length), bytes, 0, bytes.length);
  skb.resetTransportHeader();
  const out = fn(skb);
  skb.consume();
  assertEquals(machine.skbs.live, 0);
  return out;
}

/** What the parser reads of a net. */
function fakeState(sysctl: Partial<TcpState["sysctl"]> = {}): TcpState {
  return {
    sysctl: { timestamps: 1, sack: 1, windowScaling: 1, ...sysctl },
    rxOpt: new TcpOptionsReceived(),
    mib: { tcpExt: { TCPMD5Unexpected: 0 } },
    reason: { TCP_AUTH_HDR: 500, TCP_MD5UNEXPECTED: 501 },
  } as unknown as TcpState;
}

function parse(flags: number, options: ArrayLike<number>, estab = false, st = fakeState()): TcpOptionsReceived {
  const opt = new TcpOptionsReceived();
  if (estab) opt.tstampOk = opt.sackOk = true;
  withSegment(flags, options, (skb) => {
    tcpParseOptions(st, skb, opt, estab);
    opt.sackAt -= skb.data;
    opt.fastOpenAt -= skb.data;
  });
  return opt;
}

const LINUX_SYN = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0x80, 0, 0, 1, 0, 0, 0, 9, 1, 3, 3, 10];
const TS = [1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6];

Deno.test("the options of a SYN as Linux sends it", () => {
  const o = parse(SYN, LINUX_SYN);
  assertEquals([o.mss, o.sackOk, o.tstampOk, o.sawTstamp, o.wscaleOk, o.sndWscale], [1460, true, true, true, true, 10]);
  assertEquals([o.rcvTsval, o.rcvTsecr], [0x80000001 | 0, 9]);
});

Deno.test("what a SYN may agree to counts in a SYN alone", () => {
  const o = parse(ACK, LINUX_SYN);
  assertEquals([o.mss, o.sackOk, o.wscaleOk, o.sawTstamp], [0, false, false, true]);
  const inside = parse(SYN, LINUX_SYN, true);
  assertEquals([inside.mss, inside.wscaleOk], [0, false]);
});

Deno.test("sysctls forbid options", () => {
  const o = parse(SYN, LINUX_SYN, false, fakeState({ timestamps: 0, sack: 0, windowScaling: 0 }));
  assertEquals([o.mss, o.sackOk, o.wscaleOk, o.sawTstamp], [1460, false, false, false]);
});

Deno.test("[A45] MSS 0 counts as absent, of two the last holds", () => {
  assertEquals(parse(SYN, [2, 4, 0, 0]).mss, 0);
  assertEquals(parse(SYN, [2, 4, 0, 0, 2, 4, 2, 24]).mss, 536);
  assertEquals(parse(SYN, [2, 4, 5, 0, 2, 4, 2, 24]).mss, 536);
});

Deno.test("[A46] a window scale beyond 14 is 14", () => {
  for (let shift = 0; shift < 256; shift++) {
    const o = parse(SYN, [3, 3, shift]);
    assertEquals([o.wscaleOk, o.sndWscale], [true, Math.min(shift, 14)]);
  }
});

Deno.test("SACK blocks: one to four whole ones, where SACK is agreed", () => {
  for (let bytes = 0; bytes <= 38; bytes++) {
    const o = parse(ACK, [5, 2 + bytes, ...new Array<number>(bytes).fill(1)], true);
    const whole = bytes >= 8 && bytes % 8 === 0;
    assertEquals(o.numSacks, whole ? bytes / 8 : 0, `${bytes} bytes`);
    if (whole) assertEquals(o.sackAt, 22);
  }
  assertEquals(parse(ACK, [5, 10, 0, 0, 0, 1, 0, 0, 0, 2]).numSacks, 0, "not agreed");
});

Deno.test("fast open: a request, cookies of 4 to 16 even bytes, nothing else", () => {
  for (let n = 0; n <= 38; n++) {
    const o = parse(SYN, [34, 2 + n, ...new Array<number>(n).fill(7)]);
    const good = n === 0 || (n >= 4 && n <= 16 && n % 2 === 0);
    assertEquals(o.fastOpenLen, good ? n : -1, `${n} bytes`);
  }
});

Deno.test("what is behind the end of the list is not read", () => {
  assertEquals(parse(SYN, [0, 2, 4, 5, 180]).mss, 0);
  assertEquals(parse(SYN, [1, 1, 0, 1, 2, 4, 5, 180]).mss, 0);
});

Deno.test("[A44] every kind with every length ends, reads nothing outside, and keeps what came before", () => {
  for (const estab of [false, true]) {
    for (let kind = 0; kind < 256; kind++) {
      for (let size = 0; size < 256; size++) {
        const o = parse(SYN, [...TS, kind, size, ...new Array<number>(26).fill(0xff)], estab);
        // A plain comparison: 131,072 times.
        if (!o.sawTstamp || (o.rcvTsval !== 5 && !(kind === 8 && size === 10))) fail(`kind ${kind}, length ${size}`);
        if (o.mss !== (size === 4 && kind === 2 && !estab ? 0xffff : 0)) fail(`kind ${kind}, length ${size}`);
        assert(o.numSacks <= 4 && o.sackAt + 8 * o.numSacks <= 60);
      }
    }
  }
});

Deno.test("[A44] a length of 0 or 1, or one beyond the header, ends the list", () => {
  for (const size of [0, 1, 39, 255]) assertEquals(parse(SYN, [99, size, 2, 4, 5, 180, 0, 0]).mss, 0, `length ${size}`);
  assertEquals(parse(SYN, [99, 2, 2, 4, 5, 180, 0, 0]).mss, 1460);
  // A kind as the last byte has no length.
  assertEquals(parse(SYN, [2, 4, 5, 180, 1, 1, 1, 2]).mss, 1460);
});

Deno.test("any bytes: the parser ends and says only what fits", () => {
  const bytes = fc.uint8Array({ minLength: 0, maxLength: 40 });
  fc.assert(
    fc.property(bytes, fc.integer({ min: 0, max: 255 }), fc.boolean(), (options, flags, estab) => {
      const o = parse(flags, options, estab);
      assert(o.sndWscale <= 14 && o.mss <= 0xffff && o.numSacks <= 4);
      assert(o.numSacks === 0 || (o.sackAt >= 22 && o.sackAt + 8 * o.numSacks <= 60));
      if ((flags & SYN) === 0 || estab) assertEquals(o.mss, 0);
    }),
    { numRuns: 3000 },
  );
});

/** The fields of a connection that the fast parser uses. */
function fakeSock(tsoffset: number, tstampOk = true): TcpSock {
  return { st: fakeState(), tstampOk, sackOk: true, tsoffset, sawTstamp: true, rcvTsval: 0, rcvTsecr: 0 } as TcpSock;
}

Deno.test("aligned timestamps take the short way, our offset comes off the echo", () => {
  const tp = fakeSock(4);
  assertEquals(withSegment(ACK, TS, (skb) => tcpFastParseOptions(tp, skb)), true);
  assertEquals([tp.sawTstamp, tp.rcvTsval, tp.rcvTsecr], [true, 5, 2]);
  const long = fakeSock(-1);
  withSegment(ACK, [8, 10, 0, 0, 0, 5, 0x7f, 0xff, 0xff, 0xff, 1, 1], (skb) => tcpFastParseOptions(long, skb));
  assertEquals([long.sawTstamp, long.rcvTsval, long.rcvTsecr], [true, 5, -0x80000000]);
});

Deno.test("an echo of 0 says nothing, whatever the offset", () => {
  const tp = fakeSock(1234);
  withSegment(ACK, [1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 0], (skb) => tcpFastParseOptions(tp, skb));
  assertEquals([tp.sawTstamp, tp.rcvTsecr], [true, 0]);
});

Deno.test("a header without options has no timestamp, nor has one that was not agreed", () => {
  const tp = fakeSock(0);
  assertEquals(withSegment(ACK, [], (skb) => tcpFastParseOptions(tp, skb)), false);
  assertEquals(tp.sawTstamp, false);
  const none = fakeSock(0, false);
  withSegment(ACK, TS, (skb) => tcpFastParseOptions(none, skb));
  assertEquals(none.sawTstamp, false);
});

Deno.test("blocks of the last segment do not live on in the next", () => {
  const tp = fakeSock(0);
  const sack = [1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2];
  withSegment(ACK, sack, (skb) => tcpFastParseOptions(tp, skb));
  assertEquals(tp.st.rxOpt.numSacks, 1);
  withSegment(ACK, TS, (skb) => tcpFastParseOptions(tp, skb));
  assertEquals(tp.st.rxOpt.numSacks, 0);
});

Deno.test("a signature is refused: nobody has a key", () => {
  const st = fakeState();
  const hash = (o: number[]): number => withSegment(ACK, o, (skb) => tcpInboundHash(st, skb));
  assertEquals(hash([19, 18, ...new Array<number>(16).fill(0)]), 501);
  assertEquals(st.mib.tcpExt.TCPMD5Unexpected, 1);
  assertEquals(hash([19, 17, ...new Array<number>(15).fill(0)]), 500);
  assertEquals(hash(TS), 0);
  for (const size of [0, 1, 255]) assertEquals(hash([99, size, 19, 18]), 0);
});
