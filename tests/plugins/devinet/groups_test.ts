/** Multicast groups of devices. */
import { assertEquals } from "@std/assert";
import { ERRNO } from "../../../core/mod.ts";
import { IGMP_ALL_HOSTS, inDevGet } from "../../../plugins/network/devinet/mod.ts";
import { ip, makeHost } from "../fib/host.ts";

/** 01:00:5e and 23 bits, as core keeps it. */
const mac = (low: number): number => 0x0100 * 2 ** 32 + (0x5e000000 | low);

Deno.test("a device that is up is in 224.0.0.1, and its filter lets the group's frames in", () => {
  using host = makeHost();
  assertEquals([...inDevGet(host.eth0)!.mcList], [[IGMP_ALL_HOSTS, 1]]);
  assertEquals([...host.eth0.mcast], [[mac(1), 1]]);
  // A loopback has no addresses to filter.
  assertEquals([...inDevGet(host.lo)!.mcList.keys()], [IGMP_ALL_HOSTS]);
  assertEquals(host.lo.mcast.size, 0);
  host.eth0.close();
  assertEquals([inDevGet(host.eth0)!.mcList.size, host.eth0.mcast.size], [0, 0]);
});

Deno.test("users of a group are counted; two groups may share a link address", () => {
  using host = makeHost();
  const { addresses, eth0 } = host;
  const group = ip("239.129.2.3");
  assertEquals(addresses.joinGroup(eth0, group), 0);
  assertEquals(addresses.joinGroup(eth0, group), 0);
  assertEquals(addresses.joinGroup(eth0, ip("224.1.2.3")), 0);
  assertEquals(eth0.mcast.get(mac(0x010203)), 2);
  addresses.leaveGroup(eth0, group);
  assertEquals(inDevGet(eth0)!.mcList.get(group), 1);
  addresses.leaveGroup(eth0, group);
  assertEquals(inDevGet(eth0)!.mcList.has(group), false);
  assertEquals(eth0.mcast.get(mac(0x010203)), 1);
  assertEquals(addresses.leaveGroup(eth0, group), -ERRNO.EADDRNOTAVAIL);
  assertEquals(addresses.joinGroup(eth0, ip("10.0.0.1")), -ERRNO.EINVAL);
});

Deno.test("groups stay joined while the device is down; its filter is told again when it comes up", () => {
  using host = makeHost();
  const { addresses, eth0 } = host;
  eth0.close();
  addresses.joinGroup(eth0, ip("239.1.2.3"));
  assertEquals(eth0.mcast.size, 0);
  eth0.open();
  assertEquals([...eth0.mcast.keys()].sort(), [mac(1), mac(0x010203)].sort());
  host.net.unregisterNetdevice(eth0);
  assertEquals(eth0.mcast.size, 0);
});
