import { assertEquals, assertThrows } from "@std/assert";
import { parseScript, type Script, ScriptError } from "../../../plugins/lab/packetdrill/mod.ts";

/** One event's worth of a script. */
function one(line: string): Script["events"][number] {
  return parseScript("one.pkt", line).events[0];
}

/** The packet of a line. */
function packet(line: string): unknown {
  const { action } = one(line);
  return action.kind === "inject" || action.kind === "expect" ? action.packet : null;
}

Deno.test("times: absolute, relative, any, ranges and blocking calls, in microseconds", () => {
  const time = (line: string): unknown => {
    const e = one(line);
    return [e.time.kind, e.time.from, e.time.to, e.time.range, e.end];
  };
  assertEquals(time("0.25 close(3) = 0"), ["absolute", 250000, 250000, false, null]);
  assertEquals(time("+.05 close(3) = 0"), ["relative", 50000, 50000, false, null]);
  assertEquals(time("1 close(3) = 0"), ["absolute", 1000000, 1000000, false, null]);
  assertEquals(time("* > . 1:1(0) ack 1"), ["any", 0, 0, false, null]);
  assertEquals(time("+.3~+.400 > . 1:1(0) ack 1"), ["relative", 300000, 400000, true, null]);
  assertEquals(time("1.0~1.5 > . 1:1(0) ack 1"), ["absolute", 1000000, 1500000, true, null]);
  assertEquals(time("+.02 ~+2 > . 1:1(0) ack 1"), ["relative", 20000, 2000000, true, null]);
  assertEquals(time("+0...0.2 accept(3, ..., ...) = 4"), ["relative", 0, 0, false, 200000]);
  assertEquals(time("+.1 ... 0.300 read(3, ..., 5) = 5"), ["relative", 100000, 100000, false, 300000]);
});

Deno.test("TCP segments: flags, sequence numbers, window, urgent pointer, options", () => {
  const line = "0 < SEWA 0:0(0) win 32792 <mss 1050,nop,nop,sackOK,nop,wscale 8>";
  assertEquals(packet(line), {
    proto: "tcp",
    ip: { ecn: null, anyEct: false, tos: null, ttl: null },
    flags: 0x02 | 0x40 | 0x80 | 0x100,
    seq: 0,
    len: 0,
    ack: 0,
    win: 32792,
    urg: 0,
    options: [
      { kind: "mss", value: 1050 },
      { kind: "nop" },
      { kind: "nop" },
      { kind: "sackOK" },
      { kind: "nop" },
      { kind: "wscale", value: 8 },
    ],
    ports: null,
  });
  const flags = (text: string): number => (packet(`0 > ${text} 1:1(0) ack 1`) as { flags: number }).flags;
  assertEquals(flags("."), 0x10);
  assertEquals(flags("FP."), 0x19);
  assertEquals(flags("-"), 0);
  // A digit is the ACE field: AE 4, CWR 2, ECE 1.
  assertEquals(flags("P.5"), 0x18 | 0x100 | 0x40);
  assertEquals(flags("P5."), 0x18 | 0x100 | 0x40);
  assertEquals(flags("F2."), 0x11 | 0x80);
});

Deno.test("TCP options: all that scripts write", () => {
  const options = (text: string): unknown => (packet(`0 > . 1:1(0) ack 1 <${text}>`) as { options: unknown }).options;
  assertEquals(options("..."), null);
  assertEquals(options("nop, nop, TS val 100 ecr 5"), [{ kind: "nop" }, { kind: "nop" }, {
    kind: "TS",
    val: 100,
    ecr: 5,
  }]);
  assertEquals(options("sack 1001:2001 3001:4001,nop,nop"), [
    { kind: "sack", blocks: [[1001, 2001], [3001, 4001]] },
    { kind: "nop" },
    { kind: "nop" },
  ]);
  assertEquals(options("FO abcd1234,nop,nop"), [{ kind: "FO", hex: "abcd1234" }, { kind: "nop" }, { kind: "nop" }]);
  assertEquals(options("FO"), [{ kind: "FO", hex: "" }]);
  assertEquals(options("FOEXP 00ab"), [{ kind: "FOEXP", hex: "00ab" }]);
  assertEquals(options("FO TFO_COOKIE"), [{ kind: "FO", hex: "3021b9d889017eeb" }]);
  assertEquals(options("ECN e1b 1 ceb 0 e0b 1001 ,nop"), [
    { kind: "ECN", fields: [["e1b", 1], ["ceb", 0], ["e0b", 1001]] },
    { kind: "nop" },
  ]);
  assertEquals(options("md5 000102,nop"), [{ kind: "md5", hex: "000102" }, { kind: "nop" }]);
  assertEquals((packet("0 > . 1:1(0) ack 1") as { options: unknown }).options, []);
});

Deno.test("notes about IP, UDP and ICMP", () => {
  assertEquals((packet("0 > [ect0] . 1:1(0) ack 1") as { ip: unknown }).ip, {
    ecn: 2,
    anyEct: false,
    tos: null,
    ttl: null,
  });
  assertEquals((packet("0 > [tos 0x10, ttl 63] udp (5)") as { ip: unknown }).ip, {
    ecn: null,
    anyEct: false,
    tos: 16,
    ttl: 63,
  });
  assertEquals((packet("0 < udp (1000)") as { len: number }).len, 1000);
  const icmp = (text: string): unknown[] => {
    const p = packet(`0 < icmp ${text}`) as { type: string; code: string; mtu: number; quoted: unknown };
    return [p.type, p.code, p.mtu, p.quoted];
  };
  assertEquals(icmp("unreachable"), ["unreachable", "", 0, null]);
  assertEquals(icmp("unreachable frag_needed mtu 800 [1:1001(1000)]"), ["unreachable", "frag_needed", 800, {
    seq: 1,
    len: 1000,
    udp: false,
  }]);
  assertEquals(icmp("packet_too_big mtu 1400"), ["packet_too_big", "", 1400, null]);
});

Deno.test("system calls: arguments, results, errno, what strace says", () => {
  const call = (line: string): unknown => {
    const { action } = one(line);
    return action.kind === "call"
      ? [action.call.name, action.call.args.length, action.call.result, action.call.errno]
      : 0;
  };
  assertEquals(call("0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)"), [
    "connect",
    3,
    { kind: "number", value: -1 },
    "EINPROGRESS",
  ]);
  assertEquals(call("0 fcntl(3, F_GETFL) = 0x02 (flags O_RDWR)"), ["fcntl", 2, { kind: "number", value: 2 }, ""]);
  assertEquals(call("0 read(3, ..., 5) = ?"), ["read", 3, null, ""]);
  assertEquals(call('0 setsockopt(3, SOL_TCP, TCP_FASTOPEN_KEY, "\\xf7a", 2) = 0'), [
    "setsockopt",
    5,
    { kind: "number", value: 0 },
    "",
  ]);
  const events = parseScript("two.pkt", "0 write(3, ..., 1) = 1\n+0 close(3) = 0\n+.5 close(4) = 0").events;
  assertEquals(events.map((e) => e.line), [1, 2, 3]);
  const { action } = one(`0 recvmsg(3, {msg_name(...)=..., msg_iov(1)=[{...,0}], msg_flags=MSG_ERRQUEUE|MSG_TRUNC,
      msg_control=[{cmsg_level=SOL_SOCKET, cmsg_data={scm_sec=0,scm_nsec=1}}]}, MSG_ERRQUEUE) = 0`);
  const message = action.kind === "call" ? action.call.args[1] : null;
  assertEquals(message?.kind === "struct" ? message.fields.map((f) => f.name) : [], [
    "msg_name",
    "msg_iov",
    "msg_flags",
    "msg_control",
  ]);
});

Deno.test("options, commands before and after, code, comments", () => {
  const script = parseScript(
    "all.pkt",
    `// A comment.
--tolerance_usecs=7000
--strict_segments // why
\`sysctl -q net.ipv4.tcp_ecn=1
 true\`
/* another
   comment */
0 %{ assert tcpi_snd_cwnd == 10 }%
+0 \`tc qdisc del dev tun0 root\` # and one more
+0 close(3) = 0
\`cleanup.sh\`
`,
  );
  assertEquals([...script.options], [["tolerance_usecs", "7000"], ["strict_segments", ""]]);
  assertEquals([script.init, script.initLine], ["sysctl -q net.ipv4.tcp_ecn=1\n true", 4]);
  assertEquals(script.events.map((e) => [e.action.kind, e.line]), [["code", 8], ["command", 9], ["call", 10]]);
  assertEquals(script.cleanup, "cleanup.sh");
});

Deno.test("what is not the language fails with file and line", () => {
  const fails = (text: string, message: string): void => {
    const error = assertThrows(() => parseScript("bad.pkt", text), ScriptError);
    assertEquals(error.message, message);
  };
  fails("0 close(3) = 0\n+0 > Q 0:0(0)", 'bad.pkt:2: TCP flags expected, at " Q 0:0(0)"'.replace('" Q', '"Q'));
  fails("0 > . 1:5(3) ack 1", 'bad.pkt:1: 1 and 3 bytes do not end at 5, at " ack 1"');
  fails("0 < . 1:1(0) ack 1", 'bad.pkt:1: an injected segment needs a window, at ""');
  fails("0 > . 1:1(0) ack 1 <foo 5>", 'bad.pkt:1: TCP option "foo" is not known, at " 5>"');
  fails("+.5~+.4 > . 1:1(0) ack 1", 'bad.pkt:1: a range ends before it begins, at " > . 1:1(0) ack 1"');
  fails("0 close(3 = 0", 'bad.pkt:1: ")" expected, at "= 0"');
  fails("--mss=5\n", "bad.pkt:2: no event in the script");
  fails("0...1 > . 1:1(0) ack 1", 'bad.pkt:1: only a system call may have a second time after ..., at ""');
});
