/** [A59] Receive livelock: a host that is offered ten times of what it can do. */
import { assert, assertEquals } from "@std/assert";
import { HrTimer, type NetDevice } from "../../../core/mod.ts";
import { createHost } from "../../../mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { cpuCost, interruptNic } from "../../../plugins/lab/livelock/mod.ts";
import { udpFrame } from "../../../plugins/lab/livelock/frame.ts";
import { AF_INET, msgHdr, SOCK_DGRAM } from "../../../plugins/transport/sock/mod.ts";
import { TestMachine } from "../../core/fake.ts";

/** Datagrams per second that the host can read: 1 us up, 0.6 us and two bytes' worth to read, the polls. */
const CAPACITY = 620_000;
const RING = 256;
const MS = 1e6;

/** A host whose work takes time, with an application that reads all it can, and a card that is flooded. */
function bed(kind: "nic" | "interrupt") {
  const machine = new TestMachine({ autoAdvance: false, cost: (m) => cpuCost(m), slabBytes: 4 << 20 });
  const host = createHost({ machine, name: "victim" });
  const address = "02:00:00:00:00:01";
  let dev: NetDevice;
  let arrives: (frame: Uint8Array<ArrayBuffer>) => boolean;
  if (kind === "nic") {
    const cable = wire(machine);
    const card = nic(host.net, "eth0", { wire: cable, rxRing: RING, address });
    dev = card.dev;
    arrives = (frame) => cable.inject(card, frame);
  } else {
    const card = interruptNic(host.net, "eth0", { rxRing: RING, address });
    dev = card.dev;
    arrives = (frame) => card.arrives(frame);
  }
  host.addr.add("eth0", "10.0.0.1/24");
  const { sys } = host;
  const fd = sys.socket(AF_INET, SOCK_DGRAM, 0);
  sys.bind(fd, 0, 9);
  const rx = msgHdr(new Uint8Array(64));
  const b = {
    machine,
    host,
    dev,
    sock: sys.sock(fd)!,
    offered: 0,
    accepted: 0,
    read: 0,
    /** Frames that the card took and the driver has not. */
    inRing: () => b.accepted - dev.stats.rxPackets,
    at: (ns: number, fn: () => void) => machine.hrtimers.start(new HrTimer(fn), ns),
    /** Offers `rate` datagrams a second from now for `ns`. */
    flood(rate: number, ns: number) {
      const frame = udpFrame({ to: address, saddr: 0x0a000002, daddr: 0x0a000001, port: 9, bytes: 18 });
      const until = machine.now + ns;
      let due = machine.now;
      const timer = new HrTimer(() => {
        for (const { now } = machine; due <= now && due < until; due += 1e9 / rate) {
          b.offered++;
          if (arrives(frame)) b.accepted++;
        }
        if (due < until) machine.hrtimers.start(timer, due);
      });
      machine.hrtimers.start(timer, due);
    },
    [Symbol.dispose]: () => {
      sys.close(fd);
      machine[Symbol.dispose]();
    },
  };
  sys.onReady(fd, () => {
    while (sys.recvmsg(fd, rx, 0) >= 0) b.read++;
  });
  return b;
}

Deno.test("[A59] receive livelock: at ten times of its capacity the application goes on, queues keep to their caps, all is lost in the ring", () => {
  using b = bed("nic");
  const { machine, host, sock } = b;
  const start = machine.now;
  const highest = { ring: 0, backlog: 0, rmem: 0, skbs: 0, pages: 0 };
  const reads: number[] = [];
  for (let us = 10; us <= 30_000; us += 10) {
    b.at(start + us * 1000, () => {
      highest.ring = Math.max(highest.ring, b.inRing());
      highest.backlog = Math.max(highest.backlog, machine.cpu.backlog.qlen);
      highest.rmem = Math.max(highest.rmem, sock.rmemAlloc);
      highest.skbs = Math.max(highest.skbs, machine.skbs.live);
      highest.pages = Math.max(highest.pages, machine.pages.slotsInUse());
      if (us % 1000 === 0) reads.push(b.read);
    });
  }
  const { live } = machine.skbs;
  const pages = machine.pages.slotsInUse();
  b.flood(10 * CAPACITY, 30 * MS);
  machine.advance(30 * MS);

  // The application: in each millisecond of the flood it read, and in all it read as much as it ever can.
  assert(reads.every((n, i) => n > (reads[i - 1] ?? 0)), `${reads}`);
  assert(b.read > 0.95 * CAPACITY * 0.03, `${b.read} datagrams in 30 ms`);
  // The queues, and with them memory.
  assert(highest.ring <= RING, `${highest.ring} frames in a ring of ${RING}`);
  assert(highest.backlog <= machine.maxBacklog);
  assert(highest.rmem <= sock.rcvbuf, `${highest.rmem} of ${sock.rcvbuf} bytes`);
  assert(highest.skbs - live <= 512, `${highest.skbs} packets`);
  assert(highest.pages - pages <= 1024, `${highest.pages} slots`);
  // Drop early: nine of ten frames are lost in the ring, where they cost nothing, and next to none after work was spent.
  const table = host.net.dropTable();
  const late = (table["SOCKET_RCVBUFF"] ?? 0) + (table["CPU_BACKLOG"] ?? 0);
  assertEquals(b.dev.stats.rxMissed, b.offered - b.accepted);
  assert(b.dev.stats.rxMissed > 0.88 * b.offered, `${b.dev.stats.rxMissed} of ${b.offered}`);
  assert(late <= 0.01 * b.dev.stats.rxMissed, JSON.stringify(table));
  assert(machine.cpu.ksoftirqdWakes > 0);

  // When it ends, all of it is over: what was accepted is read or counted, nothing is held.
  machine.advance(5 * MS);
  assertEquals(b.offered, b.read + b.dev.stats.rxMissed + late);
  assertEquals([b.inRing(), sock.rmemAlloc, machine.cpu.backlog.qlen, machine.cpu.pending], [0, 0, 0, 0]);
  assertEquals([machine.cpu.ksoftirqd, machine.skbs.live, machine.pages.slotsInUse()], [false, live, pages]);
  const before = { read: b.read, missed: b.dev.stats.rxMissed, wakes: machine.cpu.ksoftirqdWakes };
  b.flood(10_000, 5 * MS);
  machine.advance(10 * MS);
  assertEquals(b.read - before.read, 50);
  assertEquals([b.dev.stats.rxMissed, machine.cpu.ksoftirqdWakes], [before.missed, before.wakes]);
});

Deno.test("[A59] receive livelock: with an interrupt a frame the same flood stops the application, within the same caps, until it ends", () => {
  using b = bed("interrupt");
  const { machine, sock } = b;
  const start = machine.now;
  let highest = 0;
  let atEnd = -1;
  for (let us = 10; us <= 10_000; us += 10) {
    b.at(start + us * 1000, () => highest = Math.max(highest, machine.cpu.backlog.qlen));
  }
  b.at(start + 10 * MS, () => atEnd = b.read);
  b.flood(10 * CAPACITY, 10 * MS);
  machine.advance(10 * MS);
  assertEquals(atEnd, 0);
  assertEquals(highest, machine.maxBacklog);
  assert(b.host.net.dropTable()["CPU_BACKLOG"] > 3000);
  machine.advance(5 * MS);
  assertEquals([machine.cpu.backlog.qlen, sock.rmemAlloc, machine.cpu.pending], [0, 0, 0]);
  const before = b.read;
  b.flood(10_000, 5 * MS);
  machine.advance(10 * MS);
  assertEquals(b.read - before, 50);
});
