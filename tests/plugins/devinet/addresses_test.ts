/** Addresses of devices: order, primaries and secondaries, events, the choice of a source. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { ERRNO, Machine, type NetDevice } from "../../../core/mod.ts";
import {
  DEVINET,
  devinet,
  inDevGet,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
} from "../../../plugins/network/devinet/mod.ts";
import { AddrHash } from "../../../plugins/network/devinet/hash.ts";
import { Ifa } from "../../../plugins/network/devinet/table.ts";
import { ipToString } from "../../../plugins/network/inet/contract.ts";
import { type Host, ip, makeHost } from "../fib/host.ts";

/** `10.0.0.1/24`, with `s` for secondary, in the order of the list. */
function list(dev: NetDevice): string[] {
  return inDevGet(dev)!.ifaList.map((i) => `${ipToString(i.local)}/${i.prefix}${i.secondary ? " s" : ""}`);
}

const select = (host: Host, dev: NetDevice | null, dst: string, scope: number): string =>
  ipToString(host.addresses.selectAddr(dev, ip(dst), scope));

Deno.test("the first address of a subnet is primary, the others are secondary and stand behind", () => {
  using host = makeHost();
  const { addresses, eth0 } = host;
  for (const a of ["10.1.0.1/24", "10.1.0.2/24", "10.2.0.1/24", "10.1.0.3/24", "10.1.0.1/16"]) {
    assertEquals(addresses.addAddress(eth0, a), 0);
  }
  assertEquals(list(eth0), ["10.1.0.1/24", "10.2.0.1/24", "10.1.0.1/16", "10.1.0.2/24 s", "10.1.0.3/24 s"]);
  assertEquals(addresses.addAddress(eth0, "10.1.0.2/24"), -ERRNO.EEXIST);
  // Narrower scopes stand before wider ones; one subnet has one scope.
  assertEquals(addresses.addAddress(eth0, "10.3.0.1/24", { scope: RT_SCOPE_LINK }), 0);
  assertEquals(list(eth0)[0], "10.3.0.1/24");
  assertEquals(addresses.addAddress(eth0, "10.3.0.2/24"), -ERRNO.EINVAL);
});

Deno.test("without promote_secondaries the secondaries go with their primary", () => {
  using host = makeHost();
  const { addresses, eth0 } = host;
  for (const a of ["10.1.0.1/24", "10.1.0.2/24", "10.2.0.1/24", "10.1.0.3/24"]) addresses.addAddress(eth0, a);
  assertEquals(addresses.delAddress(eth0, "10.1.0.1/16"), -ERRNO.EADDRNOTAVAIL);
  assertEquals(addresses.delAddress(eth0, "10.1.0.1/24"), 0);
  assertEquals(list(eth0), ["10.2.0.1/24"]);
  assertEquals(addresses.devByAddr(ip("10.1.0.2")), null);
});

Deno.test("with promote_secondaries the first secondary takes over, routes and all", () => {
  using host = makeHost();
  const { addresses, eth0 } = host;
  host.net.sysctl.set("net.ipv4.conf.eth0.promote_secondaries", 1);
  for (const a of ["10.1.0.1/24", "10.1.0.2/24", "10.2.0.1/24", "10.1.0.3/24"]) addresses.addAddress(eth0, a);
  addresses.delAddress(eth0, "10.1.0.1/24");
  assertEquals(list(eth0), ["10.2.0.1/24", "10.1.0.2/24", "10.1.0.3/24 s"]);
  assertEquals(host.routes.list(255).filter((r) => r.to.startsWith("10.1.")).map((r) => `${r.to} ${r.src}`), [
    "10.1.0.2 10.1.0.2",
    "10.1.0.3 10.1.0.2",
    "10.1.0.255 10.1.0.2",
  ]);
});

Deno.test("listeners hear of every address that comes and goes, when it did", () => {
  using host = makeHost();
  const { addresses, eth0 } = host;
  const heard: string[] = [];
  using _on = addresses.chain.register((e) => {
    heard.push(`${e.kind} ${ipToString(e.ifa.local)} of ${list(eth0).length}`);
  });
  addresses.addAddress(eth0, "10.1.0.1/24");
  addresses.addAddress(eth0, "10.1.0.2/24");
  eth0.close();
  addresses.delAddress(eth0, "10.1.0.1/24");
  assertEquals(heard, [
    "NETDEV_UP 10.1.0.1 of 1",
    "NETDEV_UP 10.1.0.2 of 2",
    "NETDEV_DOWN 10.1.0.2 of 1",
    "NETDEV_DOWN 10.1.0.1 of 0",
  ]);
});

Deno.test("addresses stay when the device goes down, and go when it is unregistered", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.1.0.1/24");
  host.eth0.close();
  assertEquals(list(host.eth0), ["10.1.0.1/24"]);
  assertEquals(host.addresses.devByAddr(ip("10.1.0.1")), host.eth0);
  host.net.unregisterNetdevice(host.eth0);
  assertEquals(inDevGet(host.eth0), null);
  assertEquals(host.addresses.devByAddr(ip("10.1.0.1")), null);
  assertEquals(host.addresses.addAddress(host.eth0, "10.1.0.1/24"), -ERRNO.ENODEV);
});

Deno.test("a loopback device gets 127.0.0.1/8 when it comes up without an address", () => {
  using host = makeHost();
  assertEquals(list(host.lo), ["127.0.0.1/8"]);
  assertEquals(inDevGet(host.lo)!.ifaList[0].scope, RT_SCOPE_HOST);
  host.lo.close();
  host.lo.open();
  assertEquals(list(host.lo), ["127.0.0.1/8"]);
  host.addresses.delAddress(host.lo, "127.0.0.1");
  host.addresses.addAddress(host.lo, "10.0.0.1/32");
  host.lo.close();
  host.lo.open();
  assertEquals(list(host.lo), ["10.0.0.1/32"]);
});

Deno.test("peer and broadcast as ip addr has them", () => {
  using host = makeHost();
  const { addresses, eth0 } = host;
  addresses.addAddress(eth0, "192.168.1.1", { peer: "192.168.1.2/32" });
  addresses.addAddress(eth0, "10.1.0.1/24", { broadcast: "+" });
  addresses.addAddress(eth0, "10.2.0.1/31", { broadcast: "+" });
  assertEquals(
    inDevGet(eth0)!.ifaList.map((i) => [ipToString(i.peer), i.prefix, ipToString(i.broadcast)].join(" ")),
    ["192.168.1.2 32 0.0.0.0", "10.1.0.1 24 10.1.0.255", "10.2.0.1 31 0.0.0.0"],
  );
  assertEquals(addresses.delAddress(eth0, "192.168.1.1", "192.168.1.9"), -ERRNO.EADDRNOTAVAIL);
  assertEquals(addresses.delAddress(eth0, "192.168.1.1", "192.168.1.2"), 0);
});

Deno.test("the source is the address of the destination's subnet, else the first primary, else another device's", () => {
  using host = makeHost();
  const { addresses, eth0, eth1 } = host;
  addresses.addAddress(eth0, "10.1.0.1/24");
  addresses.addAddress(eth0, "10.1.0.2/24");
  addresses.addAddress(eth0, "10.2.0.1/24");
  assertEquals(select(host, eth0, "10.2.0.9", RT_SCOPE_UNIVERSE), "10.2.0.1");
  assertEquals(select(host, eth0, "10.1.0.9", RT_SCOPE_UNIVERSE), "10.1.0.1");
  assertEquals(select(host, eth0, "8.8.8.8", RT_SCOPE_UNIVERSE), "10.1.0.1");
  assertEquals(select(host, eth0, "0.0.0.0", RT_SCOPE_UNIVERSE), "10.1.0.1");
  assertEquals(select(host, eth1, "8.8.8.8", RT_SCOPE_UNIVERSE), "10.1.0.1");
  assertEquals(select(host, null, "8.8.8.8", RT_SCOPE_UNIVERSE), "10.1.0.1");
});

Deno.test("an address is no source for a scope that is wider than its own", () => {
  using host = makeHost();
  const { addresses, eth0, eth1, lo } = host;
  addresses.addAddress(eth1, "169.254.1.1/16", { scope: RT_SCOPE_LINK });
  assertEquals(select(host, eth1, "0.0.0.0", RT_SCOPE_UNIVERSE), "0.0.0.0");
  assertEquals(select(host, eth1, "0.0.0.0", RT_SCOPE_LINK), "169.254.1.1");
  // One of link scope serves no other device.
  assertEquals(select(host, eth0, "0.0.0.0", RT_SCOPE_LINK), "0.0.0.0");
  assertEquals(select(host, lo, "0.0.0.0", RT_SCOPE_HOST), "127.0.0.1");
  assertEquals(select(host, lo, "0.0.0.0", RT_SCOPE_LINK), "0.0.0.0");
});

Deno.test("the device of an address: the latest of several; all of a loopback's subnet", () => {
  using host = makeHost();
  const { addresses, eth0, eth1, lo } = host;
  addresses.addAddress(eth0, "10.1.0.1/24");
  addresses.addAddress(eth1, "10.1.0.1/24");
  assertEquals(addresses.devByAddr(ip("10.1.0.1")), eth1);
  addresses.delAddress(eth1, "10.1.0.1/24");
  assertEquals(addresses.devByAddr(ip("10.1.0.1")), eth0);
  assertEquals(addresses.devByAddr(ip("127.8.9.10")), lo);
  assertEquals(addresses.devByAddr(ip("10.1.0.2")), null);
  assertEquals(addresses.onlink(eth0, ip("10.1.0.77")), true);
  assertEquals(addresses.onlink(eth1, ip("10.1.0.77")), false);
});

Deno.test("the hash of addresses is a set, whatever comes and goes", () => {
  using machine = new Machine();
  const dev = machine.createNet().registerNetdev("eth0", { startXmit: (skb) => (skb.consume(), 0) });
  const step = fc.record({ add: fc.boolean(), addr: fc.integer({ min: 0, max: 40 }), at: fc.nat() });
  fc.assert(
    fc.property(fc.integer(), fc.array(step, { maxLength: 300 }), (secret, steps) => {
      const hash = new AddrHash(secret);
      const model: Ifa[] = [];
      let seq = 0;
      for (const s of steps) {
        if (s.add || model.length === 0) {
          const ifa = new Ifa(dev, s.addr, s.addr, 24, 0, 0, seq++);
          hash.add(ifa);
          model.push(ifa);
        } else hash.remove(model.splice(s.at % model.length, 1)[0]);
      }
      assertEquals(hash.size, model.length);
      for (let a = 0; a <= 41; a++) assertEquals(hash.find(a), model.findLast((i) => i.local === a) ?? null);
    }),
    { seed: 3, numRuns: 100 },
  );
});

Deno.test("devices and addresses survive a swap of the plugin", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.1.0.1/24");
  host.net.sysctl.set("net.ipv4.conf.eth0.rp_filter", 1);
  host.net.swap("devinet", devinet());
  assertEquals(list(host.eth0), ["10.1.0.1/24"]);
  assertEquals(host.net.sysctl.get("net.ipv4.conf.eth0.rp_filter"), 1);
  assertEquals(host.net.get(DEVINET).addAddress(host.eth0, "10.2.0.1/24"), 0);
  assertEquals(host.routes.list().map((r) => r.to), ["10.1.0.0/24", "10.2.0.0/24"]);
});
