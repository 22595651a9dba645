/** Hooks and the queue, over a fake IPv4: a static okfn that records what came through. */
import { assert, assertEquals, assertFalse, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { G_NF, type Net, type NetDevice, netdevOps, PluginError, type SkBuff } from "../../../core/mod.ts";
import {
  NETFILTER,
  type Netfilter,
  netfilter,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_IP_PRI,
  NF_QUEUE,
  NF_REPEAT,
  NF_STOLEN,
  type NfHookOps,
  type NfHookState,
  type NfQueueEntry,
  nfRegisterNetHook,
  nfRegisterQueueHandler,
} from "../../../plugins/network/netfilter/mod.ts";
import { packet, TestMachine } from "../../core/fake.ts";

interface Through {
  marks: number[];
}

/** Where ipv4 would go on. */
function okfn(st: Through, skb: SkBuff): number {
  st.marks.push(skb.mark);
  skb.consume();
  return 7;
}

function bed(strict = true) {
  const machine = new TestMachine({ strict, autoAdvance: false });
  const net = machine.createNet({ plugins: [netfilter()] });
  const nf: Netfilter = net.get(NETFILTER);
  const through: Through = { marks: [] };
  const asked: string[] = [];
  const run = (mark = 1, hook = NF_INET_LOCAL_IN, a: NetDevice | null = null, b: NetDevice | null = null): number => {
    const skb = packet(machine, null);
    skb.mark = mark;
    return nf.run(hook, skb, a, b, okfn, through);
  };
  const hook = (name: string, verdict: number | NfHookOps["fn"] = NF_ACCEPT, priority = 0, at = NF_INET_LOCAL_IN) => {
    const fn = typeof verdict === "number" ? () => verdict : verdict;
    return nfRegisterNetHook(net, { name, hook: at, priority, fn: (skb, st) => (asked.push(name), fn(skb, st)) });
  };
  return { machine, net, nf, through, asked, run, hook, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

Deno.test("[T10] a packet passes the hooks of its place in order of priority, and only those", () => {
  using b = bed();
  b.hook("filter", NF_ACCEPT, NF_IP_PRI.FILTER);
  b.hook("nat", NF_ACCEPT, NF_IP_PRI.NAT_SRC);
  b.hook("first", NF_ACCEPT, NF_IP_PRI.FIRST);
  b.hook("filter2", NF_ACCEPT, NF_IP_PRI.FILTER);
  b.hook("raw", NF_ACCEPT, NF_IP_PRI.RAW);
  b.hook("elsewhere", NF_ACCEPT, 0, NF_INET_POST_ROUTING);
  b.hook("last", NF_ACCEPT, NF_IP_PRI.LAST);
  assertEquals(b.run(), 7);
  assertEquals(b.asked, ["first", "raw", "filter", "filter2", "nat", "last"]);
  assertEquals(b.nf.list(NF_INET_LOCAL_IN).map((o) => o.name), b.asked);
  assertEquals([...b.nf.active], [0, 6, 0, 0, 1]);
});

Deno.test("[T10] a hook that drops ends the packet's way: counted by reason, EPERM for the sender", () => {
  using b = bed();
  b.hook("no", (skb) => skb.mark === 13 ? NF_DROP : NF_ACCEPT);
  b.hook("behind");
  assertEquals([b.run(1), b.run(13), b.run(2)], [7, -1, 7]);
  assertEquals(b.through.marks, [1, 2]);
  assertEquals(b.asked, ["no", "behind", "no", "no", "behind"]);
  assertEquals(b.net.dropTable(), { NETFILTER_DROP: 1 });
});

Deno.test("without hooks a packet just goes on", () => {
  using b = bed();
  assertEquals([b.run(), [...b.nf.active]], [7, [0, 0, 0, 0, 0]]);
});

Deno.test("any set of hooks is asked in order of priority, then of registration, whoever leaves", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ p: fc.integer({ min: -3, max: 3 }), off: fc.boolean() }), { maxLength: 20 }),
      (l) => {
        using b = bed();
        const regs = l.map(({ p }, i) => b.hook(`${i}`, NF_ACCEPT, p));
        l.forEach(({ off }, i) => off && regs[i][Symbol.dispose]());
        b.run();
        const want = l.map((x, i) => ({ ...x, i })).filter((x) => !x.off).sort((x, y) => x.p - y.p || x.i - y.i);
        assertEquals(b.asked, want.map((x) => `${x.i}`));
        assertEquals(b.nf.active[NF_INET_LOCAL_IN], want.length);
      },
    ),
    { numRuns: 50, seed: 9 },
  );
});

Deno.test("hooks see place, net and devices; the record is reused and holds nothing afterwards", () => {
  using b = bed();
  const [x, y] = ["x", "y"].map((n) => b.net.registerNetdevice(n, { ops: netdevOps({ startXmit: () => 0 }) }));
  const seen: unknown[] = [];
  let record: NfHookState | null = null;
  b.hook(
    "see",
    (_skb, st) => {
      record = st;
      seen.push(st.hook, st.net === b.net, st.in === x, st.out === y);
      return NF_ACCEPT;
    },
    0,
    NF_INET_FORWARD,
  );
  b.run(1, NF_INET_FORWARD, x, y);
  assertEquals(seen, [NF_INET_FORWARD, true, true, true]);
  assertEquals([record!.in, record!.out], [null, null]);
});

Deno.test("a hook that sends a packet through the same hooks finds its own state as it was", () => {
  using b = bed();
  const [x, y] = ["x", "y"].map((n) => b.net.registerNetdevice(n, { ops: netdevOps({ startXmit: () => 0 }) }));
  const outs: string[] = [];
  b.hook(
    "reply",
    (skb, st) => {
      outs.push(`${skb.mark} ${st.out!.name}`);
      if (skb.mark === 1) b.run(2, NF_INET_LOCAL_OUT, null, y);
      outs.push(`${skb.mark} ${st.out!.name}`);
      return NF_ACCEPT;
    },
    0,
    NF_INET_LOCAL_OUT,
  );
  b.run(1, NF_INET_LOCAL_OUT, null, x);
  assertEquals(outs, ["1 x", "2 y", "2 y", "1 x"]);
  assertEquals(b.through.marks, [2, 1]);
});

Deno.test("hooks come and go while a packet is among them: it sees the list as it was", () => {
  using b = bed();
  const regs: Disposable[] = [];
  b.hook("a", () => {
    regs[0][Symbol.dispose]();
    b.hook("new", NF_ACCEPT, 5);
    return NF_ACCEPT;
  }, -5);
  regs.push(b.hook("leaves"));
  b.run();
  assertEquals(b.asked, ["a", "leaves"]);
  b.asked.length = 0;
  b.nf.list(NF_INET_LOCAL_IN);
  b.run();
  assertEquals(b.asked, ["a", "new"]);
});

Deno.test("REPEAT asks the same hook again, 16 times at most", () => {
  using b = bed(false);
  let left = 16;
  b.hook("again", () => left-- > 0 ? NF_REPEAT : NF_ACCEPT);
  b.hook("behind");
  assertEquals(b.run(), 7);
  assertEquals(b.asked.length, 18);
  left = 17;
  assertEquals(b.run(), -1);
  assertEquals(b.net.dropTable(), { PLUGIN_ERROR: 1 });
  assertEquals(b.net.pluginErrors[0].who, "hook again");
  assertStringIncludes(String(b.net.pluginErrors[0].error), "NF_REPEAT");
});

Deno.test("STOLEN: the packet is the hook's, the caller gets 0 and touches it no more", () => {
  using b = bed();
  const stolen: SkBuff[] = [];
  b.hook("thief", (skb) => (stolen.push(skb), NF_STOLEN));
  b.hook("behind");
  assertEquals(b.run(), 0);
  assertEquals([b.asked, stolen[0].live, b.through.marks], [["thief"], 1, []]);
  stolen[0].consume();
});

Deno.test("a hook that forgets a packet is named", () => {
  const b = bed();
  b.hook("forgetful", () => NF_STOLEN);
  b.run();
  const [fault, ...more] = b.machine.skbs.faults();
  assertEquals([fault.kind, fault.holder, more], ["leak", "hook forgetful", []]);
});

Deno.test("a hook that frees a packet and accepts it is named by the double free", () => {
  const b = bed();
  b.hook("freer", (skb) => (skb.consume(), NF_ACCEPT));
  b.run();
  const [fault] = b.machine.skbs.faults();
  assertEquals([fault.kind, fault.holder], ["double free", "hook freer"]);
});

Deno.test("a hook that throws drops that packet with PLUGIN_ERROR and its name; the stack lives", () => {
  using b = bed(false);
  b.hook("bad", (skb) => {
    if (skb.mark === 1) throw new Error("boom");
    return NF_ACCEPT;
  });
  assertEquals([b.run(1), b.run(2)], [-1, 7]);
  assertEquals(b.net.dropTable(), { PLUGIN_ERROR: 1 });
  assertEquals(b.net.pluginErrors[0].who, "hook bad");
  assertEquals(b.through.marks, [2]);
});

Deno.test("strict: what a hook threw surfaces at the outermost exit and names it", () => {
  using b = bed();
  b.hook("bad", () => {
    throw new Error("boom");
  });
  const e = assertThrows(() => b.net.batch(() => b.run()), PluginError, "hook bad threw on the path: boom");
  assertEquals(e.plugins, ["hook bad"]);
  assertEquals([b.machine.depth, b.net.dropTable()], [0, { PLUGIN_ERROR: 1 }]);
});

Deno.test("what is no verdict drops the packet and names the hook", () => {
  using b = bed(false);
  const answers: unknown[] = [5, -1, NaN, undefined, "1", true];
  b.hook("odd", () => answers[0] as number);
  while (answers.length > 0) {
    assertEquals(b.run(), -1);
    answers.shift();
  }
  assertEquals(b.net.dropTable(), { PLUGIN_ERROR: 6 });
  assert(b.net.pluginErrors.every((e) => e.who === "hook odd"));
});

Deno.test("a record that is no hook is refused", () => {
  using b = bed();
  const bad: unknown[] = [
    { name: "", hook: 1, fn: () => 1 },
    { name: "x", hook: 5, fn: () => 1 },
    { name: "x", hook: -1, fn: () => 1 },
    { name: "x", hook: 1 },
    { name: "x", hook: 1, priority: 1.5, fn: () => 1 },
    { name: "x", hook: 1, priority: 2 ** 31, fn: () => 1 },
  ];
  for (const ops of bad) assertThrows(() => nfRegisterNetHook(b.net, ops as NfHookOps), TypeError);
  assertEquals([...b.nf.active], [0, 0, 0, 0, 0]);
});

Deno.test("a method of a class keeps its this", () => {
  class Counter implements NfHookOps {
    readonly name = "counter";
    readonly hook = NF_INET_PRE_ROUTING;
    n = 0;
    fn(): number {
      this.n++;
      return NF_ACCEPT;
    }
  }
  using b = bed();
  const c = new Counter();
  nfRegisterNetHook(b.net, c);
  b.run(1, NF_INET_PRE_ROUTING);
  assertEquals(c.n, 1);
});

Deno.test("traced: hook number, verdict and the hook's record; nothing of a packet that is gone", () => {
  using b = bed();
  const log: unknown[] = [];
  b.hook("a");
  b.hook("b", (skb) => (skb.consume(), NF_STOLEN));
  using _on = b.machine.bus.on("nf:nf_hook_entry_hookfn", (skb, hook, verdict, obj) => {
    log.push([skb?.mark ?? null, hook, verdict, (obj as NfHookOps).name]);
  });
  assertEquals(b.machine.bus.mask, G_NF);
  b.run(9);
  assertEquals(log, [[9, 1, NF_ACCEPT, "a"], [null, 1, NF_STOLEN, "b"]]);
});

// ---- QUEUE

function queueBed(strict = true) {
  const b = bed(strict);
  const waiting: NfQueueEntry[] = [];
  const handler = { name: "user", enqueue: (e: NfQueueEntry) => waiting.push(e) > 0 };
  const reg = nfRegisterQueueHandler(b.net, handler);
  return { ...b, waiting, reg };
}

Deno.test("QUEUE: user code answers later; the packet goes on behind the hook that queued it, in the list of then", () => {
  using b = queueBed();
  b.hook("early", NF_ACCEPT, -10);
  b.hook("queue", NF_QUEUE);
  b.hook("same", NF_ACCEPT, 0);
  const late = b.hook("late", NF_ACCEPT, 10);
  assertEquals([b.run(1), b.run(2), b.nf.queued()], [0, 0, 2]);
  assertEquals(b.through.marks, []);
  const [one, two] = b.waiting;
  assertEquals([one.id, one.priority, one.by, one.state.hook, one.skb.mark], [1, 0, "queue", NF_INET_LOCAL_IN, 1]);
  b.asked.length = 0;
  late[Symbol.dispose]();
  b.hook("newer", NF_ACCEPT, 20);
  b.hook("before", NF_ACCEPT, -1);
  b.nf.reinject(two, NF_ACCEPT);
  assertEquals([b.asked, b.through.marks], [["same", "newer"], [2]]);
  b.nf.reinject(one, NF_DROP);
  assertEquals([b.nf.queued(), b.net.dropTable()], [0, { NETFILTER_DROP: 1 }]);
});

Deno.test("QUEUE: the hook that queued is gone: it goes on where that would be", () => {
  using b = queueBed();
  const q = b.hook("queue", NF_QUEUE);
  b.hook("same");
  b.hook("early", NF_ACCEPT, -1);
  b.run();
  q[Symbol.dispose]();
  b.asked.length = 0;
  b.nf.reinject(b.waiting[0], NF_ACCEPT);
  assertEquals(b.asked, ["same"]);
});

Deno.test("QUEUE: answered with REPEAT the hook that queued it is asked again; with STOLEN it is the handler's", () => {
  using b = queueBed();
  let first = true;
  b.hook("queue", () => {
    if (!first) return NF_ACCEPT;
    first = false;
    return NF_QUEUE;
  });
  b.run(1);
  b.nf.reinject(b.waiting[0], NF_REPEAT);
  assertEquals([b.asked, b.through.marks], [["queue", "queue"], [1]]);
  first = true;
  b.run(2);
  const { skb } = b.waiting[1];
  b.nf.reinject(b.waiting[1], NF_STOLEN);
  assertEquals([skb.live, b.nf.queued()], [1, 0]);
  skb.consume();
});

Deno.test("QUEUE: an answer is given once; unknown entries and wrong verdicts do no harm", () => {
  using b = queueBed(false);
  b.hook("queue", NF_QUEUE);
  b.run(1);
  b.run(2);
  b.nf.reinject(b.waiting[0], NF_ACCEPT);
  b.nf.reinject(b.waiting[0], NF_ACCEPT);
  b.nf.reinject({ ...b.waiting[1] }, NF_DROP);
  assertEquals([b.through.marks, b.nf.queued()], [[1], 1]);
  b.nf.reinject(b.waiting[1], 99);
  assertEquals([b.nf.queued(), b.net.dropTable()], [0, { PLUGIN_ERROR: 1 }]);
  assertEquals(b.net.pluginErrors[0].who, "queue handler user");
});

Deno.test("QUEUE: the handler may answer at once", () => {
  using b = bed();
  nfRegisterQueueHandler(b.net, { name: "now", enqueue: (e) => (b.nf.reinject(e, NF_ACCEPT), true) });
  b.hook("queue", NF_QUEUE);
  b.hook("behind");
  assertEquals(b.run(), 0);
  assertEquals([b.asked, b.through.marks], [["queue", "behind"], [1]]);
});

Deno.test("QUEUE: at most 1,024 wait; no handler, or one that refuses or throws, drops", () => {
  using b = queueBed(false);
  b.hook("queue", NF_QUEUE);
  for (let i = 0; i < 1030; i++) b.run();
  assertEquals([b.nf.queued(), b.net.dropTable()], [1024, { NF_QUEUE_FULL: 6 }]);
  b.reg[Symbol.dispose]();
  assertEquals([b.nf.queued(), b.net.dropTable()], [0, { NF_QUEUE_FULL: 6, PLUGIN_UNLOAD: 1024 }]);
  b.run();
  const no = nfRegisterQueueHandler(b.net, { name: "no", enqueue: () => false });
  b.run();
  assertEquals(b.net.dropped("NF_QUEUE_FULL"), 8);
  assertThrows(() => nfRegisterQueueHandler(b.net, { name: "two", enqueue: () => true }), TypeError, "no is there");
  no[Symbol.dispose]();
  nfRegisterQueueHandler(b.net, {
    name: "bad",
    enqueue: () => {
      throw new Error("boom");
    },
  });
  assertEquals([b.run(), b.net.dropped("PLUGIN_ERROR")], [0, 1]);
  assertEquals(b.net.pluginErrors[0].who, "queue handler bad");
});

Deno.test("QUEUE: when the handler goes, what waits is dropped and counted", () => {
  using b = queueBed();
  b.hook("queue", NF_QUEUE);
  b.run();
  b.run();
  b.reg[Symbol.dispose]();
  assertEquals([b.nf.queued(), b.net.dropTable()], [0, { PLUGIN_UNLOAD: 2 }]);
  b.nf.reinject(b.waiting[0], NF_ACCEPT);
  assertEquals(b.through.marks, []);
});

Deno.test("QUEUE: a device that goes down takes its packets along; the net's end takes all", () => {
  using b = queueBed();
  const [x, y] = ["x", "y"].map((n) => b.net.registerNetdev(n, { startXmit: () => 0 }));
  b.hook("queue", NF_QUEUE);
  b.run(1, NF_INET_LOCAL_IN, x);
  b.run(2, NF_INET_LOCAL_IN, y);
  b.run(3);
  x.close();
  assertEquals([b.nf.queued(), b.net.dropTable()], [2, { QUEUE_PURGE: 1 }]);
  b.net[Symbol.dispose]();
  assertEquals(b.net.dropTable(), { QUEUE_PURGE: 2, PLUGIN_UNLOAD: 1 });
});

Deno.test("QUEUE: reinjection enters the machine: softirqs run at its end, and replies know their cause", () => {
  using b = bed();
  const log: number[] = [];
  const entries: NfQueueEntry[] = [];
  nfRegisterQueueHandler(b.net, { name: "user", enqueue: (e) => entries.push(e) > 0 });
  b.hook("queue", NF_QUEUE);
  b.hook("behind", (skb) => {
    log.push(b.machine.depth, b.machine.skbs.currentId - skb.id);
    return NF_ACCEPT;
  });
  b.run();
  b.nf.reinject(entries[0], NF_ACCEPT);
  assertEquals([log, b.machine.depth, b.machine.skbs.currentId], [[1, 0], 0, 0]);
});

// ---- swap

function countingPlugin(name: string, seen: string[]): { name: string; api: 1; setup: (net: Net) => void } {
  return {
    name: "mine",
    api: 1,
    setup: (net) => {
      nfRegisterNetHook(net, { name, hook: NF_INET_LOCAL_IN, fn: () => (seen.push(name), NF_ACCEPT) });
    },
  };
}

Deno.test("swapped: a hook's plugin is replaced in one step, each packet meets one of them", () => {
  using b = bed();
  const seen: string[] = [];
  b.net.use(countingPlugin("old", seen));
  b.run();
  b.net.swap("mine", countingPlugin("new", seen));
  b.run();
  assertEquals([seen, b.nf.active[NF_INET_LOCAL_IN]], [["old", "new"], 1]);
});

Deno.test("swapped: netfilter itself keeps its hooks, its queue and the record that others hold", () => {
  using b = queueBed();
  b.hook("queue", (skb) => skb.mark === 1 ? NF_QUEUE : NF_ACCEPT);
  const later = b.hook("later");
  b.run(1);
  b.net.swap("netfilter", netfilter());
  assert(b.net.get(NETFILTER) === b.nf);
  assertEquals([b.nf.queued(), b.nf.active[NF_INET_LOCAL_IN]], [1, 2]);
  b.run(2);
  b.nf.reinject(b.waiting[0], NF_ACCEPT);
  later[Symbol.dispose]();
  assertEquals([b.through.marks, b.nf.list(NF_INET_LOCAL_IN).length], [[2, 1], 1]);
  assertFalse(b.net.plugins.length !== 1);
});
