/** Metrics of routes: what `ip route ... mtu lock 1400 advmss 1360` keeps, shows, finds again and refuses. */
import { assertEquals, assertThrows } from "@std/assert";
import { ERRNO } from "../../../core/mod.ts";
import { type Route, RTAX_MTU } from "../../../plugins/network/fib/mod.ts";
import { ip, makeHost } from "./host.ts";

const ALL: Omit<Route, "to"> = {
  mtu: 1400,
  window: 5000,
  rtt: 100,
  rttvar: 50,
  ssthresh: 20,
  cwnd: 30,
  advmss: 1300,
  reordering: 5,
  hoplimit: 77,
  initcwnd: 20,
  rtoMin: 50,
  initrwnd: 12,
  lock: ["mtu", "cwnd"],
  features: ["ecn"],
  quickack: true,
  fastopenNoCookie: true,
};

Deno.test("a route keeps its metrics and shows them as it was given them", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  assertEquals(host.routes.add({ to: "10.1.0.0/16", via: "10.9.0.2", ...ALL }), 0);
  assertEquals(host.routes.list().find((r) => r.to === "10.1.0.0/16"), {
    to: "10.1.0.0/16",
    via: "10.9.0.2",
    dev: "eth0",
    ...ALL,
  });
  const dst = host.routes.routeOutput(ip("10.1.2.3"), 0, 0, 0)!;
  assertEquals([dst.metrics?.initcwnd, dst.metrics?.hoplimit, dst.metrics?.rtoMin], [20, 77, 50]);
  assertEquals(dst.pmtuLocked, true);
  // The route next to it says nothing.
  assertEquals(host.routes.routeOutput(ip("10.9.0.7"), 0, 0, 0)!.metrics, null);
});

Deno.test("what is too large is cut to what Linux keeps", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  assertEquals(
    host.routes.add({ to: "10.1.0.0/16", via: "10.9.0.2", mtu: 65535, advmss: 65535, hoplimit: 300, initrwnd: 0 }),
    0,
  );
  const route = host.routes.list().find((r) => r.to === "10.1.0.0/16")!;
  assertEquals([route.mtu, route.advmss, route.hoplimit, route.initrwnd], [65520, 65495, 255, undefined]);
});

Deno.test("routes with other metrics are other routes; a deletion that names metrics takes the route that has them", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  const { routes } = host;
  assertEquals(routes.add({ to: "10.1.0.0/16", via: "10.9.0.2", mtu: 1300 }), 0);
  assertEquals(routes.add({ to: "10.2.0.0/16", via: "10.9.0.2", mtu: 1200 }), 0);
  assertEquals(routes.mtu(routes.routeOutput(ip("10.1.0.1"), 0, 0, 0)!), 1300);
  assertEquals(routes.mtu(routes.routeOutput(ip("10.2.0.1"), 0, 0, 0)!), 1200);
  assertEquals(routes.del({ to: "10.1.0.0/16", mtu: 1200 }), -ERRNO.ESRCH);
  assertEquals(routes.del({ to: "10.1.0.0/16", mtu: 1300 }), 0);
});

Deno.test("a locked MTU is not replaced by what a router tells; one that is not locked is", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  const { routes } = host;
  routes.add({ to: "10.1.0.0/16", via: "10.9.0.2", mtu: 1300, lock: ["mtu"] });
  routes.add({ to: "10.2.0.0/16", via: "10.9.0.2", mtu: 1300 });
  routes.updatePmtu(ip("10.1.0.1"), 900);
  routes.updatePmtu(ip("10.2.0.1"), 900);
  const way = (to: string) => routes.routeOutput(ip(to), 0, 0, 0)!;
  assertEquals([routes.mtu(way("10.1.0.1")), routes.mtu(way("10.2.0.1"))], [1300, 900]);
  assertEquals([way("10.1.0.1").pmtuLocked, way("10.2.0.1").pmtuLocked], [true, false]);
  assertEquals((way("10.1.0.1").metrics!.lock >> RTAX_MTU) & 1, 1);
});

Deno.test("a congestion control that TCP has not is EINVAL; without TCP there is none at all", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  const add = (to: string, congctl: string) => host.routes.add({ to, via: "10.9.0.2", congctl });
  assertEquals(add("10.1.0.0/16", "reno"), -ERRNO.EINVAL);
  host.routes.setCongestion!((name) => name === "reno");
  assertEquals(add("10.1.0.0/16", "reno"), 0);
  assertEquals(add("10.2.0.0/16", "vegas"), -ERRNO.EINVAL);
});

Deno.test("metrics that are none are told by name", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  const bad = (route: Record<string, unknown>) => () =>
    host.routes.add({ to: "10.1.0.0/16", via: "10.9.0.2", ...route } as Route);
  assertThrows(bad({ initcwnd: -1 }), RangeError, "initcwnd -1");
  assertThrows(bad({ mtu: 70000 }), RangeError, "mtu 70000");
  assertThrows(bad({ rtt: "fast" }), RangeError, "rtt fast");
  assertThrows(bad({ lock: ["speed"] }), TypeError, `no metric "speed" to lock`);
  assertThrows(bad({ features: ["sack"] }), TypeError, `no feature "sack"; there are ecn`);
  assertThrows(bad({ quickack: 1 }), TypeError, "quickack 1, it takes true or false");
  assertThrows(bad({ congctl: 7 }), TypeError, "congctl 7");
});
