/** The flow cache and what makes it forget; path MTUs and redirects of single destinations. */
import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import type { Plugin } from "../../../core/mod.ts";
import type { RtDst } from "../../../plugins/network/fib/dst.ts";
import { NEIGH, NUD_INCOMPLETE, NUD_REACHABLE } from "../../../plugins/network/neigh/contract.ts";
import { type Host, ip, makeHost, out, receive } from "./host.ts";

function routed(...more: Plugin[]): Host {
  const host = makeHost(...more);
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.addresses.addAddress(host.eth1, "10.10.0.1/24");
  host.routes.add({ to: "default", via: "10.9.0.254" });
  return host;
}

const look = (host: Host, daddr: string): RtDst => host.routes.routeOutput(ip(daddr), 0, 0, 0) as RtDst;

Deno.test("a flow is looked up once", () => {
  using host = routed();
  const { stats } = host.routes;
  const first = look(host, "8.8.8.8");
  const slow = stats.slow;
  for (let i = 0; i < 10; i++) assertStrictEquals(look(host, "8.8.8.8"), first);
  assertEquals([stats.slow - slow, stats.cacheHits], [0, 10]);
  receive(host, host.eth0, "10.9.0.7", "10.9.0.1");
  const hits = stats.cacheHits;
  receive(host, host.eth0, "10.9.0.7", "10.9.0.1");
  receive(host, host.eth0, "10.9.0.8", "10.9.0.1");
  assertEquals(stats.cacheHits - hits, 1);
});

Deno.test("all destinations of a route share one way", () => {
  using host = routed();
  assertStrictEquals(look(host, "8.8.8.8"), look(host, "9.9.9.9"));
  assertStrictEquals(look(host, "10.9.0.7"), look(host, "10.9.0.8"));
  assertNotStrictEquals(look(host, "10.9.0.7"), look(host, "8.8.8.8"));
});

Deno.test("whatever changes makes the ways of before obsolete", () => {
  using host = routed();
  const changes: Record<string, () => void> = {
    "a route is added": () => host.routes.add({ to: "1.0.0.0/8", via: "10.9.0.3" }),
    "a route is removed": () => host.routes.del({ to: "1.0.0.0/8" }),
    "an address is added": () => host.addresses.addAddress(host.eth1, "10.11.0.1/24"),
    "an address is removed": () => host.addresses.delAddress(host.eth1, "10.11.0.1/24"),
    "a setting changes": () => host.net.sysctl.set("net.ipv4.conf.eth0.rp_filter", 2),
    "the carrier goes": () => host.eth1.setCarrier(false),
    "the MTU changes": () => host.eth1.setMtu(1400),
    "a device goes down": () => host.eth1.close(),
    "a device is gone": () => host.net.unregisterNetdevice(host.eth1),
    "the cache is flushed": () => host.routes.flushCache(),
  };
  for (const [what, change] of Object.entries(changes)) {
    const before = look(host, "8.8.8.8");
    assert(!before.obsolete, what);
    change();
    assert(before.obsolete, what);
    assertNotStrictEquals(look(host, "8.8.8.8"), before, what);
  }
});

Deno.test("the cache never grows, and forged sources cost only look-ups", () => {
  using host = routed();
  const { stats } = host.routes;
  for (let i = 0; i < 20_000; i++) receive(host, host.eth0, "10.9.0.7", "10.9.0.1");
  assertEquals(stats.slow, 1);
  const skb = host.machine.skbs.alloc(64)!;
  for (let i = 0; i < 100_000; i++) {
    const source = 0x20000000 + Math.imul(i, 2654435761) % 0x10000000 | 0;
    assertEquals(host.routes.routeInput(skb, ip("10.9.0.1"), source, 0, host.eth0), 0);
  }
  skb.consume();
  assertEquals(stats.slow + stats.cacheHits, stats.lookups);
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.9.0.1"), "local lo");
});

Deno.test("without the cache the answers are the same", () => {
  using host = routed();
  host.routes.cacheEnabled = false;
  const first = look(host, "8.8.8.8");
  assertStrictEquals(look(host, "8.8.8.8"), first);
  assertEquals(host.routes.stats.cacheHits, 0);
  assertEquals(out(host, "8.8.8.8", "10.10.0.1"), "unicast via 10.9.0.254 eth0 src 10.9.0.1");
});

Deno.test("a path MTU that is told counts for that destination, for 600 s", () => {
  using host = routed();
  const before = look(host, "8.8.8.8");
  assertEquals(host.routes.mtu(before), 1500);
  host.routes.updatePmtu(ip("8.8.8.8"), 1400);
  assert(before.obsolete);
  assertEquals(host.routes.mtu(look(host, "8.8.8.8")), 1400);
  assertEquals(host.routes.mtu(look(host, "9.9.9.9")), 1500);
  assertEquals(out(host, "8.8.8.8"), "unicast via 10.9.0.254 eth0 src 10.9.0.1");
  // Only lower news are news.
  host.routes.updatePmtu(ip("8.8.8.8"), 1450);
  assertEquals(host.routes.mtu(look(host, "8.8.8.8")), 1400);
  host.machine.advance(599e9);
  assertEquals(host.routes.mtu(look(host, "8.8.8.8")), 1400);
  host.machine.advance(2e9);
  assertEquals(host.routes.mtu(look(host, "8.8.8.8")), 1500);
});

Deno.test("[A17] a path MTU below min_pmtu is min_pmtu, without DF", () => {
  using host = routed();
  for (const mtu of [551, 67, 0]) {
    host.routes.updatePmtu(ip("8.8.8.8"), mtu);
    const dst = look(host, "8.8.8.8");
    assertEquals([host.routes.mtu(dst), dst.pmtuLocked], [552, true]);
    host.net.sysctl.set("net.ipv4.route.flush", 1);
  }
  host.routes.updatePmtu(ip("8.8.8.8"), 552);
  assertEquals([look(host, "8.8.8.8").pmtu, look(host, "8.8.8.8").pmtuLocked], [552, false]);
  host.routes.updatePmtu(ip("9.9.9.9"), 65535);
  assertEquals(host.routes.mtu(look(host, "9.9.9.9")), 1500);
});

Deno.test("a path MTU survives changes of other routes, not that of its own; a route's own MTU counts", () => {
  using host = routed();
  host.routes.updatePmtu(ip("8.8.8.8"), 1000);
  host.routes.add({ to: "1.0.0.0/8", via: "10.9.0.3", mtu: 1200 });
  assertEquals(host.routes.mtu(look(host, "8.8.8.8")), 1000);
  assertEquals(host.routes.mtu(look(host, "1.2.3.4")), 1200);
  host.routes.add({ to: "8.8.8.0/24", via: "10.9.0.3" });
  assertEquals(host.routes.mtu(look(host, "8.8.8.8")), 1500);
});

Deno.test("[A16] at most 8,192 destinations keep what they learnt, the oldest go", () => {
  using host = routed();
  for (let i = 0; i < 10_000; i++) host.routes.updatePmtu(0x08000000 + i, 1000);
  assertEquals(host.routes.mtu(host.routes.routeOutput(0x08000000, 0, 0, 0)!), 1500);
  assertEquals(host.routes.mtu(host.routes.routeOutput(0x08000000 + 9_999, 0, 0, 0)!), 1000);
});

/** A neighbour table that knows one reachable address and counts what it is asked for. */
function fakeNeigh(reachable: string, asked: number[]): Plugin {
  return {
    name: "neigh",
    api: 1,
    provides: [NEIGH],
    setup(net) {
      const table = {
        lookup: (_dev: unknown, key: number) => ({
          primaryKey: key,
          nudState: key === ip(reachable) ? NUD_REACHABLE : NUD_INCOMPLETE,
        }),
        probe: (n: { primaryKey: number }) => void asked.push(n.primaryKey),
      };
      net.provide(NEIGH, table as never);
    },
  };
}

Deno.test("[A18] a redirect is believed from the next hop in use, to a neighbour that is no address of ours", () => {
  const asked: number[] = [];
  using host = routed(fakeNeigh("10.9.0.253", asked));
  const { routes, eth0 } = host;
  const now = (): string => out(host, "8.8.8.8");
  const old = now();
  const tell = (from: string, gateway: string, dev = eth0): void =>
    routes.redirect(ip("8.8.8.8"), ip(from), ip(gateway), dev);
  tell("10.9.0.77", "10.9.0.253");
  assertEquals(now(), old, "a stranger");
  tell("10.9.0.254", "10.9.0.253", host.eth1);
  assertEquals(now(), old, "another device");
  for (const gateway of ["10.9.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "10.9.0.255", "10.9.0.254"]) {
    tell("10.9.0.254", gateway);
    assertEquals(now(), old, gateway);
  }
  assertEquals(asked, []);
  tell("10.9.0.254", "10.9.0.9");
  assertEquals(now(), old, "a neighbour that is not known yet is asked for first");
  assertEquals(asked, [ip("10.9.0.9")]);
  const held = look(host, "8.8.8.8");
  tell("10.9.0.254", "10.9.0.253");
  assert(held.obsolete);
  assertEquals(now(), "unicast via 10.9.0.253 eth0 src 10.9.0.1");
  assertEquals(out(host, "9.9.9.9"), "unicast via 10.9.0.254 eth0 src 10.9.0.1");
  tell("10.9.0.254", "10.9.0.9");
  assertEquals(now(), "unicast via 10.9.0.253 eth0 src 10.9.0.1", "no longer the next hop");
  host.machine.advance(301e9);
  assertEquals(now(), old);
});

Deno.test("[A18] a host on the link redirects its own traffic only if something was learnt about it", () => {
  using host = routed(fakeNeigh("10.9.0.253", []));
  const tell = (): void => host.routes.redirect(ip("10.9.0.7"), ip("10.9.0.7"), ip("10.9.0.253"), host.eth0);
  const direct = out(host, "10.9.0.7");
  tell();
  assertEquals(out(host, "10.9.0.7"), direct);
  host.routes.updatePmtu(ip("10.9.0.7"), 1000);
  tell();
  assertEquals(out(host, "10.9.0.7").split(" eth0")[0], "unicast via 10.9.0.253");
});

Deno.test("[A18] a router does not believe redirects", () => {
  using host = routed(fakeNeigh("10.9.0.253", []));
  host.net.sysctl.set("net.ipv4.ip_forward", 1);
  host.routes.redirect(ip("8.8.8.8"), ip("10.9.0.254"), ip("10.9.0.253"), host.eth0);
  assertEquals(out(host, "8.8.8.8"), "unicast via 10.9.0.254 eth0 src 10.9.0.1");
});
