import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  CHALLENGE_RST,
  CHALLENGE_SYN,
  INVALID_PAWS,
  INVALID_PAWS_ACK,
  INVALID_SEQ_BEYOND,
  INVALID_SEQ_END_BEYOND,
  INVALID_SEQ_OLD,
  INVALID_SEQ_RST,
  LISTEN_DROP,
  LISTEN_RESET,
  LISTEN_SYN,
  SEQ_BEYOND,
  SEQ_END_BEYOND,
  SEQ_OK,
  SEQ_OLD,
  SYNSENT_ACCEPT,
  SYNSENT_CROSSED,
  SYNSENT_DROP_FLAGS,
  SYNSENT_DROP_PAWS,
  SYNSENT_DROP_RST,
  SYNSENT_REFUSED,
  SYNSENT_RESET_ACK,
  SYNSENT_RESET_TSTAMP,
  tcpListenDisposition,
  tcpOowRateLimited,
  tcpPawsCheck,
  tcpPawsReject,
  type TcpReceiver,
  tcpSequence,
  tcpSynSentDisposition,
  tcpValidate,
  VALID,
  VALID_RST,
} from "../../../plugins/transport/tcp/state.ts";
import {
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_SYN_RECV,
} from "../../../plugins/transport/tcp/contract.ts";

const F = 1, S = 2, R = 4, P = 8, A = 16, U = 32;
const NOW = 10_000;

/** A receiver whose window [rcvNxt, rcvNxt + 1000) lies across the wrap of sequence numbers. */
function receiver(fields: Partial<TcpReceiver> = {}): TcpReceiver {
  const rcvNxt = 0x7ffffe00;
  return {
    rcvNxt,
    rcvWup: rcvNxt,
    rcvWnd: 1000,
    sndUna: 5000,
    sndNxt: 6000,
    sndWl1: rcvNxt,
    sndWnd: 1000,
    sndWscale: 0,
    tsRecent: 100_000,
    tsRecentStamp: NOW,
    rcvTsval: 100_000,
    sawTstamp: false,
    icskRto: 200,
    sackOk: true,
    numSacks: 0,
    selectiveAcks: null,
    ...fields,
  };
}

/** tcpValidate() of a segment of `len` bytes at `off` from rcvNxt. */
function validate(
  tp: TcpReceiver,
  flags: number,
  off: number,
  len = 0,
  more: { state?: number; ack?: number; window?: number; unread?: boolean; owned?: boolean } = {},
): number {
  const seq = (tp.rcvNxt + off) | 0;
  const endSeq = (seq + len + ((flags & S) !== 0 ? 1 : 0) + ((flags & F) !== 0 ? 1 : 0)) | 0;
  const { state = TCP_ESTABLISHED, ack = tp.sndUna, window = 1000, unread = false, owned = true } = more;
  return tcpValidate(tp, state, seq, endSeq, flags, ack, window, NOW, unread, owned);
}

Deno.test("[A42] a listener: a RST for an ACK, a connection for a SYN, silence for all other flags", () => {
  for (let flags = 0; flags < 64; flags++) {
    const expected = (flags & A) !== 0 ? LISTEN_RESET : (flags & (S | R | F)) === S ? LISTEN_SYN : LISTEN_DROP;
    assertEquals(tcpListenDisposition(flags), expected, `flags ${flags}`);
  }
});

Deno.test("SYN-SENT: each combination of flags with a good, an old and a future ACK", () => {
  const una = 0x7fffffff, nxt = 0x80000000 | 0;
  const of = (flags: number, ack: number): number => tcpSynSentDisposition(flags, ack, una, nxt, 0, 1, 2, false);
  for (let flags = 0; flags < 64; flags++) {
    const syn = (flags & S) !== 0, rst = (flags & R) !== 0;
    if ((flags & A) === 0) {
      const expected = rst ? SYNSENT_DROP_RST : syn ? SYNSENT_CROSSED : SYNSENT_DROP_FLAGS;
      for (const ack of [una, nxt, 0]) assertEquals(of(flags, ack), expected, `flags ${flags}`);
      continue;
    }
    for (const ack of [una, una - 1, nxt + 1, nxt + 70_000, 0]) assertEquals(of(flags, ack | 0), SYNSENT_RESET_ACK);
    assertEquals(of(flags, nxt), rst ? SYNSENT_REFUSED : syn ? SYNSENT_ACCEPT : SYNSENT_DROP_FLAGS, `flags ${flags}`);
  }
});

Deno.test("SYN-SENT: an echo must lie between the first SYN and now, 0 says nothing", () => {
  const of = (ecr: number): number => tcpSynSentDisposition(S | A, 1, 0, 1, ecr, 1000, 3000, false);
  assertEquals([1000, 2000, 3000, 0].map(of), new Array(4).fill(SYNSENT_ACCEPT));
  assertEquals([999, 3001, -5].map(of), new Array(3).fill(SYNSENT_RESET_TSTAMP));
});

Deno.test("SYN-SENT: a crossed SYN with an old timestamp is dropped", () => {
  assertEquals(tcpSynSentDisposition(S, 0, 0, 1, 0, 0, 0, true), SYNSENT_DROP_PAWS);
  assertEquals(tcpSynSentDisposition(S | A, 1, 0, 1, 0, 0, 0, true), SYNSENT_ACCEPT);
});

Deno.test("the window: its edges, to the byte", () => {
  const tp = receiver();
  const at = (off: number, len: number, unread = false, fin = false): number =>
    tcpSequence(tp, (tp.rcvNxt + off) | 0, (tp.rcvNxt + off + len) | 0, unread, fin);
  assertEquals([at(-1, 0), at(-10, 9), at(-10, 10), at(-10, 11)], [SEQ_OLD, SEQ_OLD, SEQ_OK, SEQ_OK]);
  assertEquals([at(0, 0), at(0, 1000), at(999, 1), at(1000, 0)], [SEQ_OK, SEQ_OK, SEQ_OK, SEQ_OK]);
  assertEquals([at(1001, 0), at(1001, 5), at(2e9, 1)], [SEQ_BEYOND, SEQ_BEYOND, SEQ_BEYOND]);
  assertEquals([at(999, 2), at(1000, 1), at(0, 1001)], [SEQ_OK, SEQ_OK, SEQ_OK]);
  assertEquals([at(999, 2, true), at(0, 1001, true)], [SEQ_END_BEYOND, SEQ_END_BEYOND]);
  // A FIN needs no room.
  assertEquals([at(1000, 1, true, true), at(999, 3, true, true), at(1001, 1, true, true)], [
    SEQ_OK,
    SEQ_END_BEYOND,
    SEQ_BEYOND,
  ]);
});

Deno.test("an ACK that was sent with an older right edge still bounds the left", () => {
  // 500 of the 1000 bytes came since: what repeats them is in the window that was told.
  const tp = receiver({ rcvWup: (0x7ffffe00 - 500) | 0 });
  const at = (off: number, len: number): number =>
    tcpSequence(tp, (tp.rcvNxt + off) | 0, (tp.rcvNxt + off + len) | 0, false, false);
  assertEquals([at(-500, 0), at(-501, 0), at(500, 0), at(501, 0)], [SEQ_OK, SEQ_OLD, SEQ_OK, SEQ_BEYOND]);
});

Deno.test("[A25] a RST ends the connection at exactly rcvNxt, challenges in the window, is nothing outside", () => {
  const tp = receiver();
  for (const flags of [R, R | A, R | F, R | S | A]) {
    assertEquals(validate(tp, flags, 0), VALID_RST, `flags ${flags}`);
    for (const off of [1, 100, 999]) assertEquals(validate(tp, flags, off), CHALLENGE_RST, `flags ${flags}, +${off}`);
    for (const off of [-70_000, 1001, 2e9]) assertEquals(validate(tp, flags, off), INVALID_SEQ_RST);
  }
  assertEquals([validate(tp, R, -1), validate(tp, R, 1000)], [INVALID_SEQ_RST, CHALLENGE_RST]);
});

Deno.test("[A25] of all RSTs in the sequence space, one in 2^32 ends the connection", () => {
  const tp = receiver();
  fc.assert(
    fc.property(fc.integer({ min: -0x80000000, max: 0x7fffffff }), (off) => {
      if (off !== 0) assertEquals(validate(tp, R, off) === VALID_RST, false);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("a RST at the end of the highest SACK block ends it too, PAWS does not save it", () => {
  const nxt = receiver().rcvNxt;
  const blocks = Int32Array.of(nxt + 100, nxt + 200, nxt + 300, nxt + 400, 0, 0, 0, 0);
  const tp = receiver({ numSacks: 2, selectiveAcks: blocks });
  assertEquals([200, 400, 401].map((off) => validate(tp, R, off)), [CHALLENGE_RST, VALID_RST, CHALLENGE_RST]);
  const old = receiver({ sawTstamp: true, rcvTsval: 1 });
  assertEquals(validate(old, R, 0), VALID_RST);
});

Deno.test("behind the peer's FIN its own number is a good RST", () => {
  for (const state of [TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING]) {
    assertEquals(validate(receiver(), R, -1, 0, { state }), VALID_RST);
    assertEquals(validate(receiver(), R, -2, 0, { state }), INVALID_SEQ_RST);
  }
  assertEquals(validate(receiver(), R, -1, 0, { state: TCP_FIN_WAIT2 }), INVALID_SEQ_RST);
});

Deno.test("[A26] a SYN anywhere, with anything, is challenged", () => {
  const old = receiver({ sawTstamp: true, rcvTsval: 1 });
  for (const flags of [S, S | A, S | F, S | P | U]) {
    for (const off of [-70_000, -1, 0, 1, 500, 1000, 1001, 2e9]) {
      assertEquals(validate(receiver(), flags, off), CHALLENGE_SYN, `flags ${flags} at ${off}`);
      assertEquals(validate(old, flags, off), CHALLENGE_SYN, `flags ${flags} at ${off}, old timestamp`);
    }
  }
});

Deno.test("[A56] the SYN-ACK of a simultaneous open passes, and nothing like it", () => {
  const tp = receiver({ sndUna: 5000, sndNxt: 5001 });
  const more = { state: TCP_SYN_RECV, ack: 5001 };
  assertEquals(validate(tp, S | A, -1, 0, more), VALID);
  assertEquals(validate(tp, S, -1, 0, more), CHALLENGE_SYN);
  assertEquals(validate(tp, S | A, -1, 0, { ...more, ack: 5000 }), CHALLENGE_SYN);
  assertEquals(validate(tp, S | A, -1, 1, more), CHALLENGE_SYN);
  assertEquals(validate(tp, S | A, 0, 0, more), CHALLENGE_SYN);
  assertEquals(validate(tp, S | A, -1, 0, { ...more, owned: false }), CHALLENGE_SYN);
  assertEquals(validate(tp, S | A, -1, 0, { ...more, state: TCP_ESTABLISHED }), CHALLENGE_SYN);
});

Deno.test("segments outside of the window get their reason", () => {
  const tp = receiver();
  assertEquals(validate(tp, A, -5, 4), INVALID_SEQ_OLD);
  assertEquals(validate(tp, A, 1001, 10), INVALID_SEQ_BEYOND);
  assertEquals(validate(tp, A, 990, 20, { unread: true }), INVALID_SEQ_END_BEYOND);
  assertEquals(validate(tp, A, 990, 20), VALID);
});

Deno.test("PAWS: one millisecond is tolerated, TS.Recent 0 and one of long ago say nothing", () => {
  const check = (tsval: number, recent = 1000, stamp = NOW): boolean => tcpPawsCheck(recent, stamp, tsval, NOW, 1);
  assertEquals([1000, 999, 998, 1001, (1000 + 0x7fffffff) | 0].map((v) => check(v)), [true, true, false, true, true]);
  assertEquals(check((1000 + 0x80000001) | 0), false);
  assertEquals(check(1, 0), true);
  assertEquals([check(1, 1000, NOW - 2146), check(1, 1000, NOW - 2147)], [false, true]);
  const wrapped = (tsval: number): boolean => tcpPawsCheck(0x7fffffff, NOW, tsval, NOW, 0);
  assertEquals([wrapped(-0x80000000), wrapped(0x7ffffffe)], [true, false]);
});

Deno.test("PAWS for what would replace a connection: no tolerance, but RSTs after a minute", () => {
  assertEquals(tcpPawsReject(1000, NOW, 999, NOW, false), true);
  assertEquals(tcpPawsReject(1000, NOW, 1000, NOW, false), false);
  assertEquals(tcpPawsReject(1000, NOW - 59, 999, NOW, true), true);
  assertEquals(tcpPawsReject(1000, NOW - 60, 999, NOW, true), false);
  assertEquals(tcpPawsReject(1000, NOW - 60, 999, NOW, false), true);
});

Deno.test("[A41] old timestamps: data is refused, old ACKs are silent, a reordered duplicate ACK passes", () => {
  const tp = receiver({ sawTstamp: true, rcvTsval: 100_000 - 5 });
  assertEquals(validate(tp, A | P, 0, 10), INVALID_PAWS);
  assertEquals(validate(tp, A | F, 0), INVALID_PAWS);
  assertEquals(validate(tp, A, -1), INVALID_PAWS_ACK);
  assertEquals(validate(tp, A, 1), INVALID_PAWS);
  assertEquals(validate(tp, A, 0), VALID);
  assertEquals(validate(tp, A, 0, 0, { ack: 5001 }), INVALID_PAWS, "it acknowledges something new");
  assertEquals(validate(tp, A, 0, 0, { window: 1001 }), INVALID_PAWS, "it opens the window");
  const older = receiver({ sawTstamp: true, rcvTsval: 100_000 - 241 });
  assertEquals(validate(older, A, 0), INVALID_PAWS, "older than 1.2 RTO");
  const poison = receiver({ sawTstamp: true, rcvTsval: (100_000 + 0x80000001) | 0 });
  assertEquals(validate(poison, A | P, 0, 10), INVALID_PAWS);
});

Deno.test("[A40] answers to segments outside of the window wait for each other", () => {
  assertEquals(tcpOowRateLimited(0, 1, 500), false);
  assertEquals(tcpOowRateLimited(1000, 1499, 500), true);
  assertEquals(tcpOowRateLimited(1000, 1500, 500), false);
  assertEquals(tcpOowRateLimited(0x7fffffff, -0x80000000, 500), true);
  assertEquals(tcpOowRateLimited(1000, 999, 500), false, "a clock that went back");
  assertEquals(tcpOowRateLimited(1000, 1000, 0), false, "no limit");
});

Deno.test("what is acceptable: exactly what touches the window, RFC 9293 table 6", () => {
  const tp = receiver();
  const seq = fc.integer({ min: -3000, max: 3000 });
  fc.assert(
    fc.property(seq, fc.integer({ min: 0, max: 1500 }), fc.boolean(), (off, len, unread) => {
      const valid = validate(tp, A, off, len, { unread }) === VALID;
      const touches = off + len >= 0 && off <= 1000;
      assertEquals(valid, touches && !(unread && off + len > 1000));
    }),
    { numRuns: 2000 },
  );
});
