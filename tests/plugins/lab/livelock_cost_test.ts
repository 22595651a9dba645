/** The cost model: how much time passes where, who interrupts whom, and when ksoftirqd takes over. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  CONTEXT_NAMES,
  CTX_HARDIRQ,
  CTX_KSOFTIRQD,
  CTX_PROCESS,
  CTX_SOFTIRQ,
  devAddPack,
  HrTimer,
  Machine,
  realPlatform,
  Timer,
} from "../../../core/mod.ts";
import { createHost } from "../../../mod.ts";
import { type CostModel, cpuCost, interruptNic, livelock } from "../../../plugins/lab/livelock/mod.ts";
import { AF_INET, msgHdr, SOCK_DGRAM } from "../../../plugins/transport/sock/mod.ts";
import { ETH_P_TEST, FakeNic, packet, TestMachine } from "../../core/fake.ts";

const FREE: CostModel = { irq: 0, softirq: 0, napiPoll: 0, packet: 0, syscall: 0, perByte: 0 };

/** A machine on which work costs what `model` says and nothing else, a card, and a handler that takes its packets. */
function bed(model: Partial<CostModel>) {
  const machine = new TestMachine({ autoAdvance: false });
  const costs = cpuCost(machine, { ...FREE, ...model });
  const net = machine.createNet();
  const got: number[] = [];
  devAddPack(net, {
    type: ETH_P_TEST,
    dev: null,
    func: (skb) => {
      got.push(machine.context);
      skb.consume();
    },
  });
  const at = (ns: number, fn: () => void): void => machine.hrtimers.start(new HrTimer(fn), ns);
  return { machine, net, costs, got, at, nic: new FakeNic(net), [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

Deno.test("cost: ten packets take one interrupt, one run, one poll and ten packets; each context has its part", () => {
  using b = bed({ irq: 1000, softirq: 100, napiPoll: 50, packet: 200 });
  b.nic.arrive(10);
  assertEquals(b.machine.now, 1000 + 100 + 10 * 200 + 50);
  assertEquals(b.costs.spent(), { hardirq: 1000, softirq: 2150, ksoftirqd: 0, app: 0 });
  assertEquals(b.got.length, 10);
});

Deno.test("cost: without a model no tracepoint is hit and time stands still; with one, until it is disposed", () => {
  using machine = new TestMachine({ autoAdvance: false });
  const nic = new FakeNic(machine.createNet());
  assertEquals(machine.bus.mask, 0);
  const costs = cpuCost(machine, { ...FREE, irq: 500 });
  assert(machine.bus.mask !== 0);
  assertEquals(machine.cost, costs);
  nic.irq.raise();
  assertEquals(machine.now, 500);
  costs[Symbol.dispose]();
  assertEquals([machine.bus.mask, machine.cost], [0, null]);
  nic.irq.raise();
  assertEquals(machine.now, 500);
});

Deno.test("cost: what falls due interrupts between two packets, as a hard irq whose time puts their end off", () => {
  using b = bed({ irq: 300, packet: 1000 });
  const seen: unknown[] = [];
  const other = b.machine.requestIrq("other", () => {
    seen.push([b.machine.now, CONTEXT_NAMES[b.machine.context], b.got.length]);
  });
  b.at(300 + 3500, () => other.raise()); // the handler of the first line, then three and a half packets
  b.nic.arrive(10);
  assertEquals(seen, [[300 + 3500 + 300, CONTEXT_NAMES[CTX_HARDIRQ], 3]]);
  assertEquals(b.machine.now, 300 + 10_000 + 300);
  assertEquals(b.costs.spent().hardirq, 600);
  assertEquals(b.costs.spent().softirq, 10_000);
  assertEquals([...new Set(b.got)], [CTX_SOFTIRQ]);
});

Deno.test("cost: a frame that comes while the ring is polled is latched, not an interrupt, and polled by the same run", () => {
  using b = bed({ irq: 300, packet: 1000 });
  b.at(5000, () => b.nic.arrive(3));
  b.nic.arrive(10);
  assertEquals(b.nic.irq.suppressed, 1);
  assertEquals(b.nic.work, [13, 0]);
  // When the poll unmasks the line, the cause that was latched interrupts once for nothing, as on a real card.
  assertEquals(b.nic.irq.count, 2);
  assertEquals(b.machine.now, 300 + 13_000 + 300);
});

Deno.test("cost: nothing interrupts an interrupt handler; what came meanwhile follows", () => {
  using b = bed({ irq: 5000 });
  const seen: [string, number][] = [];
  const line = (name: string) => b.machine.requestIrq(name, () => seen.push([name, b.machine.now]));
  const [one, two] = [line("one"), line("two")];
  b.at(100, () => one.raise());
  b.at(1100, () => two.raise());
  b.machine.advance(50_000);
  assertEquals(seen, [["one", 5100], ["two", 10_100]]);
  assertEquals(b.machine.now, 50_000);
});

Deno.test("cost: what an interrupt makes was not caused by the packet that it interrupted", () => {
  using b = bed({ packet: 1000 });
  let cause = -1;
  b.at(1500, () => {
    const skb = packet(b.machine, null);
    cause = skb.cause;
    skb.consume();
  });
  b.nic.arrive(4);
  assertEquals(cause, 0);
  assertEquals(b.machine.skbs.currentId, 0);
});

Deno.test("[R10] ksoftirqd takes over after 10 restarts: 640 packets of 1 us, one poll of 64 each", () => {
  for (const [frames, inSoftirq, wakes] of [[639, 639, 0], [640, 640, 1], [1000, 640, 1]]) {
    using b = bed({ packet: 1000 });
    b.nic.arrive(frames);
    assertEquals([b.got.length, b.machine.cpu.ksoftirqdWakes], [inSoftirq, wakes], `${frames} frames`);
    assertEquals(b.machine.now, inSoftirq * 1000); // well below 2 ms
    b.machine.advance(0);
    assertEquals(b.got.length, frames);
    assertEquals(b.got.filter((context) => context === CTX_SOFTIRQ).length, inSoftirq);
    assertEquals(b.got.filter((context) => context === CTX_KSOFTIRQD).length, frames - inSoftirq);
    assertEquals(b.costs.spent().ksoftirqd, (frames - inSoftirq) * 1000);
    assertEquals(b.machine.cpu.timeSqueeze, 0); // one context is polled once a run: no budget is used up
  }
});

Deno.test("[R10] ksoftirqd takes over after 2 ms: 256 packets of 10 us, in the fourth run", () => {
  for (const [frames, inSoftirq, wakes] of [[255, 255, 0], [256, 256, 1], [1000, 256, 1]]) {
    using b = bed({ packet: 10_000 });
    b.nic.arrive(frames);
    assertEquals([b.got.length, b.machine.cpu.ksoftirqdWakes], [inSoftirq, wakes], `${frames} frames`);
    assertEquals(b.nic.work.length, 4);
    b.machine.advance(0);
    assertEquals(b.got.filter((context) => context === CTX_SOFTIRQ).length, inSoftirq);
    assertEquals(b.got.filter((context) => context === CTX_KSOFTIRQD).length, frames - inSoftirq);
  }
});

Deno.test("[R11] five busy contexts use the budget of 300 up, one poll of 2 jiffies its time: each is a time_squeeze", () => {
  using b = bed({ packet: 100 });
  const cards = [b.nic, ...[1, 2, 3, 4].map((i) => new FakeNic(b.net, `eth${i}`))];
  b.machine.batch(() => cards.forEach((card) => card.arrive(64)));
  assertEquals(b.got.length, 320);
  assertEquals(b.machine.cpu.timeSqueeze, 1);
  b.machine.advance(0);
  using slow = bed({ packet: 40_000 });
  slow.nic.arrive(64);
  assertEquals(slow.machine.cpu.timeSqueeze, 1);
  slow.machine.advance(0);
});

Deno.test("[R10] a reader who waits ends a run at its first restart, as Linux's need_resched() does", () => {
  using b = bed({ packet: 1000 });
  const reader = { ready: false, wake: () => seen.push(b.got.length) };
  const seen: number[] = [];
  b.nic.onPoll = () => b.machine.wakeLater(reader);
  b.nic.arrive(200);
  assertEquals(seen[0], 64);
  assertEquals(b.machine.cpu.ksoftirqdWakes, 1);
  b.machine.advance(0);
  assertEquals(b.got.length, 200);
});

/** A host with a reader on port 9, the cost of its system calls, and datagrams of ten bytes by loopback. */
function host(model: Partial<CostModel>) {
  const machine = new TestMachine({ autoAdvance: false });
  const at = createHost({ machine });
  const { sys } = at;
  const [to, from] = [sys.socket(AF_INET, SOCK_DGRAM, 0), sys.socket(AF_INET, SOCK_DGRAM, 0)];
  sys.bind(to, 0x7f000001, 9);
  const send = (n: number): void => {
    const msg = { ...msgHdr(new Uint8Array(10)), addr: 0x7f000001, port: 9 };
    for (let i = 0; i < n; i++) assertEquals(sys.sendmsg(from, msg, 0), 10);
  };
  const read = (): number => sys.recvmsg(to, msgHdr(new Uint8Array(100)), 0);
  const on = () => cpuCost(machine, { ...FREE, ...model });
  return { machine, sys, to, send, read, on, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

Deno.test("cost: a system call takes its time and that of its bytes; the messages of one recvmmsg() are one call", () => {
  using h = host({ syscall: 1000, perByte: 2 });
  h.send(6);
  const costs = h.on();
  assertEquals(h.read(), 10);
  assertEquals(h.machine.now, 1020);
  assertEquals(h.read(), 10);
  assertEquals(h.machine.now, 2040);
  const msgs = Array.from({ length: 4 }, () => msgHdr(new Uint8Array(100)));
  assertEquals(h.sys.recvmmsg(h.to, msgs, 4, 0), 4);
  assertEquals(h.machine.now, 2040 + 1000 + 4 * 20);
  assert(h.read() < 0); // EAGAIN takes a call, too
  assertEquals(h.machine.now, 3120 + 1000);
  assertEquals(costs.spent().app, 4120);
  h.send(1);
  assertEquals(h.machine.now, 4120 + 1020);
});

Deno.test("cost: a softirq takes the CPU from a system call at once, and the call goes on afterwards", () => {
  using h = host({ syscall: 5000, packet: 1000, irq: 200 });
  h.send(1);
  const costs = h.on();
  const log: [string, number][] = [];
  h.machine.bus.on("irq:softirq_exit", () => log.push(["softirq ends", h.machine.now]));
  const line = h.machine.requestIrq("card", () => h.machine.cpu.backlogNapi!.schedule());
  h.machine.hrtimers.start(new HrTimer(() => line.raise()), 2000);
  const rc = h.read();
  log.push([`read ${rc}`, h.machine.now]);
  assertEquals(log, [["softirq ends", 2200], ["read 10", 5200]]);
  assertEquals(costs.spent(), { hardirq: 200, softirq: 0, ksoftirqd: 0, app: 5000 });
});

Deno.test("cost: an application's own work is interrupted the same way", () => {
  using b = bed({ irq: 100, packet: 1000 });
  b.at(400, () => b.nic.arrive(2));
  b.costs.work(10_000);
  assertEquals(b.got, [CTX_SOFTIRQ, CTX_SOFTIRQ]);
  assertEquals(b.machine.now, 10_000 + 100 + 2000);
  assertEquals(b.costs.spent(), { hardirq: 100, softirq: 2000, ksoftirqd: 0, app: 10_000 });
  assertEquals(b.machine.context, CTX_PROCESS);
});

Deno.test("cost: wheel timers run while an application works, in time", () => {
  using b = bed({});
  const seen: number[] = [];
  for (const ms of [2, 5, 30]) b.machine.modTimer(new Timer(() => seen.push(b.machine.now)), ms);
  b.costs.work(10e6);
  assertEquals(seen, [2e6, 5e6]);
});

Deno.test("cost: application and ksoftirqd share the CPU half and half while both have work", () => {
  // A reader that needs three times as long for a datagram as the stack.
  const [row] = livelock({ modes: ["napi"], loads: [2_000_000], cost: { syscall: 3000 }, seconds: 0.05 });
  assertEquals(Math.round(row.cpu.app / 10), 5, JSON.stringify(row));
  assertEquals(Math.round(row.cpu.ksoftirqd / 10), 5, JSON.stringify(row));
  assert(row.delivered > 0.45 * 1e9 / 3000);
});

Deno.test("cost: advance() ends under an endless storm: nothing that is due after its end interrupts", () => {
  using b = bed({ irq: 2000, packet: 1000 });
  const line = b.machine.requestIrq("storm", () => {});
  const storm = new HrTimer(() => {
    line.raise();
    b.machine.hrtimers.start(storm, storm.expires + 1000);
  });
  b.machine.hrtimers.start(storm, 0);
  b.at(500, () => b.nic.arrive(5));
  b.machine.advance(1e6);
  // Twice as much as there is time for: all of it was late; the packets had their time after the end, and then came the
  // next interrupt of the storm, once.
  assertEquals(line.count, 1002);
  assertEquals(b.got.length, 5);
  assert(b.machine.now < 3e6, `${b.machine.now}`);
  b.machine.hrtimers.cancel(storm);
});

Deno.test("cost: on the automatic clock ksoftirqd's turns alternate with those of asynchronous code", async () => {
  using machine = new TestMachine();
  cpuCost(machine);
  const server = createHost({ machine });
  const card = interruptNic(server.net, "eth0", { address: "02:00:00:00:00:01", rxRing: 4096 });
  server.addr.add("eth0", "10.0.0.1/24");
  using conn = server.listenDatagram({ port: 9 });
  const { udpFrame } = await import("../../../plugins/lab/livelock/frame.ts");
  const frame = udpFrame({ to: "02:00:00:00:00:01", saddr: 0x0a000002, daddr: 0x0a000001, port: 9, bytes: 18 });
  machine.batch(() => {
    for (let i = 0; i < 250; i++) card.arrives(frame);
  });
  const times: number[] = [];
  for (let i = 0; i < 250; i++) {
    const [data] = await conn.receive();
    assertEquals(data.length, 18);
    times.push(machine.now);
  }
  assertEquals(machine.cpu.dropped, 0);
  assertEquals(card.irq.count, 250);
  assertEquals(times, times.toSorted((a, b) => a - b));
  // 250 x (2 us interrupt, 1 us packet, 0.6 us call) at least.
  assert(machine.now >= 250 * 3600, `${machine.now}`);
});

Deno.test("cost: several CPUs are counted apart, and take turns on one clock", () => {
  using machine = new TestMachine({ autoAdvance: false, cpus: 2 });
  const costs = cpuCost(machine, { ...FREE, irq: 700 });
  const lines = [0, 1].map((cpu) => {
    const line = machine.requestIrq(`line${cpu}`, () => {});
    line.cpu = cpu;
    return line;
  });
  lines[0].raise();
  lines[1].raise();
  lines[1].raise();
  assertEquals([costs.spent(0).hardirq, costs.spent(1).hardirq], [700, 1400]);
  assertEquals(machine.now, 2100);
});

Deno.test("cost: what makes no sense is said", () => {
  using real = new Machine({ platform: realPlatform() });
  assertThrows(() => cpuCost(real), TypeError, "Cannot let work take time: the machine is on the real clock");
  using machine = new Machine({ cost: (m) => cpuCost(m) });
  assertThrows(() => cpuCost(machine), TypeError, "Cannot let work take time: the machine has a cost model already");
  using other = new Machine();
  assertThrows(() => cpuCost(other, { irq: -1 }), RangeError, "Cannot set the cost of irq to -1: ns, from 0");
  const misspelt = { irqs: 1 } as Partial<CostModel>;
  assertThrows(() => cpuCost(other, misspelt), RangeError, "Cannot set the cost of irqs: there are irq, softirq,");
  assertEquals(other.cost, null);
  assertThrows(() => livelock({ loads: [0] }), RangeError, "Cannot offer 0 datagrams per second");
  assertThrows(() => livelock({ seconds: -1 }), RangeError, "Cannot measure -1 seconds");
  assertThrows(() => livelock({ cards: 65 }), RangeError, "Cannot use 65 cards: 1 to 64");
});

Deno.test("a card without NAPI: one interrupt a frame, the backlog's cap, and what its ring holds is lost when it goes down", () => {
  using machine = new TestMachine({ autoAdvance: false });
  const net = machine.createNet();
  const card = interruptNic(net, "eth0", { rxRing: 4 });
  card.dev.open();
  const frame = new Uint8Array(60).fill(0xff);
  machine.batch(() => {
    for (let i = 0; i < 6; i++) assertEquals(card.arrives(frame), i < 4);
  });
  assertEquals([card.waiting, card.dev.stats.rxMissed], [4, 2]);
  machine.advance(0);
  assertEquals([card.waiting, card.irq.count, card.dev.stats.rxPackets], [0, 4, 4]);
  machine.batch(() => void card.arrives(frame));
  card.dev.close();
  machine.advance(0);
  assertEquals([card.waiting, card.irq.count], [0, 4]);
});
