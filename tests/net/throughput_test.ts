/**
 * What each congestion control makes of a link that loses: a loss × round trip table in virtual time, under snapshot.
 *
 *     a ── r ══ 10 Mbit/s, 100 packets of queue ══ b
 *
 * The link loses and delays in both directions. For DCTCP the router marks what finds 10 packets in its queue, as a switch of a
 * data centre does (RFC 8257 section 3.1). The numbers are in the snapshot, to the digit; what must hold whatever they are, is
 * asserted. `deno test -A tests/net/throughput_test.ts -- --update` when a change is meant.
 */
import { assert, assertEquals } from "@std/assert";
import type { VirtualPlatform } from "../../core/mod.ts";
import { createHost, type Host } from "../../mod.ts";
import { nic, wire } from "../../plugins/device/nic/mod.ts";
import { NF_ACCEPT, NF_INET_FORWARD, nfRegisterNetHook } from "../../plugins/network/netfilter/mod.ts";
import { IPH_TOS, ipSendCheck } from "../../plugins/network/ipv4/header.ts";
import { msgHdr } from "../../plugins/transport/sock/mod.ts";
import { bbr, dctcp, TCP } from "../../plugins/transport/tcp/mod.ts";
import { TestMachine, twoHosts } from "../support/hosts.ts";
import { EAGAIN, tcpConnect, tcpListen } from "../support/tcp.ts";

const ALGORITHMS = ["reno", "cubic", "bbr", "dctcp"] as const;
/** Per cent, of packets and of ACKs. */
const LOSSES = [0, 0.01, 0.1, 1, 3];
/** Milliseconds, without queues. */
const RTTS = [1, 10, 50, 100, 200];
const RATE = 10e6;
const QUEUE = 100;
const PACKET = 1514;
/** Packets in the queue from which on DCTCP's are marked. */
const MARK = 10;
const MS = 1e6;

type Algorithm = typeof ALGORITHMS[number];

/** What a full link carries of payload, Mbit/s. */
const FULL = RATE * 1448 / PACKET / 1e6;

/** Virtual seconds: sixty round trips and more; the first fifth does not count. */
function secondsOf(rttMs: number): number {
  return Math.max(2, rttMs * 0.06);
}

/** Marks by the length of the queue in front of the link. Linux: RED with one threshold. */
function marking(router: Host): void {
  const queue = router.link.get("eth1").txq[0].qdisc!;
  nfRegisterNetHook(router.net, {
    name: "mark",
    hook: NF_INET_FORWARD,
    fn: (skb, state) => {
      const tos = skb.view.getUint8(skb.networkHeader + IPH_TOS);
      if (state.out === queue.dev && queue.qlen >= MARK && (tos & 3) !== 0) {
        skb.view.setUint8(skb.networkHeader + IPH_TOS, tos | 3);
        ipSendCheck(skb.view, skb.networkHeader);
      }
      return NF_ACCEPT;
    },
  });
}

/** The three hosts, with `algorithm` for all connections. */
function hosts(machine: TestMachine, algorithm: Algorithm, loss: number, rttMs: number): { a: Host; b: Host } {
  const [near, far] = [wire(machine), wire(machine, { loss: loss / 100, delayNs: rttMs / 2 * MS, limit: 4000 })];
  const a = createHost({ machine, name: "a", plugins: [bbr(), dctcp()] });
  const r = createHost({ machine, name: "r", forwarding: true });
  const b = createHost({ machine, name: "b", plugins: [bbr(), dctcp()] });
  nic(a.net, "eth0", { wire: near });
  nic(r.net, "eth0", { wire: near });
  nic(r.net, "eth1", { wire: far });
  nic(b.net, "eth0", { wire: far });
  a.addr.add("eth0", "10.0.0.2/24");
  r.addr.add("eth0", "10.0.0.1/24");
  r.addr.add("eth1", "10.0.1.1/24");
  b.addr.add("eth0", "10.0.1.2/24");
  a.route.add("default", { via: "10.0.0.1" });
  b.route.add("default", { via: "10.0.1.1" });
  r.neigh.set("eth1", "10.0.1.2", b.link.get("eth0").address);
  b.neigh.set("eth0", "10.0.1.1", r.link.get("eth1").address);
  r.net.setQdisc(r.link.get("eth1"), "tbf", { rate: RATE, burst: 2 * PACKET, limit: QUEUE * PACKET });
  for (const host of [a, b]) {
    assert(host.net.get(TCP).setDefaultCongestionControl(algorithm));
    if (algorithm === "dctcp") host.sysctl("net.ipv4.tcp_ecn", 1);
  }
  if (algorithm === "dctcp") marking(r);
  return { a, b };
}

/** Keeps the send buffer of `a` full and the receive buffer of `b` empty; the bytes that `b` read so far. */
function pump(machine: TestMachine, a: Host, b: Host, address: string): () => number {
  const listener = tcpListen(b, 80);
  const client = tcpConnect(a, address, 80);
  let server = -EAGAIN;
  // The handshake may be lost.
  for (let i = 0; i < 1000 && server === -EAGAIN; i++) {
    machine.advance(10 * MS);
    server = b.sys.accept(listener);
  }
  assert(server >= 0, `accept() gave ${server}`);
  const out = msgHdr(new Uint8Array(1 << 16));
  const into = msgHdr(new Uint8Array(1 << 16));
  let received = 0;
  const write = (): void => {
    while (a.sys.sendmsg(client, out, 0) === out.len);
  };
  b.sys.onReady(server, () => {
    for (let n = b.sys.recvmsg(server, into, 0); n > 0; n = b.sys.recvmsg(server, into, 0)) received += n;
  });
  a.sys.onReady(client, write);
  write();
  return () => received;
}

/** Mbit/s that the application at b read, after the first fifth of the time. */
function throughput(algorithm: Algorithm, loss: number, rttMs: number): number {
  const machine = new TestMachine({ seed: 1000 * loss + rttMs, debug: false });
  try {
    const { a, b } = hosts(machine, algorithm, loss, rttMs);
    const received = pump(machine, a, b, "10.0.1.2");
    const seconds = secondsOf(rttMs);
    machine.advance(seconds / 5 * 1e9);
    const before = received();
    machine.advance(seconds * 4 / 5 * 1e9);
    return (received() - before) * 8 / (seconds * 4 / 5) / 1e6;
  } finally {
    machine[Symbol.dispose]();
  }
}

type Table = Record<Algorithm, number[][]>;

function tableText(table: Table): string {
  const blocks = ALGORITHMS.map((algorithm) => {
    const head = `${algorithm.padEnd(8)}${RTTS.map((ms) => `${ms} ms`.padStart(9)).join("")}`;
    const rows = LOSSES.map((loss, i) =>
      `${`${loss} %`.padEnd(8)}${table[algorithm][i].map((mbit) => mbit.toFixed(2).padStart(9)).join("")}`
    );
    return [head, ...rows].join("\n");
  });
  return `Mbit/s of ${RATE / 1e6}, by loss and round trip\n\n${blocks.join("\n\n")}\n`;
}

Deno.test("throughput: loss × round trip of reno, cubic, bbr and dctcp, as in the snapshot", async (t) => {
  const table = Object.fromEntries(
    ALGORITHMS.map((name) => [name, LOSSES.map((loss) => RTTS.map((ms) => throughput(name, loss, ms)))]),
  ) as Table;
  const text = tableText(table);

  const at = (name: Algorithm, loss: number, ms: number): number => table[name][LOSSES.indexOf(loss)][RTTS.indexOf(ms)];

  await t.step("the snapshot", async () => {
    const snapshot = new URL("../fixtures/throughput.txt", import.meta.url);
    if (Deno.args.includes("--update")) await Deno.writeTextFile(snapshot, text);
    assertEquals(text, await Deno.readTextFile(snapshot), "run with `-- --update` when the change is meant");
  });
  await t.step("a link that loses nothing is filled", () => {
    for (const name of ["reno", "cubic", "bbr"] as const) {
      for (const ms of RTTS) assert(at(name, 0, ms) > 0.85 * FULL, `${name}, ${ms} ms: ${at(name, 0, ms)}`);
    }
    for (const ms of [1, 10]) assert(at("dctcp", 0, ms) > 0.95 * FULL, `${ms} ms: ${at("dctcp", 0, ms)}`);
  });
  await t.step("more loss does not give more", () => {
    for (const name of ALGORITHMS) {
      for (const [i, ms] of RTTS.entries()) {
        const column = table[name].map((row) => row[i]);
        for (let k = 1; k < column.length; k++) {
          assert(column[k] < 1.25 * column[k - 1] + 0.3, `${name}, ${ms} ms: ${column}`);
        }
      }
    }
  });
  await t.step("reno follows the square root of the loss: Mathis, Semke, Mahdavi, Ott 1997", () => {
    // Some tens of losses in each cell: one is twice as fast or slow by chance, the middle of them is not.
    const shares = [1, 3].flatMap((loss) =>
      [50, 100, 200].map((ms) => at("reno", loss, ms) / (1448 * 8 / ms / 1000 * Math.sqrt(1.5 / (loss / 100))))
    ).toSorted((a, b) => a - b);
    assert(shares[2] > 0.7 && shares[3] < 1.4, `${shares}`);
  });
  await t.step("on long fat pipes cubic is ahead of reno", () => {
    const sum = (name: Algorithm): number =>
      [0.01, 0.1].flatMap((loss) => [100, 200].map((ms) => at(name, loss, ms))).reduce((a, b) => a + b);
    assert(sum("cubic") > sum("reno"), `${sum("cubic")} and ${sum("reno")}`);
  });
  await t.step("bbr takes no loss for congestion: it keeps up where the others are stopped", () => {
    for (const ms of RTTS) {
      assert(at("bbr", 1, ms) > 0.85 * FULL, `${ms} ms: ${at("bbr", 1, ms)}`);
      assert(at("bbr", 3, ms) > 0.8 * FULL, `${ms} ms: ${at("bbr", 3, ms)}`);
    }
    for (const ms of [100, 200]) assert(at("bbr", 1, ms) > 4 * at("cubic", 1, ms), `${ms} ms`);
  });
});

Deno.test("throughput: netem on the sender's own device delays, and TCP's small queue does not stop for it", () => {
  using t = twoHosts({ neigh: true, wire: { rateBps: 100e6 } });
  t.a.net.setQdisc(t.a.link.get("eth0"), "netem", { delay: "20ms" });
  const received = pump(t.machine, t.a, t.b, "10.0.0.2");
  t.machine.advance(2e9);
  // A small queue is 2 packets: over a round trip of 20 ms they would be 1 Mbit/s.
  assert(received() * 8 / 2 > 50e6, `${received() * 8 / 2e6} Mbit/s`);
});

Deno.test("throughput: timers that come 2 ms late, as those of an event loop, do not slow down a sender that paces", () => {
  const late = (ns: number): number => {
    using t = twoHosts({ neigh: true, wire: { rateBps: RATE, delayNs: 10 * MS } });
    for (const host of [t.a, t.b]) host.net.use(bbr());
    assert(t.a.net.get(TCP).setDefaultCongestionControl("bbr"));
    const received = pump(t.machine, t.a, t.b, "10.0.0.2");
    const clock = t.machine.platform as VirtualPlatform;
    for (let i = 0; i < 4e9 / ns; i++) {
      clock.time += ns;
      t.machine.advance(0);
    }
    return received() * 8 / 4 / 1e6;
  };
  const [fine, coarse] = [late(0.05 * MS), late(2.2 * MS)];
  assert(fine > 0.8 * FULL && coarse > 0.8 * FULL, `${fine} Mbit/s; with late timers ${coarse}`);
});
