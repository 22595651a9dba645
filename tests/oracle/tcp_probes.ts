/**
 * Directed TCP exchanges: one behaviour each, by name. The oracle runs them before the seeded ones, since a difference here says at once
 * what is wrong.
 *
 * @module
 */

import { LINUX_SYN, type TcpCase, type TcpOption, type TcpStep } from "../support/frames/generate_tcp.ts";
import { call, type Fields, PLAIN, sack, seg, STAMP, stamp, TcpProbes } from "./tcp_probe_kit.ts";

const ALL_FLAGS = ["A", "PA", "F", "FA", "R", "RA", "S", "SA", "SF", "SR", "FSRPAU", "FPU", ""];

function closed(probes: TcpProbes): void {
  for (const flags of ALL_FLAGS) {
    probes.add("closed", `${flags || "null"}`, [seg(flags, { seq: "5000", ack: "7000" })]);
    probes.add("closed", `${flags || "null"}, 10 bytes`, [seg(flags, { seq: "5000", ack: "7000", len: 10 })]);
  }
  probes.add("closed", "SYN, bad checksum", [seg("S", { damage: { kind: "checksum" } })]);
  probes.add("closed", "SYN, doff 4", [seg("S", { damage: { kind: "doff", words: 4 } })]);
  probes.add("closed", "SYN, doff beyond the segment", [seg("S", { damage: { kind: "doff", words: 15 } })]);
  probes.add("closed", "19 bytes", [seg("S", { damage: { kind: "cut", length: 19 } })]);
  probes.add("closed", "SYN with ECE and CWR", [seg("SEC")]);
  probes.add("closed", "ACK at the top of sequence space", [
    seg("A", { seq: "4294967295", ack: "4294967295", len: 3 }),
  ]);
}

function listen(probes: TcpProbes): void {
  for (const flags of ALL_FLAGS) {
    probes.add("listen", flags || "null", [seg(flags, { seq: "isn", ack: "7000" })]);
  }
  const syn = (note: string, opt: TcpOption[], fields: Fields = {}) =>
    probes.add("listen", `SYN ${note}`, [
      seg("S", { seq: "isn", opt, ...fields }),
      seg("A", { opt: opt.some((one) => one.kind === "ts") ? STAMP : [] }),
      seg("PA", { len: 10, opt: opt.some((one) => one.kind === "ts") ? STAMP : [] }),
      call("write", 2000),
    ]);
  syn("as Linux sends it", [...LINUX_SYN]);
  syn("without options", []);
  for (const value of [0, 1, 47, 48, 87, 88, 89, 535, 536, 537, 1459, 1461, 9000, 65535]) {
    syn(`mss ${value}`, [{ kind: "mss", value }]);
  }
  for (const value of [0, 1, 7, 13, 14, 15, 16, 255]) {
    syn(`wscale ${value}`, [...PLAIN, { kind: "nop" }, { kind: "wscale", value }]);
  }
  syn("mss and sackOk", [...PLAIN, { kind: "nop" }, { kind: "nop" }, { kind: "sackOk" }]);
  syn("mss and timestamps", [...PLAIN, ...stamp(0, { rawEcr: 0 })]);
  syn("timestamps with an echo", [...PLAIN, ...stamp(0, { rawEcr: 77 })]);
  syn("timestamp value 0", [...PLAIN, ...stamp(-1_000_000, { rawEcr: 0 })]);
  syn("mss, sackOk, wscale", [...PLAIN, { kind: "sackOk" }, { kind: "nop" }, { kind: "wscale", value: 7 }, {
    kind: "nop",
  }]);
  syn("mss twice", [{ kind: "mss", value: 500 }, { kind: "mss", value: 1000 }]);
  syn("mss behind the end", [{ kind: "end" }, { kind: "mss", value: 1000 }]);
  syn("mss of length 3", [{ kind: "raw", hex: "020305" }, { kind: "nop" }, { kind: "wscale", value: 7 }]);
  syn("mss of length 5", [{ kind: "raw", hex: "020505b400" }, { kind: "wscale", value: 7 }]);
  syn("option of length 0", [{ kind: "raw", hex: "fd00" }, ...PLAIN]);
  syn("option of length 1", [{ kind: "raw", hex: "fd01" }, ...PLAIN]);
  syn("option longer than the header", [{ kind: "raw", hex: "fdff0000" }, ...PLAIN]);
  syn("mss behind an unknown option", [{ kind: "raw", hex: "fd040000" }, ...PLAIN]);
  syn("sackOk of length 3", [{ kind: "raw", hex: "040300" }, ...PLAIN, { kind: "nop" }]);
  syn("sackOk behind SACK blocks", [{ kind: "sack", blocks: [[0, 5]] }, { kind: "nop" }, { kind: "sackOk" }, {
    kind: "nop",
  }]);
  syn("Fast Open request", [...PLAIN, { kind: "raw", hex: "2202" }, { kind: "nop" }, { kind: "nop" }]);
  syn("40 NOPs", Array.from({ length: 40 }, () => ({ kind: "nop" as const })));
  for (const win of [0, 1, 65535]) syn(`window ${win}`, [...LINUX_SYN], { win });
  syn("with 10 bytes", [...LINUX_SYN], { len: 10 });
  probes.add("listen", "SYN, URG", [seg("SU", { seq: "isn", urg: 3, len: 10 }), seg("A")]);
  probes.add("listen", "SYN, ECE, CWR", [seg("SEC", { seq: "isn" }), seg("A")]);
  probes.add("listen", "SYN, FIN", [seg("SF", { seq: "isn" }), seg("A")]);
  probes.add("listen", "SYN, bad checksum", [seg("S", { seq: "isn", damage: { kind: "checksum" } })]);
  probes.add(
    "listen",
    "SYN at the top of sequence space",
    [seg("S", { seq: "isn" }), seg("A"), seg("PA", { len: 20 })],
    {
      isn: 0xffff_fff8,
    },
  );
}

function synRecv(probes: TcpProbes): void {
  const probe = (note: string, ...steps: TcpStep[]) => probes.add("synRecv", note, steps);
  probe("the SYN again", seg("S", { seq: "isn" }));
  probe("another SYN", seg("S", { seq: "isn+7" }));
  probe("another SYN, in the window", seg("S", { seq: "nxt+5" }));
  for (const seq of ["nxt", "nxt-1", "nxt+1", "end-1", "end", "end+1"]) {
    probe(`RST ${seq}`, seg("R", { seq }), seg("A"));
  }
  for (const ack of ["nxt-1", "nxt+1", "nxt-70000", "nxt+70000"]) probe(`ACK ${ack}`, seg("A", { ack }), seg("A"));
  for (const seq of ["nxt-1", "nxt+1", "end-1", "end", "end+1", "nxt-70000"]) {
    probe(`ACK seq ${seq}`, seg("A", { seq }), seg("A"));
  }
  probe("ACK with data", seg("PA", { len: 10 }));
  probe("ACK with FIN", seg("FA"));
  probe("ACK with FIN and data", seg("FPA", { len: 10 }), call("read", 100));
  probe("data without ACK", seg("P", { len: 10 }));
  probe("FIN without ACK", seg("F"));
  probe("ACK with URG", seg("UA", { urg: 1, len: 5 }));
  probe("SYN, ACK", seg("SA", { seq: "isn" }));
  probe("SYN, ACK, in the window", seg("SA"));
  probe("RST, ACK", seg("RA"));
  probe("RST, ACK of something else", seg("RA", { ack: "nxt+1" }));
  probe("ACK without timestamps", seg("A", { opt: [] }));
  probe("ACK with an old timestamp", seg("A", { opt: stamp(-10) }), seg("A"));
  probe("ACK with a wrong echo", seg("A", { opt: stamp(1, { ecr: 100_000 }) }));
  probe("ACK, then the SYN again", seg("A"), seg("S", { seq: "isn" }));
  probe("ACK of window 0, then write", seg("A", { win: 0 }), call("write", 100));
  for (const ack of ["nxt-1", "nxt-200000"]) {
    probe(`ACK, then first data under an ACK too old, ${ack}`, seg("A"), seg("PA", { len: 10, ack }), seg("A"));
    probe(`ACK with data, then data under an ACK too old, ${ack}`, seg("PA", { len: 1 }), seg("PA", { len: 10, ack }));
  }
}

function synSent(probes: TcpProbes): void {
  const probe = (note: string, ...steps: TcpStep[]) => probes.add("synSent", note, steps);
  const opt = (
    ecr: { ecr?: number; rawEcr?: number },
  ): TcpOption[] => [...PLAIN, { kind: "sackOk" }, { kind: "ts", val: 0, ...ecr }];
  probe("SYN-ACK", seg("SA", { seq: "isn", opt: opt({ ecr: 0 }) }), call("write", 100));
  probe("SYN-ACK without options", seg("SA", { seq: "isn", opt: [] }), call("write", 2000));
  probe("SYN-ACK with data", seg("SA", { seq: "isn", opt: opt({ ecr: 0 }), len: 10 }));
  probe("SYN-ACK with FIN", seg("SFA", { seq: "isn", opt: opt({ ecr: 0 }) }));
  for (const ack of ["nxt-1", "nxt+1", "nxt+70000"]) {
    probe(`SYN-ACK ${ack}`, seg("SA", { seq: "isn", ack, opt: opt({ ecr: 0 }) }));
  }
  for (const ecr of [{ rawEcr: 0 }, { ecr: 1000 }, { ecr: -1000 }]) {
    probe(`SYN-ACK, echo ${JSON.stringify(ecr)}`, seg("SA", { seq: "isn", opt: opt(ecr) }));
  }
  probe("SYN: both open", seg("S", { seq: "isn", opt: opt({ rawEcr: 0 }) }), seg("A"), call("write", 10));
  probe(
    "SYN, then its SYN-ACK",
    seg("S", { seq: "isn", opt: opt({ rawEcr: 0 }) }),
    seg("SA", { seq: "isn", opt: opt({ ecr: 0 }) }),
  );
  probe("SYN with data", seg("S", { seq: "isn", opt: opt({ rawEcr: 0 }), len: 10 }));
  probe("SYN with FIN", seg("SF", { seq: "isn", opt: opt({ rawEcr: 0 }) }));
  for (const flags of ["A", "PA", "FA"]) {
    probe(`${flags} of the SYN`, seg(flags, { seq: "isn", len: flags === "PA" ? 10 : 0 }));
    probe(`${flags} of something else`, seg(flags, { seq: "isn", ack: "nxt+5" }));
  }
  probe("RST without ACK", seg("R", { seq: "isn" }));
  probe("RST, ACK of the SYN", seg("RA", { seq: "isn" }));
  probe("RST, ACK one less", seg("RA", { seq: "isn", ack: "nxt-1" }));
  probe("RST, ACK beyond", seg("RA", { seq: "isn", ack: "nxt+1" }));
  probe("SYN, RST, ACK", seg("SRA", { seq: "isn" }));
  probe("null, FIN, data", seg("", { seq: "isn" }), seg("F", { seq: "isn" }), seg("P", { seq: "isn", len: 10 }));
  probe(
    "SYN-ACK wscale 15",
    seg("SA", { seq: "isn", opt: [...PLAIN, { kind: "wscale", value: 15 }, { kind: "nop" }] }),
    call("write", 100),
  );
  probe("SYN-ACK, window 0", seg("SA", { seq: "isn", opt: opt({ ecr: 0 }), win: 0 }), call("write", 10));
  probe("close in SYN-SENT", call("close"), seg("SA", { seq: "isn" }));
}

function established(probes: TcpProbes): void {
  const probe = (note: string, ...steps: TcpStep[]) => probes.add("established", note, steps);
  for (const seq of ["nxt", "nxt-1", "nxt+1", "nxt+100", "end-1", "end", "end+1", "nxt-70000", "nxt+2000000000"]) {
    probe(`RST at ${seq}`, seg("R", { seq }));
    probe(`RST, ACK at ${seq}`, seg("RA", { seq }));
    probe(`SYN at ${seq}`, seg("S", { seq }));
    probe(`SYN, ACK at ${seq}`, seg("SA", { seq }));
    probe(`FIN at ${seq}`, seg("FA", { seq }));
    probe(`ACK at ${seq}`, seg("A", { seq }));
    probe(`10 bytes at ${seq}`, seg("PA", { seq, len: 10 }), call("read", 100));
  }
  for (const ack of ["nxt+1", "nxt-1", "una-1", "nxt-100", "nxt-70000", "nxt-200000", "nxt+70000", "nxt+2000000000"]) {
    probe(`ACK of ${ack}`, seg("A", { ack }));
    probe(`10 bytes, ACK of ${ack}`, seg("PA", { ack, len: 10 }), call("read", 100));
    probe(`FIN, ACK of ${ack}`, seg("FA", { ack }));
    probe(`RST, ACK of ${ack}`, seg("RA", { ack }));
  }
  for (const flags of ["", "F", "P", "S", "SF", "FPU", "U", "FSRPAU", "SRA", "SR", "FR"]) {
    probe(`${flags || "null"}`, seg(flags));
    probe(`${flags || "null"}, 10 bytes`, seg(flags, { len: 10 }));
  }
  probe("segments of 1,448, five of them", ...Array.from({ length: 5 }, () => seg("A", { len: 1448 })));
  probe("10 bytes twice", seg("PA", { len: 10 }), seg("PA", { len: 10 }), seg("PA", { len: 10 }));
  probe(
    "10 bytes, read, 10 bytes",
    seg("PA", { len: 10 }),
    call("read", 100),
    seg("PA", { len: 10 }),
    call("read", 100),
  );
  probe(
    "10 bytes, write, 10 bytes",
    seg("PA", { len: 10 }),
    call("read", 100),
    call("write", 10),
    seg("PA", { len: 10 }),
  );
  probe("old bytes", seg("PA", { len: 10, seq: "nxt-10" }));
  probe("old and new bytes", seg("PA", { len: 10, seq: "nxt-5" }), call("read", 100));
  probe(
    "a hole, filled",
    seg("PA", { len: 10, seq: "nxt+10" }),
    seg("PA", { len: 10, seq: "nxt+30" }),
    seg("PA", { len: 10 }),
  );
  probe("a hole, the same again", seg("PA", { len: 10, seq: "nxt+10" }), seg("PA", { len: 10, seq: "nxt+10" }));
  probe("holes, three of them", ...[10, 30, 50, 70, 90].map((off) => seg("PA", { len: 10, seq: `nxt+${off}` })));
  probe(
    "a hole, a full segment, and a FIN alone behind it: the window grows",
    seg("PA", { len: 1448, seq: "nxt+10" }),
    seg("FA", { seq: "nxt+1458" }),
  );
  probe("holes, adjacent", ...[20, 10, 40, 30, 0].map((off) => seg("PA", { len: 10, seq: `nxt+${off}` })));
  probe(
    "holes, overlapping",
    ...[20, 15, 40, 35, 5].map((off) => seg("PA", { len: 10, seq: `nxt+${off}` })),
    seg("PA", { len: 10 }),
  );
  // What joins its left neighbour may overlap or cover its right ones: no D-SACK, and they stay.
  const joins = (note: string, ...parts: [number, number][]) =>
    probe(
      `holes, joined: ${note}`,
      ...[...parts, [0, 100]].map(([off, len]) => seg("PA", { len, seq: `nxt+${off}` })),
      call("read", 2000),
    );
  joins("the right one is overlapped", [100, 100], [250, 150], [200, 60]);
  joins("the right one is covered", [100, 100], [250, 50], [200, 200]);
  joins("two are covered", [100, 100], [250, 50], [350, 50], [200, 250]);
  joins("then bytes of both", [100, 100], [250, 150], [200, 60], [255, 20]);
  joins("then all again and more", [100, 100], [250, 150], [200, 60], [100, 700]);
  joins("then the right one again and more", [100, 100], [250, 150], [200, 60], [250, 700]);
  joins("then the end of the covered one, and more", [100, 100], [250, 50], [200, 200], [300, 20], [300, 300]);
  probe(
    "a hole and a FIN behind it",
    seg("FPA", { len: 10, seq: "nxt+10" }),
    seg("PA", { len: 10 }),
    call("read", 100),
  );
  probe("data behind a FIN", seg("FA"), seg("PA", { len: 10 }));
  probe("beyond the window", seg("PA", { len: 100, seq: "end-50" }), seg("PA", { len: 100, seq: "end" }));
  probe(
    "timestamp of before",
    seg("A", { opt: stamp(-1) }),
    seg("PA", { len: 10, opt: stamp(-5) }),
    seg("R", { opt: stamp(-5) }),
  );
  probe("timestamp of long before", seg("PA", { len: 10, opt: stamp(-0x7000_0000) }));
  probe("timestamp from the future", seg("PA", { len: 10, opt: stamp(500_000) }), seg("PA", { len: 10 }));
  probe("no timestamp", seg("PA", { len: 10, opt: [] }), seg("A", { opt: [] }), seg("FA", { opt: [] }));
  probe(
    "wrong echo",
    seg("PA", { len: 10, opt: stamp(1, { ecr: 100_000 }) }),
    seg("A", { opt: stamp(1, { rawEcr: 0 }) }),
  );
  probe("old FIN, PAWS", seg("FA", { opt: stamp(-5) }));
  probe("SYN, PAWS", seg("S", { opt: stamp(-5) }));
  probe(
    "MSS option on data",
    seg("PA", { len: 10, opt: [...stamp(1), { kind: "mss", value: 100 }] }),
    call("write", 500),
  );
  probe("option of length 0", seg("PA", { len: 10, opt: [{ kind: "raw", hex: "fd00" }] }), call("read", 100));
  probe("bad checksum", seg("PA", { len: 10, damage: { kind: "checksum" } }));
  probe("doff 4", seg("PA", { len: 10, damage: { kind: "doff", words: 4 } }));
  probe("doff 15", seg("PA", { len: 10, damage: { kind: "doff", words: 15 } }));
  probe("doff shorter than the options", seg("PA", { len: 10, damage: { kind: "doff", words: 5 } }), call("read", 100));
  probe("19 bytes", seg("PA", { len: 10, damage: { kind: "cut", length: 19 } }));
  probe("urgent 1 of 10", seg("UPA", { len: 10, urg: 1 }), call("read", 100), call("read", 100));
  probe("urgent 10 of 10", seg("UPA", { len: 10, urg: 10 }), call("read", 100), call("read", 100));
  probe("urgent 0", seg("UPA", { len: 10, urg: 0 }), call("read", 100), call("read", 100));
  probe(
    "urgent beyond",
    seg("UPA", { len: 10, urg: 65535 }),
    call("read", 100),
    seg("PA", { len: 10 }),
    call("read", 100),
  );
  probe("ECE and CWR", seg("AEC"), seg("PAE", { len: 10 }));
  probe("window 0, write, window 501", seg("A", { win: 0 }), call("write", 10), seg("A", { win: 501 }));
  probe("window 0 by an old segment", seg("A", { win: 0, seq: "nxt-5" }), call("write", 10));
  probe("window shrinks", seg("A", { win: 1 }), call("write", 500), seg("A", { win: 501 }));
  probe("write, ACK, write", call("write", 100), seg("A"), call("write", 100), seg("A"));
  probe("write 3,000", call("write", 3000), seg("A"));
  probe("write 30,000", call("write", 30_000), seg("A"), seg("A"));
  probe(
    "Nagle: 10, 10, 10, ACK",
    call("write", 10),
    call("write", 10),
    call("write", 10),
    seg("A", { ack: "una+10" }),
    seg("A"),
  );
  probe(
    "duplicate ACKs",
    call("write", 14_000),
    ...Array.from({ length: 5 }, () => seg("A", { ack: "una", opt: sack([1469, 2917]) })),
  );
  probe(
    "duplicate ACKs without SACK",
    call("write", 14_000),
    ...Array.from({ length: 5 }, () => seg("A", { ack: "una" })),
  );
  probe("SACK of what was not sent", call("write", 2000), seg("A", { ack: "una", opt: sack([100_000, 101_000]) }));
  probe("SACK below the ACK", call("write", 2000), seg("A", { opt: sack([1, 10]) }));
  probe("SACK inverted", call("write", 5000), seg("A", { ack: "una", opt: sack([3000, 2000]) }));
  probe("shutdown, ACK, FIN", call("shutdown"), seg("A"), seg("FA"), seg("FA", { seq: "nxt-1" }));
  probe("shutdown, FIN, ACK", call("shutdown"), seg("FA", { ack: "nxt-1" }), seg("A"));
  probe("shutdown, FIN+ACK", call("shutdown"), seg("FA"));
  probe("FIN, write, shutdown, ACK", seg("FA"), call("write", 10), call("shutdown"), seg("A"));
  probe("FIN again", seg("FA"), seg("FA", { seq: "nxt-1" }));
  probe("close", call("close"), seg("A"), seg("FA"));
  probe("close with unread data", seg("PA", { len: 10 }), call("close"));
  probe("close, then data", call("close"), seg("PA", { len: 10 }));
  probe("abort", call("abort"), seg("PA", { len: 10 }));
  probe("shutdown, then data", call("shutdown"), seg("PA", { len: 10 }), call("read", 100));
}

function closing(probes: TcpProbes): void {
  for (const setup of ["finWait1", "finWait2", "closing", "timeWait", "closeWait", "lastAck", "orphan"] as const) {
    const probe = (note: string, ...steps: TcpStep[]) => probes.add(setup, note, steps);
    for (const flags of ["A", "F", "FA", "R", "RA", "S", "SA", "PA", "FPA", ""]) {
      const len = flags.includes("P") ? 10 : 0;
      probe(`${flags || "null"}`, seg(flags, { len }), seg("A"));
      probe(`${flags || "null"}, one before`, seg(flags, { len, seq: "nxt-1" }), seg("A"));
      probe(`${flags || "null"}, one behind`, seg(flags, { len, seq: "nxt+1" }), seg("A"));
      probe(`${flags || "null"}, outside`, seg(flags, { len, seq: "end+100000" }), seg("A"));
    }
    for (const ack of ["nxt-1", "nxt+1", "nxt-70000"]) probe(`ACK ${ack}`, seg("A", { ack }));
    probe("old timestamp", seg("A", { opt: stamp(-5) }));
    probe("SYN with a newer timestamp", seg("S", { seq: "nxt+100", opt: [...PLAIN, ...stamp(5, { rawEcr: 0 })] }));
    probe(
      "SYN far away, newer timestamp",
      seg("S", { seq: "nxt+1000000", opt: [...PLAIN, ...stamp(5, { rawEcr: 0 })] }),
      seg("A"),
    );
    probe("SYN far away, no timestamp", seg("S", { seq: "nxt+1000000", opt: PLAIN }), seg("A", { opt: [] }));
    probe("SYN before, no timestamp", seg("S", { seq: "nxt-1000000", opt: PLAIN }));
  }
  probes.add("timeWait", "SYN, without timestamps", [seg("S", { seq: "nxt+100", opt: PLAIN }), seg("A", { opt: [] })], {
    synOptions: PLAIN,
  });
}

/** Every probe. */
export function tcpProbes(): TcpCase[] {
  const probes = new TcpProbes();
  for (const each of [closed, listen, synRecv, synSent, established, closing]) each(probes);
  return probes.cases;
}
