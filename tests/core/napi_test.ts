/** Interrupts, NAPI and softirqs over a fake device: who runs when, and how much. */
import { assert, assertEquals, assertFalse } from "@std/assert";
import {
  CONTEXT_NAMES,
  CTX_HARDIRQ,
  CTX_KSOFTIRQD,
  CTX_PROCESS,
  CTX_SOFTIRQ,
  devAddPack,
  devAddTap,
  Napi,
  netifRx,
  type VirtualPlatform,
} from "../../core/mod.ts";
import { ETH_P_TEST, FakeNic, packet, TestMachine } from "./fake.ts";

function bed(options = {}) {
  const machine = new TestMachine({ autoAdvance: false, ...options });
  const net = machine.createNet();
  const got: { context: number }[] = [];
  devAddPack(net, {
    type: ETH_P_TEST,
    dev: null,
    func: (skb) => {
      got.push({ context: machine.context });
      skb.consume();
    },
  });
  return { machine, net, got, nic: new FakeNic(net), [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

/** ksoftirqd's turn has passed: on a busy host a timer may come before it. */
const turn = () => new Promise<void>((resolve) => setTimeout(() => setImmediate(resolve), 1));

Deno.test("[R4] a burst of frames is one interrupt and one poll, not one interrupt each", () => {
  using b = bed();
  b.net.batch(() => {
    for (let i = 0; i < 50; i++) b.nic.arrive();
  });
  assertEquals(b.nic.irq.count, 1);
  assertEquals(b.nic.irq.suppressed, 49);
  assertEquals(b.got.length, 50);
  assertEquals(b.nic.work, [50]);
});

Deno.test("[R5] polling goes on in batches until the ring is empty, then the queue's interrupt is unmasked", () => {
  using b = bed();
  b.nic.arrive(200);
  assertEquals(b.nic.work, [64, 64, 64, 8]);
  assertEquals(b.nic.ring, 0);
  assertEquals(b.nic.irq.count, 1);
  assertFalse(b.nic.irq.masked);
  assertFalse(b.nic.napi.scheduled);
});

Deno.test("[R6] the CPU runs the handler that the driver registered for the line, in hardirq context", () => {
  using b = bed();
  const seen: number[] = [];
  const line = b.machine.requestIrq("test", () => seen.push(b.machine.context));
  line.raise();
  assertEquals(seen, [CTX_HARDIRQ]);
  assertEquals(line.count, 1);
  line.free();
  line.raise();
  assertEquals(line.count, 1);
});

Deno.test("[R7] the handler masks the queue's interrupt: causes are latched, none is delivered until unmask", () => {
  using b = bed();
  let during: boolean | null = null;
  b.nic.onPoll = () => {
    during ??= b.nic.irq.masked;
    // A frame that comes while the ring is polled raises nothing, and is taken by the same poll.
    if (b.nic.work.length === 0) b.nic.arrive();
  };
  b.nic.arrive();
  assertEquals(during, true);
  assertEquals(b.nic.work[0], 2);
  assertEquals(b.nic.irq.suppressed, 1);
});

Deno.test("[R7] a cause that came while masked interrupts at unmask: nothing is lost in the race", () => {
  using b = bed();
  let late = true;
  const { nic } = b;
  // The frame lands after the poll saw the ring empty and before the driver unmasks.
  const complete = nic.napi.complete.bind(nic.napi);
  nic.napi.complete = (work) => {
    const done = complete(work);
    if (late) {
      late = false;
      nic.arrive();
    }
    return done;
  };
  nic.arrive();
  assertEquals(nic.irq.count, 2);
  assertEquals(b.got.length, 2);
  assertFalse(nic.irq.masked);
});

Deno.test("[R8] the handler only raises a softirq: nothing is polled inside the interrupt", () => {
  using b = bed();
  const log: string[] = [];
  const { handler } = b.nic.irq;
  b.nic.irq.handler = () => {
    handler(b.nic.irq);
    log.push(`handler ends, ${b.nic.work.length} polls, pending ${b.machine.cpu.pending}`);
  };
  b.nic.arrive();
  assertEquals(log, ["handler ends, 0 polls, pending 8"]);
  assertEquals(b.nic.work, [1]);
});

Deno.test("[R9] the handler is short: when it returns the CPU takes interrupts again, the queue's stays masked", () => {
  using b = bed();
  const other = b.machine.requestIrq("other", () => {});
  let masked = false;
  b.nic.onPoll = () => {
    masked = b.nic.irq.masked;
    other.raise();
  };
  b.nic.arrive();
  assert(masked);
  assertEquals(other.count, 1);
});

Deno.test("[R10] softirqs run on interrupt exit; ksoftirqd takes over after 10 restarts and runs in the next turn", async () => {
  using b = bed();
  b.nic.arrive(1000);
  // Ten runs of one poll each, 64 packets a poll.
  assertEquals(b.nic.work.length, 10);
  assertEquals(b.got.length, 640);
  assert(b.got.every((g) => g.context === CTX_SOFTIRQ));
  assertEquals(b.machine.cpu.ksoftirqdWakes, 1);
  assert(b.machine.cpu.ksoftirqd);
  assert(b.nic.irq.masked);
  await turn();
  assertEquals(b.got.length, 1000);
  assertEquals(b.got[999].context, CTX_KSOFTIRQD);
  assertFalse(b.machine.cpu.ksoftirqd);
  assertFalse(b.nic.irq.masked);
});

Deno.test("[R10] ksoftirqd takes over after 2 ms", () => {
  using b = bed();
  const clock = b.machine.platform as VirtualPlatform;
  b.nic.onPoll = () => clock.time += 0.7e6;
  b.nic.arrive(1000);
  assertEquals(b.nic.work.length, 3);
  assertEquals(b.machine.cpu.ksoftirqdWakes, 1);
  b.nic.onPoll = () => {};
  b.machine.runUntilIdle();
  assertEquals(b.got.length, 1000);
});

Deno.test("[R10] ksoftirqd gives the event loop a turn between its passes", async () => {
  using b = bed();
  b.nic.arrive(5000);
  let turns = 0;
  while (b.nic.ring > 0 && turns < 100) {
    const before = b.nic.ring;
    await new Promise<void>((resolve) => setImmediate(resolve));
    turns++;
    assert(before - b.nic.ring <= 2 * 640);
  }
  assert(turns >= 3, `${turns}`);
  await turn();
  assertEquals(b.got.length, 5000);
});

Deno.test("[R10] an interrupt while ksoftirqd waits for its turn runs softirqs on its exit, as Linux does since 6.5", () => {
  using b = bed();
  b.nic.arrive(700);
  assertEquals(b.nic.ring, 60);
  b.machine.enter();
  b.machine.exit();
  assertEquals(b.nic.ring, 0);
  assertEquals(b.got.length, 700);
});

Deno.test("[R10] a run that was cut short leaves others as much time as it took, then exits go on with it", () => {
  using b = bed();
  const clock = b.machine.platform as VirtualPlatform;
  b.nic.onPoll = () => clock.time += 0.7e6;
  b.nic.arrive(1000);
  assertEquals([b.nic.work.length, b.machine.cpu.restUntil], [3, clock.time + 2.1e6]);
  const systemCall = (): void => {
    b.machine.enter();
    b.machine.exit();
  };
  // A reader that drains its socket: no packets are received at the exit of each of its calls.
  for (let i = 0; i < 5; i++) systemCall();
  clock.time += 2e6;
  systemCall();
  assertEquals(b.nic.work.length, 3);
  assert(b.machine.cpu.ksoftirqd);
  clock.time += 0.1e6;
  systemCall();
  assertEquals(b.nic.work.length, 6);
  b.nic.onPoll = () => {};
  b.machine.runUntilIdle();
  assertEquals([b.got.length, b.machine.cpu.restUntil], [1000, 0]);
  // Nothing is left: the next packet does not wait.
  b.nic.arrive(1);
  assertEquals(b.got.length, 1001);
});

Deno.test("[R11] one poll takes 64 packets at most; one run of NET_RX takes 300 over all devices, then squeezes", () => {
  using b = bed();
  const nics = Array.from({ length: 7 }, (_, i) => new FakeNic(b.net, `x${i}`));
  b.net.batch(() => {
    for (const nic of nics) nic.arrive(64);
  });
  // 5 x 64 = 320 spend the budget of 300.
  assertEquals(b.machine.cpu.timeSqueeze, 1);
  for (const nic of nics) assertEquals(nic.work, [64, 0]);
  assertEquals(b.got.length, 7 * 64);
});

Deno.test("[R11] a run of NET_RX ends after 2 jiffies, whatever its budget", () => {
  using b = bed();
  const clock = b.machine.platform as VirtualPlatform;
  const nics = Array.from({ length: 4 }, (_, i) => new FakeNic(b.net, `x${i}`));
  for (const nic of nics) nic.onPoll = () => clock.time += 1e6;
  const order: string[] = [];
  for (const nic of nics) {
    const work = nic.onPoll;
    nic.onPoll = () => (order.push(nic.dev.name), work());
  }
  b.net.batch(() => nics.forEach((nic) => nic.arrive(1)));
  assertEquals(b.machine.cpu.timeSqueeze, 1);
  // Two fit into the run; ksoftirqd does the rest, as 2 ms are over.
  assertEquals(order, ["x0", "x1"]);
  b.machine.runUntilIdle();
  assertEquals(order, ["x0", "x1", "x2", "x3"]);
});

Deno.test("a busy context waits for the others: round robin", () => {
  using b = bed();
  const order: string[] = [];
  const nics = ["a", "b"].map((n) => new FakeNic(b.net, n));
  for (const nic of nics) nic.onPoll = () => order.push(nic.dev.name);
  b.net.batch(() => {
    nics[0].arrive(200);
    nics[1].arrive(100);
  });
  assertEquals(order, ["a", "b", "a", "b", "a", "a"]);
});

Deno.test("scheduled again while it is polled: complete() says so, and it is polled once more", () => {
  using b = bed();
  const answers: boolean[] = [];
  const napi = new Napi(b.machine, b.nic.dev, (n) => {
    if (answers.length === 0) n.schedule();
    answers.push(n.complete(0));
    return 0;
  });
  b.net.batch(() => assert(napi.schedule()));
  assertEquals(answers, [false, true]);
  assertFalse(napi.scheduled);
});

Deno.test("disabled: it is not polled, not even from the list it stands in; enabled: it keeps its place", () => {
  using b = bed();
  b.net.batch(() => {
    b.nic.arrive(3);
    b.nic.napi.disable();
    assertFalse(b.nic.napi.schedule());
  });
  assertEquals(b.nic.work, []);
  b.net.batch(() => {
    b.nic.napi.enable();
    assert(b.nic.napi.schedule());
    b.nic.napi.disable();
    b.nic.napi.enable();
    assert(b.nic.napi.schedule());
  });
  assertEquals(b.nic.work, [3]);
});

Deno.test("a poll that throws, or forgets complete(), is a fault that names the device; the stack lives", () => {
  using machine = new TestMachine({ strict: false, autoAdvance: false });
  const net = machine.createNet();
  const nic = new FakeNic(net);
  const bad = new Napi(machine, nic.dev, () => {
    throw new Error("boom");
  });
  net.batch(() => bad.schedule());
  const lazy = new Napi(machine, nic.dev, () => 3);
  net.batch(() => lazy.schedule());
  assertEquals(machine.faults.map((f) => f.who), ["the poll of eth0", "the poll of eth0"]);
  assertEquals(lazy.polls, 1);
  assertEquals(machine.depth, 0);
});

Deno.test("moderation: the interrupt comes rx-usecs after the first cause, or at rx-frames at once", () => {
  using b = bed();
  b.nic.irq.setCoalesce({ usecs: 50, frames: 4 });
  b.nic.arrive();
  b.nic.arrive();
  b.machine.advance(49_999);
  assertEquals(b.nic.irq.count, 0);
  b.machine.advance(1);
  assertEquals(b.nic.irq.count, 1);
  assertEquals(b.nic.work, [2]);
  for (let i = 0; i < 4; i++) b.nic.arrive();
  assertEquals(b.nic.irq.count, 2);
  b.nic.arrive();
  b.nic.irq.setCoalesce({ usecs: 0, frames: 0 });
  assertEquals(b.nic.irq.count, 3);
  assertEquals(b.got.length, 7);
});

Deno.test("[R4] a backlog holds 1000 packets; the next one is dropped and counted", () => {
  using b = bed();
  let ok = 0;
  b.net.batch(() => {
    for (let i = 0; i < 1010; i++) if (netifRx(packet(b.machine, b.nic.dev))) ok++;
  });
  assertEquals(ok, 1000);
  assertEquals(b.machine.cpu.dropped, 10);
  assertEquals(b.nic.dev.stats.rxDropped, 10);
  assertEquals(b.net.dropTable(), { CPU_BACKLOG: 10 });
  b.machine.runUntilIdle();
  assertEquals(b.got.length, 1000);
  b.net.sysctl.set("net.core.netdev_max_backlog", 3);
  b.net.batch(() => {
    for (let i = 0; i < 5; i++) netifRx(packet(b.machine, b.nic.dev));
  });
  assertEquals(b.got.length, 1003);
});

Deno.test("a packet for a device that is down does not enter the backlog", () => {
  using b = bed();
  b.nic.dev.close();
  b.net.batch(() => assertFalse(netifRx(packet(b.machine, b.nic.dev))));
  assertEquals(b.net.dropTable(), { DEV_READY: 1 });
});

Deno.test("a device that is unregistered takes its packets out of the backlog, and only those", () => {
  using b = bed();
  const other = new FakeNic(b.net, "eth1");
  b.net.batch(() => {
    netifRx(packet(b.machine, b.nic.dev));
    netifRx(packet(b.machine, other.dev));
    netifRx(packet(b.machine, b.nic.dev));
    b.net.unregisterNetdevice(b.nic.dev);
  });
  assertEquals(b.got.length, 1);
  assertEquals(b.net.dropTable(), { QUEUE_PURGE: 2 });
});

Deno.test("contexts are told apart: process, hardirq, softirq, ksoftirqd, timers", () => {
  using b = bed();
  const seen: string[] = [];
  const note = () => seen.push(CONTEXT_NAMES[b.machine.context]);
  note();
  devAddTap(b.net, note);
  const line = b.machine.requestIrq("t", note);
  line.raise();
  b.nic.arrive();
  b.nic.irq.setCoalesce({ usecs: 10, frames: 0 });
  assertEquals(seen, ["process", "hardirq", "softirq"]);
  assertEquals(b.machine.context, CTX_PROCESS);
});

Deno.test("an entry inside an entry runs no softirq: one exit for a batch", () => {
  using b = bed();
  b.net.batch(() => {
    b.net.batch(() => b.nic.arrive(1));
    assertEquals(b.got.length, 0);
    b.nic.arrive(1);
  });
  assertEquals(b.got.length, 2);
  assertEquals(b.nic.work, [2]);
});

Deno.test("wakes come once, at the outermost exit, after the softirqs; a reader that throws wakes the others all the same", () => {
  using machine = new TestMachine({ strict: false });
  const log: string[] = [];
  const reader = (name: string, fn: () => void) => ({ ready: false, wake: () => (log.push(name), fn()) });
  const late = reader("late", () => {});
  const bad = reader("bad", () => {
    throw new Error("user's");
  });
  const good = reader("good", () => machine.batch(() => machine.wakeLater(late)));
  machine.batch(() => {
    machine.wakeLater(bad);
    machine.wakeLater(good);
    machine.wakeLater(good);
    log.push("in");
  });
  assertEquals(log, ["in", "bad", "good", "late"]);
  assertEquals(machine.faults.length, 1);
  machine.batch(() => machine.wakeLater(late));
  assertEquals(log.at(-1), "late");
});

Deno.test("several CPUs: a line interrupts its own, and its softirqs run there", () => {
  using machine = new TestMachine({ cpus: 2, autoAdvance: false });
  const net = machine.createNet();
  const nic = new FakeNic(net);
  nic.napi.cpu = machine.cpus[1];
  nic.irq.cpu = 1;
  const on: number[] = [];
  nic.onPoll = () => on.push(machine.cpu.id);
  nic.arrive(700);
  assertEquals(on.length, 10);
  assert(on.every((id) => id === 1));
  assertEquals(machine.cpu.id, 0);
  assertEquals(machine.cpus.map((c) => c.ksoftirqdWakes), [0, 1]);
  machine.runUntilIdle();
  assertEquals(nic.ring, 0);
  assertEquals(net.dropTable(), { UNHANDLED_PROTO: 700 });
});
