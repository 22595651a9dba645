/** The way of our own packets: sources, devices, groups, ourselves. */
import { assertEquals } from "@std/assert";
import { ERRNO, Machine } from "../../../core/mod.ts";
import { DEVINET, devinet, RT_SCOPE_LINK } from "../../../plugins/network/devinet/mod.ts";
import { FIB, fib, RTN_BROADCAST, RTN_LOCAL, RTN_MULTICAST, RTN_UNICAST } from "../../../plugins/network/fib/mod.ts";
import { ip, makeHost, out } from "./host.ts";

Deno.test("a source must be ours and fit the device", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.addresses.addAddress(host.eth1, "10.10.0.1/24");
  assertEquals(out(host, "10.9.0.7", "10.10.0.1"), "unicast eth0 src 10.9.0.1");
  assertEquals(out(host, "10.9.0.7", "9.9.9.9"), `${-ERRNO.ENETUNREACH}`);
  assertEquals(out(host, "10.9.0.7", "224.0.0.1"), `${-ERRNO.EINVAL}`);
  assertEquals(out(host, "10.9.0.7", "255.255.255.255"), `${-ERRNO.EINVAL}`);
  assertEquals(out(host, "10.9.0.7", "127.0.0.1"), `${-ERRNO.EINVAL}`);
  assertEquals(out(host, "10.9.0.1", "127.0.0.1"), "local lo src 10.9.0.1");
  host.net.sysctl.set("net.ipv4.conf.eth0.route_localnet", 1);
  assertEquals(out(host, "10.9.0.7", "127.0.0.1"), "unicast eth0 src 10.9.0.1");
});

Deno.test("a device that is asked for wins over tables that know nothing", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.routes.add({ to: "10.2.0.0/16", type: "unreachable" });
  assertEquals(out(host, "8.8.8.8", "0.0.0.0", host.eth1), "unicast eth1 src 10.9.0.1");
  assertEquals(out(host, "10.2.0.1", "0.0.0.0", host.eth1), "unicast eth1 src 10.9.0.1");
  assertEquals(out(host, "10.9.0.7", "0.0.0.0", host.eth0), "unicast eth0 src 10.9.0.1");
  assertEquals(out(host, "10.9.0.1", "0.0.0.0", host.eth0), "local lo src 10.9.0.1");
  host.eth1.close();
  assertEquals(out(host, "8.8.8.8", "0.0.0.0", host.eth1), `${-ERRNO.ENETUNREACH}`);
  assertEquals(host.routes.routeOutput(ip("8.8.8.8"), 0, 99, 0), null);
  assertEquals(host.routes.errno, -ERRNO.ENODEV);
});

Deno.test("groups and 255.255.255.255 go where source, device or default route say, without a gateway", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.addresses.addAddress(host.eth1, "10.10.0.1/24");
  assertEquals(out(host, "239.1.2.3"), `${-ERRNO.ENETUNREACH}`);
  assertEquals(out(host, "239.1.2.3", "10.10.0.1"), "multicast eth1 src 10.10.0.1");
  assertEquals(out(host, "239.1.2.3", "0.0.0.0", host.eth1), "multicast eth1 src 10.10.0.1");
  assertEquals(out(host, "255.255.255.255", "0.0.0.0", host.eth1), "broadcast eth1 src 10.10.0.1");
  host.routes.add({ to: "default", via: "10.9.0.254" });
  assertEquals(out(host, "239.1.2.3"), "multicast eth0 src 10.9.0.1");
  assertEquals(out(host, "255.255.255.255"), "broadcast eth0 src 10.9.0.1");
  host.routes.add({ to: "224.0.0.0/4", via: "10.10.0.254" });
  assertEquals(out(host, "239.1.2.3"), "multicast via 10.10.0.254 eth1 src 10.10.0.1");
});

Deno.test("0.0.0.0 is this host", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  assertEquals(out(host, "0.0.0.0"), "local lo src 127.0.0.1");
  assertEquals(out(host, "0.0.0.0", "10.9.0.1"), "local lo src 10.9.0.1");
  assertEquals(out(host, "0.0.0.0", "0.0.0.0", host.eth0), "local lo src 10.9.0.1");
});

Deno.test("a local prefix of its own answers from the address that was asked", () => {
  using host = makeHost();
  host.routes.add({ to: "5.5.0.0/16", type: "local", dev: "lo" });
  assertEquals(out(host, "5.5.1.2"), "local lo src 5.5.1.2");
  assertEquals(out(host, "5.5.1.3"), "local lo src 5.5.1.3");
  assertEquals(out(host, "127.0.0.1", "5.5.1.2"), "local lo src 127.0.0.1");
});

Deno.test("a source of link scope serves its own link alone", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "169.254.1.1/16", { scope: RT_SCOPE_LINK });
  host.routes.add({ to: "10.0.0.0/8", dev: "eth1" });
  assertEquals(out(host, "169.254.9.9"), "unicast eth0 src 169.254.1.1");
  assertEquals(out(host, "10.1.1.1"), "unicast eth1");
});

Deno.test("types of addresses", () => {
  using host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  const type = (text: string): number => host.routes.addrType(ip(text));
  assertEquals(type("10.9.0.1"), RTN_LOCAL);
  assertEquals(type("127.3.2.1"), RTN_LOCAL);
  assertEquals(type("10.9.0.255"), RTN_BROADCAST);
  assertEquals(type("255.255.255.255"), RTN_BROADCAST);
  assertEquals(type("0.0.0.0"), RTN_BROADCAST);
  assertEquals(type("224.0.0.1"), RTN_MULTICAST);
  assertEquals(type("10.9.0.7"), RTN_UNICAST);
  assertEquals(type("8.8.8.8"), RTN_UNICAST);
  assertEquals(host.routes.devAddrType(host.eth0, ip("10.9.0.1")), RTN_LOCAL);
  assertEquals(host.routes.devAddrType(host.eth1, ip("10.9.0.1")), RTN_UNICAST);
});

Deno.test("a plugin that comes late finds the devices and addresses that are there", () => {
  using machine = new Machine({ debug: true, strict: true });
  const net = machine.createNet();
  const eth0 = net.registerNetdev("eth0", { startXmit: (skb) => (skb.consume(), 0) });
  net.use(devinet());
  net.get(DEVINET).addAddress(eth0, "10.9.0.1/24");
  net.use(fib());
  assertEquals(net.get(FIB).list().map((r) => r.to), ["10.9.0.0/24"]);
  assertEquals(machine.skbs.faults(), []);
});
