/** The copy ledger to the byte: what is copied, by whom, and what is not. */
import { assertEquals } from "@std/assert";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { msgHdr } from "../../plugins/transport/sock/mod.ts";
import { routed, twoHosts, udpSocket } from "../support/hosts.ts";
import type { CopyLedger } from "../../core/mod.ts";

const MIB = 1 << 20;

/** Bytes that the CPU copied, by site; sites with nothing are left out. */
function cpuCopies(ledger: CopyLedger): Record<string, number> {
  return Object.fromEntries(
    ledger.snapshot().filter((s) => s.kind === "cpu" && s.bytes > 0).map((s) => [s.name, s.bytes]),
  );
}

Deno.test("[C1] [R23] 1 MiB of UDP is 1 MiB in and 1 MiB out, and the CPU copies nothing between", () => {
  using t = twoHosts({ neigh: true });
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0, { addr: needIp("10.0.0.2", "address"), port: 7 });
  const out = msgHdr(new Uint8Array(1024).map((_, i) => i & 255));
  const into = msgHdr(new Uint8Array(2048));
  t.machine.ledger.reset();
  for (let i = 0; i < MIB / 1024; i++) {
    assertEquals(t.a.sys.sendmsg(tx, out, 0), 1024);
    into.len = 2048;
    assertEquals(t.b.sys.recvmsg(rx, into, 0), 1024);
  }
  assertEquals(cpuCopies(t.machine.ledger), { udp_sendmsg: MIB, udp_recvmsg: MIB });
  // The wire moves every frame once, headers included, and that is DMA.
  assertEquals(t.machine.ledger.total("dma"), MIB + (MIB / 1024) * 42);
});

Deno.test("[C3] a datagram over the MTU is built in fragments: no copy beyond the one in and the one out", () => {
  using t = twoHosts({ neigh: true });
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0, { addr: needIp("10.0.0.2", "address"), port: 7 });
  const payload = new Uint8Array(30_000).map((_, i) => (i * 7) & 255);
  const into = msgHdr(new Uint8Array(65536));
  t.machine.ledger.reset();
  assertEquals(t.a.sys.sendmsg(tx, msgHdr(payload), 0), 30_000);
  assertEquals(t.b.sys.recvmsg(rx, into, 0), 30_000);
  assertEquals(into.buf.subarray(0, 30_000), payload);
  assertEquals(cpuCopies(t.machine.ledger), { udp_sendmsg: 30_000, udp_recvmsg: 30_000 });
});

Deno.test("[C3] [T11] a router that must fragment a linear packet copies exactly its payload", () => {
  using t = routed({ mtu: 600 });
  // Ask the router's side to send without DF, so that it must be fragmented there.
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0);
  assertEquals(t.a.sys.setsockopt(tx, 0, 10, 0), 0);
  assertEquals(t.a.sys.connect(tx, needIp("10.0.1.2", "address"), 7), 0);
  const into = msgHdr(new Uint8Array(4096));
  const warm = msgHdr(new Uint8Array(10));
  t.a.sys.sendmsg(tx, warm, 0);
  t.machine.runUntilIdle(1e9);
  t.b.sys.recvmsg(rx, into, 0);
  t.machine.ledger.reset();
  const payload = new Uint8Array(1400).map((_, i) => (i * 3) & 255);
  assertEquals(t.a.sys.sendmsg(tx, msgHdr(payload), 0), 1400);
  t.machine.runUntilIdle(1e9);
  into.len = 4096;
  assertEquals(t.b.sys.recvmsg(rx, into, 0), 1400);
  assertEquals(into.buf.subarray(0, 1400), payload);
  // The payload of IP: 8 bytes of UDP header and 1,400 of data.
  assertEquals(cpuCopies(t.machine.ledger), { udp_sendmsg: 1400, ip_fragment: 1408, udp_recvmsg: 1400 });
});

Deno.test("[R18] forwarding copies nothing", () => {
  using t = routed();
  const rx = udpSocket(t.b, 7);
  const tx = udpSocket(t.a, 0, { addr: needIp("10.0.1.2", "address"), port: 7 });
  const into = msgHdr(new Uint8Array(4096));
  t.a.sys.sendmsg(tx, msgHdr(new Uint8Array(1)), 0);
  t.machine.runUntilIdle(1e9);
  t.b.sys.recvmsg(rx, into, 0);
  t.machine.ledger.reset();
  for (let i = 0; i < 100; i++) {
    t.a.sys.sendmsg(tx, msgHdr(new Uint8Array(1000)), 0);
    into.len = 4096;
    assertEquals(t.b.sys.recvmsg(rx, into, 0), 1000);
  }
  assertEquals(cpuCopies(t.machine.ledger), { udp_sendmsg: 100_000, udp_recvmsg: 100_000 });
  assertEquals(t.machine.ledger.total("header"), 0);
});
