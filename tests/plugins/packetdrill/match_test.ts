import { assertEquals } from "@std/assert";
import { Conn } from "../../../plugins/lab/packetdrill/conn.ts";
import { joinSegments, segmentOf, segmentText, tcpDifferences } from "../../../plugins/lab/packetdrill/match.ts";
import { parseScript, type TcpLine, type TcpOption } from "../../../plugins/lab/packetdrill/mod.ts";
import {
  buildIpv4,
  buildTcp,
  decodeOptions,
  encodeOptions,
  readPacket,
  type WirePacket,
} from "../../../plugins/lab/packetdrill/wire.ts";

const LOCAL = 0xc0a80001;
const REMOTE = 0xc0000201;
const LOCAL_ISN = 0xfffff000;
const REMOTE_ISN = 77;

function conn(): Conn {
  const c = new Conn(6);
  Object.assign(c, { localIp: LOCAL, localPort: 8080, remoteIp: REMOTE, remotePort: 40000, state: "open" });
  Object.assign(c, { localIsn: LOCAL_ISN, remoteIsn: REMOTE_ISN, scriptRemoteIsn: REMOTE_ISN });
  return c;
}

function expected(text: string): TcpLine {
  const { action } = parseScript("x.pkt", `0 > ${text}`).events[0];
  return (action as { packet: TcpLine }).packet;
}

/** A segment as the stack would send it: numbers of the script plus the initial ones. */
function sent(
  flags: number,
  seq: number,
  len: number,
  ack: number,
  options: readonly TcpOption[] = [],
  tos = 0,
): WirePacket {
  const tcp = {
    seq: (seq + LOCAL_ISN) >>> 0,
    ack: ack === 0 ? 0 : ack + REMOTE_ISN,
    flags,
    win: 500,
    urg: 0,
    options: encodeOptions(options),
  };
  const ip = { saddr: LOCAL, daddr: REMOTE, protocol: 6, tos, ttl: 64, id: 1 };
  return readPacket(buildIpv4(ip, buildTcp(8080, 40000, tcp, len), 16), 0, false);
}

const EXACT = { tick: 0, tolerance: 0 };
const ACK = 0x10;
const PSH = 0x08;

function differences(text: string, p: WirePacket, c = conn()): string[] {
  return tcpDifferences(c, expected(text), p, EXACT);
}

Deno.test("a segment that is what the line says matches, across a sequence number that wraps", () => {
  assertEquals(sent(ACK | PSH, 1, 5000, 1).bad, "");
  assertEquals(differences("P. 1:5001(5000) ack 1", sent(ACK | PSH, 1, 5000, 1)), []);
  assertEquals(differences("P. 8001:9001(1000) ack 1", sent(ACK | PSH, 8001, 1000, 1)), []);
  assertEquals(differences(". 1:1(0) ack 1 win 500", sent(ACK, 1, 0, 1)), []);
});

Deno.test("every field that differs is told", () => {
  const p = sent(ACK | PSH, 1, 1000, 1);
  assertEquals(differences(". 1:1001(1000) ack 1", p), ["flags P., not ."]);
  assertEquals(differences("P. 2:1002(1000) ack 1", p), ["seq 1, not 2"]);
  assertEquals(differences("P. 1:1002(1001) ack 1", p), ["payload bytes 1000, not 1001"]);
  assertEquals(differences("P. 1:1001(1000) ack 2", p), ["ack 1, not 2"]);
  assertEquals(differences("P. 1:1001(1000) ack 1 win 501", p), ["window 500, not 501"]);
  assertEquals(differences("P. 1:1001(1000) ack 1 urg 5", p), ["urgent pointer 0, not 5"]);
  assertEquals(differences("[ect0] P. 1:1001(1000) ack 1", p), ["ECN noecn, not ect0"]);
  assertEquals(differences("[ect01] P. 1:1001(1000) ack 1", sent(ACK | PSH, 1, 1000, 1, [], 1)), []);
  assertEquals(differences("P. 1:1001(1000) ack 1 <nop,nop,nop,nop>", p), ["options <>, not <nop,nop,nop,nop>"]);
});

Deno.test("no options in a line means none, <...> means any", () => {
  const p = sent(ACK, 1, 0, 1, [{ kind: "nop" }, { kind: "nop" }, { kind: "nop" }, { kind: "nop" }]);
  assertEquals(differences(". 1:1(0) ack 1", p), ["options <nop,nop,nop,nop>, not <>"]);
  assertEquals(differences(". 1:1(0) ack 1 <...>", p), []);
});

Deno.test("a payload that is not zero is told", () => {
  const p = { ...sent(ACK, 1, 100, 1), notZero: 7 };
  assertEquals(differences(". 1:101(100) ack 1", p), ["payload byte 7 is not 0"]);
});

Deno.test("time stamps are names: the value is learnt, the echo is compared", () => {
  const c = conn();
  const ts = (val: number, ecr: number): TcpOption[] => [{ kind: "nop" }, { kind: "nop" }, { kind: "TS", val, ecr }];
  assertEquals(differences(". 1:1(0) ack 1 <nop,nop,TS val 100 ecr 700>", sent(ACK, 1, 0, 1, ts(123456, 700)), c), []);
  assertEquals(c.inboundOptions([{ kind: "TS", val: 1, ecr: 100 }], false), [{ kind: "TS", val: 1, ecr: 123456 }]);
  assertEquals(c.inboundOptions([{ kind: "TS", val: 1, ecr: 105 }], true), [{ kind: "TS", val: 1, ecr: 123461 }]);
  assertEquals(differences(". 1:1(0) ack 1 <nop,nop,TS val 100 ecr 701>", sent(ACK, 1, 0, 1, ts(5, 700)), c), [
    "options <nop,nop,TS val 100 ecr 700>, not <nop,nop,TS val 100 ecr 701>",
  ]);
  const ticks = (val: number): string[] =>
    tcpDifferences(c, expected(". 1:1(0) ack 1 <nop,nop,TS val 110 ecr 700>"), sent(ACK, 1, 0, 1, ts(val, 700)), {
      tick: 1000,
      tolerance: 4000,
    });
  assertEquals(ticks(123456 + 14), []);
  assertEquals(ticks(123456 + 15), ["TS val 115, not 110 (5000 usec off)"]);
});

Deno.test("SACK blocks of the peer's data count from its number", () => {
  const blocks: TcpOption[] = [
    { kind: "nop" },
    { kind: "nop" },
    { kind: "sack", blocks: [[1001 + REMOTE_ISN, 2001 + REMOTE_ISN]] },
  ];
  const p = sent(ACK, 1, 0, 1, blocks);
  assertEquals(differences(". 1:1(0) ack 1 <nop,nop,sack 1001:2001>", p), []);
  assertEquals(segmentText(segmentOf(conn(), p, p.tcp!)), ". 1:1(0) ack 1 win 500 <nop,nop,sack 1001:2001>");
  assertEquals(conn().inboundOptions([{ kind: "sack", blocks: [[1, 11]] }], false), [
    { kind: "sack", blocks: [[(1 + LOCAL_ISN) >>> 0, (11 + LOCAL_ISN) >>> 0]] },
  ]);
});

Deno.test("equal segments join to what one super-packet would have been", () => {
  const a = sent(ACK, 1, 1000, 1);
  const b = sent(ACK, 1001, 1000, 1);
  const c = sent(ACK | PSH, 2001, 500, 1);
  const ab = joinSegments(a, b, 1000)!;
  const abc = joinSegments(ab, c, 1000)!;
  assertEquals([abc.len, abc.tcp!.flags], [2500, ACK | PSH]);
  assertEquals(differences("P. 1:2501(2500) ack 1", abc), []);
  // A gap, another header, a longer one, one behind a shorter one: no.
  assertEquals(joinSegments(a, c, 1000), null);
  assertEquals(joinSegments(a, sent(ACK, 1001, 1000, 2), 1000), null);
  assertEquals(joinSegments(a, sent(ACK, 1001, 1001, 1), 1000), null);
  assertEquals(joinSegments(abc, sent(ACK, 2501, 500, 1), 1000), null);
  assertEquals(joinSegments(a, sent(ACK, 1001, 1000, 1, [], 2), 1000), null);
});

Deno.test("options survive the way to bytes and back", () => {
  const all: TcpOption[] = [
    { kind: "mss", value: 1460 },
    { kind: "sackOK" },
    { kind: "TS", val: 0xffffffff, ecr: 5 },
    { kind: "nop" },
    { kind: "wscale", value: 8 },
    { kind: "FO", hex: "abcd" },
  ];
  assertEquals(decodeOptions(encodeOptions(all)), all);
  const more: TcpOption[] = [
    { kind: "FOEXP", hex: "00ab" },
    { kind: "ECN", fields: [["e1b", 1], ["ceb", 0x123456], ["e0b", 3]] },
    { kind: "ECN", fields: [["e0b", 1]] },
    { kind: "md5", hex: "00ff" },
    { kind: "other", number: 200, hex: "01" },
    { kind: "eol" },
  ];
  assertEquals(decodeOptions(encodeOptions(more)), more);
  assertEquals(decodeOptions(Uint8Array.of(2, 9, 0)), null);
  assertEquals(decodeOptions(Uint8Array.of(2, 1, 0, 0)), null);
});

Deno.test("a malformed packet says why", () => {
  const good = buildIpv4({ saddr: LOCAL, daddr: REMOTE, protocol: 17, tos: 0, ttl: 64, id: 0 }, new Uint8Array(12), -1);
  const with_ = (at: number, value: number): string => {
    const bytes = good.slice();
    bytes[at] = value;
    return readPacket(bytes, 0, true).bad;
  };
  assertEquals(with_(0, 0x65), "IP version 6, not 4");
  assertEquals(with_(0, 0x46), "IPv4 header of 24 bytes, not 20");
  assertEquals(with_(3, 99), "IPv4 total length 99, not 32");
  assertEquals(with_(8, 63), "IPv4 header checksum is wrong");
  assertEquals(readPacket(new Uint8Array(5), 0, true).bad, "5 bytes are no IPv4 header");
  assertEquals(readPacket(good, 0, true).bad, "UDP length 0, not 12");
});
