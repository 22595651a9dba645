/** Plugins: needs, order, faults, disposal, state, and one that replaces another under traffic. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  devAddPack,
  Machine,
  type Net,
  netifReceiveSkb,
  NotifierChain,
  orderPlugins,
  type Plugin,
  PluginError,
  type PluginErrorCode,
  type Token,
  token,
} from "../../core/mod.ts";
import { ETH_P_TEST, packet, sink, TestMachine } from "./fake.ts";

interface Greeter {
  hello(): string;
  count: number;
}
const GREETER: Token<Greeter> = token<Greeter>("test:greeter");
const OTHER: Token<{ x: number }> = token<{ x: number }>("test:other");

function plugin(name: string, more: Partial<Plugin> = {}): Plugin {
  return { name, api: 1, setup: () => {}, ...more };
}

function fails(code: PluginErrorCode, fn: () => unknown): PluginError {
  const error = assertThrows(fn, PluginError);
  assertEquals(error.code, code);
  return error;
}

function names(list: readonly Plugin[]): string {
  return list.map((p) => p.name).join(" ");
}

// ---- faults, before anything runs

Deno.test("a missing need is an error that names plugin and token, before anything runs", () => {
  using machine = new TestMachine();
  const ran: string[] = [];
  const e = fails("NETPATH_MISSING_NEED", () =>
    machine.createNet({
      plugins: [
        plugin("first", { setup: () => void ran.push("first") }),
        plugin("needy", { requires: [token("netpath:ipv4")] }),
      ],
    }));
  assertEquals(e.plugins, ["needy"]);
  assertStringIncludes(e.message, "netpath:ipv4");
  assertStringIncludes(e.message, "add ipv4()");
  assertEquals([ran, machine.nets.length], [[], 0]);
});

Deno.test("two providers of one token: an error that names both", () => {
  const e = fails(
    "NETPATH_DOUBLE_PROVIDER",
    () => orderPlugins([plugin("b", { provides: [GREETER] })], [plugin("a", { provides: [GREETER] })]),
  );
  assertEquals(e.plugins, ["a", "b"]);
});

Deno.test("a cycle of needs: an error that names who is in it", () => {
  const a = plugin("a", { provides: [GREETER], requires: [OTHER] });
  const b = plugin("b", { provides: [OTHER], requires: [GREETER] });
  const e = fails("NETPATH_CYCLE", () => orderPlugins([plugin("c", { requires: [GREETER] }), a, b], []));
  assertEquals([...e.plugins].sort(), ["a", "b"]);
  fails("NETPATH_CYCLE", () => orderPlugins([plugin("x", { after: ["y"] }), plugin("y", { after: ["x"] })], []));
});

Deno.test("another api, no plugin at all, and the same plugin twice are errors", () => {
  const e = fails("NETPATH_API_VERSION", () => orderPlugins([plugin("new", { api: 2 as 1 })], []));
  assertEquals(e.plugins, ["new"]);
  for (const bad of [null, 7, {}, () => plugin("x"), { name: "x" }, { name: "", setup: () => {} }]) {
    fails("NETPATH_BAD_PLUGIN", () => orderPlugins([bad as unknown as Plugin], []));
  }
  fails("NETPATH_DUPLICATE_PLUGIN", () => orderPlugins([plugin("a"), plugin("a")], []));
});

Deno.test("a setup that throws is an error that names the plugin; what it registered is undone", () => {
  using machine = new TestMachine();
  const net = machine.createNet();
  const ended: string[] = [];
  const e = fails("NETPATH_SETUP_THREW", () =>
    net.use(plugin("bad", {
      provides: [GREETER],
      setup: (n) => {
        devAddPack(n, { type: ETH_P_TEST, dev: null, func: (skb) => skb.consume() });
        n.sysctl.define("net.test.x", { value: 1, apply: () => {} });
        n.state("bad:s", () => 1, () => ended.push("state"));
        throw new RangeError("boom");
      },
    })));
  assertEquals(e.plugins, ["bad"]);
  assertStringIncludes(e.message, "boom");
  assert(e.cause instanceof RangeError);
  assertEquals(net.ptypes.buckets.flat(), []);
  assertThrows(() => net.sysctl.get("net.test.x"), TypeError);
  assertEquals([net.plugins, ended, net.find(GREETER)], [[], ["state"], null]);
});

Deno.test("a plugin that says it provides a token and does not is an error", () => {
  using machine = new TestMachine();
  fails("NETPATH_SETUP_THREW", () => machine.createNet({ plugins: [plugin("liar", { provides: [GREETER] })] }));
  const net = machine.createNet();
  assertEquals(fails("NETPATH_NOT_PROVIDED", () => net.get(GREETER)).plugins, [net.name]);
});

// ---- order and end

Deno.test("order comes from needs and names, never from the array", () => {
  const base = plugin("base", { provides: [GREETER] });
  const user = plugin("user", { requires: [GREETER] });
  const maybe = plugin("maybe", { uses: [GREETER, OTHER] });
  const early = plugin("early", { before: ["base"] });
  const late = plugin("late", { after: ["user", "absent"] });
  assertEquals(names(orderPlugins([late, user, maybe, base, early], [])), "early base user late maybe");
  assertEquals(names(orderPlugins([late, user], [base])), "user late");
});

Deno.test("the end runs in reverse: devices, then plugins with all they registered, then state", () => {
  const log: string[] = [];
  const one = (name: string): Plugin =>
    plugin(name, {
      setup: (net) => {
        net.state(`${name}:s`, () => 0, () => log.push(`${name} state`));
        for (const i of [1, 2]) net.registration(() => () => void log.push(`${name} undo ${i}`));
        return { [Symbol.dispose]: () => void log.push(`${name} end`) };
      },
    });
  {
    using machine = new TestMachine();
    const net = machine.createNet({ plugins: [one("a"), one("b")] });
    net.netdevChain.register((e) => void log.push(e.kind));
    sink(net);
    log.length = 0;
  }
  assertEquals(log, [
    "NETDEV_GOING_DOWN",
    "NETDEV_DOWN",
    "NETDEV_UNREGISTER",
    "b undo 2",
    "b undo 1",
    "b end",
    "a undo 2",
    "a undo 1",
    "a end",
    "b state",
    "a state",
  ]);
});

Deno.test("a registration that is disposed early is not kept, and not undone twice", () => {
  using machine = new TestMachine();
  const net = machine.createNet();
  let undone = 0;
  for (let i = 0; i < 100; i++) net.registration(() => () => void undone++)[Symbol.dispose]();
  net[Symbol.dispose]();
  net[Symbol.dispose]();
  assertEquals(undone, 100);
});

Deno.test("two nets of one machine share nothing of their plugins", () => {
  using machine = new TestMachine();
  const make = (): Plugin =>
    plugin("g", {
      provides: [GREETER],
      setup: (net) => void net.provide(GREETER, net.state("g:s", () => ({ hello: () => net.name, count: 0 }))),
    });
  const a = machine.createNet({ plugins: [make()] }), b = machine.createNet({ plugins: [make()] });
  a.get(GREETER).count++;
  assertEquals([a.get(GREETER).hello(), a.get(GREETER).count], ["net0", 1]);
  assertEquals([b.get(GREETER).hello(), b.get(GREETER).count], ["net1", 0]);
});

Deno.test("resources are shared by the nets of a machine and end with it", () => {
  let made = 0, ended = 0;
  {
    using machine = new TestMachine();
    const get = () => machine.resource("poller", () => ({ id: ++made, [Symbol.dispose]: () => void ended++ }));
    assertEquals([get().id, get().id], [1, 1]);
  }
  assertEquals([made, ended], [1, 1]);
});

// ---- swap

function greeter(text: string, more: Partial<Plugin> = {}): Plugin {
  return plugin("greeter", {
    provides: [GREETER],
    setup: (net) => {
      const record: Greeter = {
        count: 0,
        hello() {
          this.count++;
          return text;
        },
      };
      net.provide(GREETER, record);
      net.sysctl.define("net.test.ttl", { value: text.length, apply: () => {} });
      devAddPack(net, {
        type: ETH_P_TEST,
        dev: null,
        func: (skb) => {
          record.count += 100;
          skb.consume();
        },
      });
    },
    ...more,
  });
}

function receive(net: Net, n = 1): void {
  const dev = net.device("eth0") ?? sink(net).dev;
  net.batch(() => {
    for (let i = 0; i < n; i++) netifReceiveSkb(packet(net.machine, dev));
  });
}

Deno.test("swap: a captured record acts as the new plugin, its fields too", () => {
  using machine = new TestMachine();
  const net = machine.createNet({ plugins: [greeter("old")] });
  const held = net.get(GREETER);
  receive(net);
  assertEquals([held.hello(), held.count], ["old", 101]);
  net.swap("greeter", greeter("new"));
  assert(net.get(GREETER) === held);
  receive(net);
  assertEquals([held.hello(), held.count], ["new", 101]);
  held.count = 5;
  assertEquals([held.hello(), held.count], ["new", 6]);
  net.swap("greeter", greeter("newer"));
  assertEquals([held.hello(), held.count], ["newer", 1]);
  assertEquals(net.ptypes.buckets.flat().length, 1);
});

Deno.test("swap: a record that is an instance of a class with private fields works as well", () => {
  class Polite implements Greeter {
    #name = "class";
    count = 0;
    hello(): string {
      this.count++;
      return this.#name;
    }
  }
  using machine = new TestMachine();
  const net = machine.createNet({ plugins: [greeter("old")] });
  const held = net.get(GREETER);
  net.swap(
    "greeter",
    plugin("greeter", { provides: [GREETER], setup: (n) => void n.provide(GREETER, new Polite()) }),
  );
  assertEquals([held.hello(), held.count], ["class", 1]);
  net.swap("greeter", greeter("plain"));
  assertEquals([held.hello(), held.count], ["plain", 1]);
});

Deno.test("swap: what was set by hand stays, defaults are the new plugin's", () => {
  using machine = new TestMachine();
  const net = machine.createNet({ plugins: [greeter("old")] });
  net.swap("greeter", greeter("newer"));
  assertEquals(net.sysctl.get("net.test.ttl"), 5);
  net.sysctl.set("net.test.ttl", 42);
  net.swap("greeter", greeter("old"));
  assertEquals(net.sysctl.get("net.test.ttl"), 42);
});

Deno.test("swap: while setup runs, the old one is untouched and packets meet it; the staged record shadows", () => {
  using machine = new TestMachine();
  const net = machine.createNet({ plugins: [greeter("old")] });
  const held = net.get(GREETER);
  const seen: unknown[] = [];
  const fresh = greeter("new");
  net.swap("greeter", {
    ...fresh,
    setup: (n) => {
      fresh.setup(n);
      seen.push(n.get(GREETER).hello(), held.hello(), net.ptypes.buckets.flat().length);
    },
  });
  assertEquals(seen, ["new", "old", 1]);
});

Deno.test("swap: a setup that throws leaves the old one running and nothing behind", () => {
  using machine = new TestMachine();
  const net = machine.createNet({ plugins: [greeter("old")] });
  const held = net.get(GREETER);
  const bad = greeter("new");
  const e = fails("NETPATH_SETUP_THREW", () =>
    net.swap("greeter", {
      ...bad,
      setup: (n) => {
        bad.setup(n);
        n.state("greeter:fresh", () => 1);
        throw new Error("no");
      },
    }));
  assertStringIncludes(e.message, "Cannot swap greeter");
  assertEquals([held.hello(), net.sysctl.get("net.test.ttl"), net.ptypes.buckets.flat().length], ["old", 3, 1]);
  assertEquals(net.state("greeter:fresh", () => 2), 2);
  assertEquals(machine.depth, 0);
});

Deno.test("swap: a throw at the commit puts everything back", () => {
  using machine = new TestMachine();
  const net = machine.createNet({ plugins: [greeter("old")] });
  const held = net.get(GREETER);
  const bad = greeter("new", { provides: [GREETER, OTHER] });
  fails("NETPATH_SETUP_THREW", () =>
    net.swap("greeter", {
      ...bad,
      setup: (n) => {
        n.provide(OTHER, { x: 1 });
        bad.setup(n);
        n.registration(() => {
          throw new Error("the place is taken");
        });
      },
    }));
  assertEquals([held.hello(), net.find(OTHER), net.sysctl.get("net.test.ttl")], ["old", null, 3]);
  receive(net);
  assertEquals(held.count, 101);
  fails("NETPATH_SETUP_THREW", () =>
    net.swap(
      "greeter",
      greeter("new", {
        handover: () => {
          throw new Error("cannot");
        },
      }),
    ));
  assertEquals(held.hello(), "old");
  net.swap("greeter", greeter("third"));
  assertEquals([held.hello(), net.ptypes.buckets.flat().length], ["third", 1]);
});

Deno.test("swap: called from within a packet's way it waits for the end of the softirq", () => {
  using machine = new TestMachine();
  const net = machine.createNet({ plugins: [greeter("old")] });
  const held = net.get(GREETER);
  const { dev } = sink(net);
  const during: string[] = [];
  dev.ingress = () => {
    dev.ingress = null;
    net.swap("greeter", greeter("new"));
    during.push(held.hello());
    return 0;
  };
  dev.headerOps = { hardHeaderLen: 0, create: () => true, parse: (skb) => (skb.protocol = ETH_P_TEST, 0) };
  dev.receive(new Uint8Array(60));
  assertEquals([during, held.hello()], [["old"], "new"]);
});

Deno.test("swap: state belongs to the slot", () => {
  using machine = new TestMachine();
  const make = (): Plugin =>
    plugin("counter", {
      provides: [OTHER],
      setup: (net) => void net.provide(OTHER, net.state("counter:s", () => ({ x: 0 }))),
    });
  const net = machine.createNet({ plugins: [make()] });
  const held = net.get(OTHER);
  held.x = 7;
  net.swap("counter", make());
  assertEquals([net.get(OTHER) === held, held.x], [true, 7]);
  assertEquals(Object.getOwnPropertyDescriptor(held, "x")?.value, 7);
});

Deno.test("swap: refused for an unknown plugin, a token that is still needed, and private state", () => {
  using machine = new TestMachine();
  const user = plugin("user", { requires: [GREETER] });
  const net = machine.createNet({ plugins: [greeter("old", { privateState: true }), user] });
  assertStringIncludes(fails("NETPATH_UNKNOWN_PLUGIN", () => net.swap("no", plugin("no"))).message, "greeter, user");
  assertEquals(fails("NETPATH_STILL_NEEDED", () => net.swap("greeter", plugin("x"))).plugins, ["x", "user"]);
  fails("NETPATH_PRIVATE_STATE", () => net.swap("greeter", greeter("new")));
  let took: Plugin | null = null;
  net.swap("greeter", greeter("new", { handover: (old) => void (took = old) }));
  assert(took !== null);
  assertEquals(net.get(GREETER).hello(), "new");
});

Deno.test("swap: a token that the new one does not offer and nobody needs is gone", () => {
  using machine = new TestMachine();
  const net = machine.createNet({ plugins: [greeter("old")] });
  net.swap("greeter", plugin("silent"));
  assertEquals([net.find(GREETER), names(net.plugins)], [null, "silent"]);
});

Deno.test("swap: the old plugin's Disposable is disposed after the commit", () => {
  using machine = new TestMachine();
  const log: string[] = [];
  const net = machine.createNet({
    plugins: [plugin("a", { setup: () => ({ [Symbol.dispose]: () => void log.push("old ends") }) })],
  });
  net.swap("a", plugin("a", { setup: (n) => void n.registration(() => (log.push("new on"), () => {})) }));
  assertEquals(log, ["new on", "old ends"]);
});

Deno.test("swap: callbacks on notifier chains, taps and wraps are the plugin's too", () => {
  using machine = new TestMachine();
  const log: string[] = [];
  const watch = (name: string): Plugin =>
    plugin("watch", {
      setup: (net) => {
        net.netdevChain.register((e) => void log.push(`${name} ${e.kind}`));
        net.device("eth0")!.addTap(() => log.push(`${name} tap`));
      },
    });
  const net = machine.createNet();
  const s = sink(net);
  net.use(watch("old"));
  net.swap("watch", watch("new"));
  s.dev.setCarrier(false);
  netifReceiveSkb(packet(machine, s.dev));
  assertEquals(log, ["new NETDEV_CHANGE", "new tap"]);
});

// ---- strict, chains

Deno.test("strict: what a plugin threw on the path surfaces at the outermost exit, when all is in order again", () => {
  const machine = new Machine({ strict: true, debug: true, slabBytes: 1 << 20 });
  const net = machine.createNet();
  devAddPack(net, {
    name: "bad",
    type: ETH_P_TEST,
    dev: null,
    func: () => {
      throw new Error("boom");
    },
  });
  const { dev } = sink(net);
  const e = fails("NETPATH_THREW_ON_PATH", () => net.batch(() => netifReceiveSkb(packet(machine, dev))));
  assertEquals(e.plugins, ["bad"]);
  assertEquals([machine.depth, machine.skbs.currentId, machine.skbs.faults()], [0, 0, []]);
  assertEquals(net.dropTable(), { PLUGIN_ERROR: 1 });
  machine[Symbol.dispose]();
});

Deno.test("notifier chains: by priority, a veto ends them", () => {
  const chain = new NotifierChain<string>();
  const log: string[] = [];
  chain.register((e) => void log.push(`low ${e}`), -1);
  const veto = chain.register((e) => (log.push(`veto ${e}`), e === "no" ? 1 : 0));
  chain.register((e) => void log.push(`high ${e}`), 5);
  assertEquals([chain.call("yes"), chain.call("no")], [0, 1]);
  assertEquals(log, ["high yes", "veto yes", "low yes", "high no", "veto no"]);
  veto[Symbol.dispose]();
  assertEquals(chain.call("no"), 0);
});
