/** Routes by hand and by themselves: `ip route` semantics and errors. tests/oracle/route_test.ts holds them against the kernel. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { ERRNO } from "../../../core/mod.ts";
import { fib, type Route } from "../../../plugins/network/fib/mod.ts";
import { ipToString, makeMask, needCidr } from "../../../plugins/network/inet/contract.ts";
import { ip, makeHost, out, way } from "./host.ts";

const shown = (list: Route[]): string[] => list.map((r) => Object.values(r).join(" "));

Deno.test("an address makes its routes: itself, its broadcast, its subnet", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.addresses.addAddress(host.eth0, "10.9.0.11/24");
  assertEquals(host.routes.list(), [
    { to: "10.9.0.0/24", dev: "eth0", protocol: "kernel", scope: "link", src: "10.9.0.1" },
  ]);
  // The net address itself is no broadcast. A secondary prefers its primary as source.
  assertEquals(shown(host.routes.list(255)), [
    "10.9.0.1 local eth0 255 kernel host 10.9.0.1",
    "10.9.0.11 local eth0 255 kernel host 10.9.0.1",
    "10.9.0.255 broadcast eth0 255 kernel link 10.9.0.1",
    "127.0.0.0/8 local lo 255 kernel host 127.0.0.1",
    "127.0.0.1 local lo 255 kernel host 127.0.0.1",
    "127.255.255.255 broadcast lo 255 kernel link 127.0.0.1",
  ]);
});

Deno.test("the routes of an address go with it, and the routes that prefer it", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.addresses.addAddress(host.eth0, "10.8.0.1/24");
  assertEquals(host.routes.add({ to: "10.1.0.0/16", via: "10.8.0.254", src: "10.9.0.1" }), 0);
  assertEquals(host.routes.add({ to: "10.2.0.0/16", via: "10.8.0.254" }), 0);
  host.addresses.delAddress(host.eth0, "10.9.0.1/24");
  assertEquals(host.routes.list().map((r) => r.to), ["10.2.0.0/16", "10.8.0.0/24"]);
  // The last address of a device takes all its routes with it.
  host.addresses.delAddress(host.eth0, "10.8.0.1/24");
  assertEquals(host.routes.list(), []);
  assertEquals(host.routes.list(255).length, 3);
});

Deno.test("a device that goes down loses its routes and keeps its addresses; up brings back the addresses' routes", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.routes.add({ to: "default", via: "10.9.0.254" });
  host.eth0.close();
  assertEquals(host.routes.list(), []);
  assertEquals(out(host, "10.9.0.1"), "local lo src 10.9.0.1");
  assertEquals(out(host, "10.9.0.7"), `${-ERRNO.ENETUNREACH}`);
  host.eth0.open();
  assertEquals(host.routes.list().map((r) => r.to), ["10.9.0.0/24"]);
  host.net.unregisterNetdevice(host.eth0);
  assertEquals(out(host, "10.9.0.1"), `${-ERRNO.ENETUNREACH}`);
});

Deno.test("a gateway must be a neighbour: reached over a narrower route, or declared onlink", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  const { routes } = host;
  assertEquals(routes.add({ to: "10.1.0.0/16", via: "1.2.3.4" }), -ERRNO.ENETUNREACH);
  assertEquals(routes.add({ to: "10.1.0.0/16", via: "10.9.0.7", dev: "eth1" }), -ERRNO.ENETUNREACH);
  assertEquals(routes.add({ to: "10.1.0.0/16", via: "10.9.0.255" }), -ERRNO.EINVAL);
  assertEquals(routes.add({ to: "10.1.0.0/16", via: "10.9.0.7" }), 0);
  // A gateway behind a gateway is none.
  assertEquals(routes.add({ to: "10.2.0.0/16", via: "10.1.0.1" }), -ERRNO.ENETUNREACH);
  assertEquals(routes.add({ to: "10.2.0.0/16", via: "1.2.3.4", dev: "eth1", onlink: true }), 0);
  assertEquals(out(host, "10.2.0.1"), "unicast via 1.2.3.4 eth1 src 10.9.0.1");
});

Deno.test("what ip route refuses is refused with its errors", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  const { routes } = host;
  assertEquals(routes.add({ to: "10.1.0.1/16", dev: "eth0" }), -ERRNO.EINVAL);
  assertEquals(routes.add({ to: "10.1.0.0/16" }), -ERRNO.ENODEV);
  assertEquals(routes.add({ to: "10.1.0.0/16", dev: "eth7" }), -ERRNO.ENODEV);
  assertEquals(routes.add({ to: "10.1.0.0/16", dev: "eth0", src: "1.2.3.4" }), -ERRNO.EINVAL);
  assertEquals(routes.add({ to: "10.1.0.0/16", type: "blackhole", dev: "eth0" }), -ERRNO.EINVAL);
  assertEquals(routes.add({ to: "10.1.0.0/16", dev: "eth0", onlink: true }), -ERRNO.EINVAL);
  assertEquals(routes.add({ to: "10.1.0.0/16", type: "local", dev: "eth0", scope: "link" }), -ERRNO.EINVAL);
  host.eth1.close();
  assertEquals(routes.add({ to: "10.1.0.0/16", dev: "eth1" }), -ERRNO.ENETDOWN);
  assertEquals(routes.add({ to: "10.9.0.0/24", dev: "eth0" }), -ERRNO.EEXIST);
  assertEquals(routes.add({ to: "10.9.0.0/24", dev: "eth0", metric: 1 }), 0);
  assertEquals(routes.del({ to: "10.7.0.0/16" }), -ERRNO.ESRCH);
  assertEquals(routes.del({ to: "10.9.0.0/24", via: "10.9.0.7" }), -ERRNO.ESRCH);
});

Deno.test("the lower metric wins; without it the other takes over; del takes the best that matches", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  const { routes } = host;
  routes.add({ to: "default", via: "10.9.0.5", metric: 20 });
  routes.add({ to: "default", via: "10.9.0.4", metric: 10 });
  routes.add({ to: "default", via: "10.9.0.6", metric: 30 });
  assertEquals(out(host, "8.8.8.8"), "unicast via 10.9.0.4 eth0 src 10.9.0.1");
  assertEquals(routes.del({ to: "default", via: "10.9.0.6" }), 0);
  assertEquals(routes.del({ to: "default" }), 0);
  assertEquals(out(host, "8.8.8.8"), "unicast via 10.9.0.5 eth0 src 10.9.0.1");
});

Deno.test("routes that refuse: blackhole, unreachable, prohibit, throw", () => {
  using host = makeHost();
  const { routes } = host;
  routes.add({ to: "10.1.0.0/16", type: "blackhole" });
  routes.add({ to: "10.2.0.0/16", type: "unreachable" });
  routes.add({ to: "10.3.0.0/16", type: "prohibit" });
  routes.add({ to: "10.4.0.0/16", type: "throw" });
  assertEquals(out(host, "10.1.0.1"), `${-ERRNO.EINVAL}`);
  assertEquals(out(host, "10.2.0.1"), `${-ERRNO.EHOSTUNREACH}`);
  assertEquals(out(host, "10.3.0.1"), `${-ERRNO.EACCES}`);
  assertEquals(out(host, "10.4.0.1"), `${-ERRNO.ENETUNREACH}`);
  assertEquals(out(host, "10.5.0.1"), `${-ERRNO.ENETUNREACH}`);
  // Nothing and "throw" go on to the default table; the others are final.
  assertEquals(routes.add({ to: "default", dev: "eth0", table: 253 }), 0);
  assertEquals(out(host, "10.4.0.1"), "unicast eth0");
  assertEquals(out(host, "10.5.0.1"), "unicast eth0");
  assertEquals(out(host, "10.2.0.1"), `${-ERRNO.EHOSTUNREACH}`);
});

Deno.test("the longest prefix of main and local together wins; for one prefix local comes first", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  assertEquals(out(host, "127.5.0.1"), "local lo src 127.0.0.1");
  host.routes.add({ to: "127.5.0.0/16", dev: "eth0" });
  assertEquals(out(host, "127.5.0.1"), "unicast eth0 src 10.9.0.1");
  host.routes.add({ to: "10.9.0.1", type: "blackhole" });
  assertEquals(out(host, "10.9.0.1"), "local lo src 10.9.0.1");
});

Deno.test("a carrier that is away matters only with ignore_routes_with_linkdown", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.addresses.addAddress(host.eth1, "10.8.0.1/24");
  host.routes.add({ to: "default", via: "10.9.0.254", metric: 1 });
  host.routes.add({ to: "default", via: "10.8.0.254", metric: 2 });
  host.eth0.setCarrier(false);
  assertEquals(out(host, "8.8.8.8"), "unicast via 10.9.0.254 eth0 src 10.9.0.1");
  host.net.sysctl.set("net.ipv4.conf.eth0.ignore_routes_with_linkdown", 1);
  assertEquals(out(host, "8.8.8.8"), "unicast via 10.8.0.254 eth1 src 10.8.0.1");
  assertEquals(out(host, "10.9.0.1"), "local lo src 10.9.0.1");
  host.eth0.setCarrier(true);
  assertEquals(out(host, "8.8.8.8"), "unicast via 10.9.0.254 eth0 src 10.9.0.1");
});

Deno.test("a swapped fib keeps routes and ways, and listens on", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.routes.add({ to: "default", via: "10.9.0.254" });
  host.net.swap("fib", fib());
  assertEquals(out(host, "8.8.8.8"), "unicast via 10.9.0.254 eth0 src 10.9.0.1");
  host.addresses.addAddress(host.eth1, "10.8.0.1/24");
  assertEquals(out(host, "10.8.0.7"), "unicast eth1 src 10.8.0.1");
  assertEquals(out(host, "1.2.3.4", "9.9.9.9"), `${-ERRNO.ENETUNREACH}`);
});

Deno.test("routes come and go as in a linear scan, with devices asked for or not", () => {
  const lens = fc.constantFrom(0, 8, 12, 16, 20, 24, 27, 28, 32);
  const step = fc.record({
    add: fc.boolean(),
    addr: fc.integer({ min: 0, max: 0xffff }).map((x) => 0x14000000 | x << 4),
    len: lens,
    dev: fc.constantFrom("eth0", "eth1"),
    metric: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      using host = makeHost();
      const model: { to: string; dev: string; metric: number }[] = [];
      for (const s of steps) {
        const to = `${ipToString(s.addr & makeMask(s.len))}/${s.len}`;
        const at = model.findIndex((m) => m.to === to && m.metric === s.metric);
        if (s.add) {
          const err = host.routes.add({ to, dev: s.dev, metric: s.metric });
          assertEquals(err, at < 0 ? 0 : -ERRNO.EEXIST);
          if (at < 0) model.push({ to, dev: s.dev, metric: s.metric });
        } else if (at >= 0) {
          assertEquals(host.routes.del({ to, dev: model[at].dev, metric: s.metric }), 0);
          model.splice(at, 1);
        }
      }
      for (const s of steps) {
        for (const dev of ["", "eth0", "eth1"]) {
          const best = linear(model, s.addr, dev);
          const dst = host.routes.routeOutput(s.addr, 0, dev === "" ? 0 : host.net.device(dev)!.ifindex, 0);
          // With a device and without a route the destination is taken to be on its link.
          assertEquals(dst === null ? "" : dst.dev.name, best ?? dev);
        }
      }
    }),
    { seed: 2, numRuns: 60 },
  );
});

function linear(
  model: readonly { to: string; dev: string; metric: number }[],
  addr: number,
  dev: string,
): string | null {
  let best: { len: number; metric: number; dev: string } | null = null;
  for (const m of model) {
    const { addr: prefix, prefix: len } = needCidr(m.to, "route");
    if (((addr ^ prefix) & makeMask(len)) !== 0 || (dev !== "" && m.dev !== dev)) continue;
    if (best === null || len > best.len || (len === best.len && m.metric < best.metric)) best = { ...m, len };
  }
  return best === null ? null : best.dev;
}

Deno.test("[T8] the routing table gives next hop, device and source", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.addresses.addAddress(host.eth1, "192.168.7.1/24");
  host.routes.add({ to: "default", via: "10.9.0.254" });
  host.routes.add({ to: "172.16.0.0/12", via: "192.168.7.254" });
  host.routes.add({ to: "172.16.5.0/24", via: "10.9.0.253", src: "192.168.7.1" });
  assertEquals(out(host, "10.9.0.7"), "unicast eth0 src 10.9.0.1");
  assertEquals(out(host, "8.8.8.8"), "unicast via 10.9.0.254 eth0 src 10.9.0.1");
  assertEquals(out(host, "172.20.0.1"), "unicast via 192.168.7.254 eth1 src 192.168.7.1");
  assertEquals(out(host, "172.16.5.1"), "unicast via 10.9.0.253 eth0 src 192.168.7.1");
  assertEquals(way(host.routes.routeOutput(ip("10.9.0.255"), 0, 0, 0)!), "broadcast eth0 src 10.9.0.1");
});
