/** The way of received packets: ours, others', nobody's; and where they may come from. */
import { assertEquals } from "@std/assert";
import { type Host, makeHost, receive } from "./host.ts";

function twoNets(): Host {
  const host = makeHost();
  host.addresses.addAddress(host.eth0, "10.9.0.1/24");
  host.addresses.addAddress(host.eth0, "10.9.0.11/24");
  host.addresses.addAddress(host.eth1, "10.10.0.1/24");
  return host;
}

Deno.test("[R17] what is for one of our addresses is delivered, whichever device it came by", () => {
  using host = twoNets();
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.9.0.1"), "local lo");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.9.0.11"), "local lo");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.10.0.1"), "local lo");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.9.0.255"), "broadcast eth0");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.10.0.255"), "broadcast eth0");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "255.255.255.255"), "broadcast eth0");
  assertEquals(receive(host, host.eth0, "0.0.0.0", "255.255.255.255"), "broadcast eth0");
});

Deno.test("[R17] [R18] what is for another host is forwarded, or refused by a host that does not forward", () => {
  using host = twoNets();
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.10.0.9"), "IP_INADDRERRORS");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "8.8.8.8"), "IP_INADDRERRORS");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.9.0.0"), "IP_INADDRERRORS");
  host.net.sysctl.set("net.ipv4.ip_forward", 1);
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.10.0.9"), "unicast eth1 forward");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "8.8.8.8"), "IP_INNOROUTES");
  host.routes.add({ to: "default", via: "10.10.0.254" });
  assertEquals(receive(host, host.eth0, "10.9.0.7", "8.8.8.8"), "unicast via 10.10.0.254 eth1 forward");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "240.1.2.3"), "unicast via 10.10.0.254 eth1 forward");
  // Of one device alone.
  host.net.sysctl.set("net.ipv4.conf.eth0.forwarding", 0);
  assertEquals(receive(host, host.eth0, "10.9.0.7", "8.8.8.8"), "IP_INADDRERRORS");
});

Deno.test("[R18] routes that refuse give a way that says how; a throw is no route", () => {
  using host = twoNets();
  const { routes } = host;
  routes.add({ to: "10.1.0.0/16", type: "blackhole" });
  routes.add({ to: "10.2.0.0/16", type: "unreachable" });
  routes.add({ to: "10.3.0.0/16", type: "prohibit" });
  routes.add({ to: "10.4.0.0/16", type: "throw" });
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.2.0.1"), "IP_INADDRERRORS");
  host.net.sysctl.set("net.ipv4.ip_forward", 1);
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.1.0.1"), "blackhole eth0");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.2.0.1"), "unreachable eth0");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.3.0.1"), "prohibit eth0");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.4.0.1"), "IP_INNOROUTES");
});

Deno.test("[A8] sources that are nobody's are refused", () => {
  using host = twoNets();
  host.net.sysctl.set("net.ipv4.ip_forward", 1);
  for (const to of ["10.9.0.1", "10.10.0.9", "10.9.0.255", "255.255.255.255", "224.0.0.1"]) {
    assertEquals(receive(host, host.eth0, "224.1.2.3", to), "IP_INVALID_SOURCE", to);
    assertEquals(receive(host, host.eth0, "255.255.255.255", to), "IP_INVALID_SOURCE", to);
    assertEquals(receive(host, host.eth0, "10.10.0.1", to), "IP_LOCAL_SOURCE", to);
  }
  assertEquals(receive(host, host.eth0, "0.0.0.0", "10.9.0.1"), "IP_INVALID_SOURCE");
  assertEquals(receive(host, host.eth0, "127.0.0.1", "10.9.0.1"), "IP_LOCALNET");
  assertEquals(receive(host, host.eth0, "127.0.0.1", "224.0.0.1"), "IP_LOCALNET");
  // What Linux takes: the rest of 0/8, class E, a subnet's broadcast.
  for (const from of ["0.0.0.5", "0.1.2.3", "240.1.2.3", "169.254.1.1", "10.9.0.255"]) {
    assertEquals(receive(host, host.eth0, from, "10.9.0.1"), "local lo", from);
  }
});

Deno.test("[A8] destinations that are nobody's are refused", () => {
  using host = twoNets();
  assertEquals(receive(host, host.eth0, "10.9.0.7", "0.0.0.0"), "IP_INVALID_DEST");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "127.0.0.1"), "IP_LOCALNET");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "0.1.2.3"), "IP_INADDRERRORS");
  host.net.sysctl.set("net.ipv4.conf.eth0.route_localnet", 1);
  assertEquals(receive(host, host.eth0, "10.9.0.7", "127.0.0.1"), "local lo");
});

Deno.test("[A7] a packet from our own address is refused, LAND or not, unless accept_local", () => {
  using host = twoNets();
  for (const from of ["10.9.0.1", "10.9.0.11", "10.10.0.1"]) {
    assertEquals(receive(host, host.eth0, from, "10.9.0.1"), "IP_LOCAL_SOURCE");
  }
  host.net.sysctl.set("net.ipv4.conf.eth0.accept_local", 1);
  assertEquals(receive(host, host.eth0, "10.9.0.1", "10.9.0.1"), "local lo");
  assertEquals(receive(host, host.eth1, "10.9.0.1", "10.9.0.1"), "IP_LOCAL_SOURCE");
});

Deno.test("[A9] rp_filter 1 refuses what came by another device than the way back, 2 what has no way back", () => {
  using host = twoNets();
  assertEquals(receive(host, host.eth1, "10.9.0.7", "10.9.0.1"), "local lo");
  host.net.sysctl.set("net.ipv4.conf.eth1.rp_filter", 1);
  assertEquals(receive(host, host.eth1, "10.9.0.7", "10.9.0.1"), "IP_RPFILTER");
  assertEquals(receive(host, host.eth1, "10.10.0.7", "10.9.0.1"), "local lo");
  assertEquals(receive(host, host.eth1, "8.8.8.8", "10.9.0.1"), "IP_RPFILTER");
  host.net.sysctl.set("net.ipv4.conf.eth1.rp_filter", 2);
  assertEquals(receive(host, host.eth1, "10.9.0.7", "10.9.0.1"), "local lo");
  assertEquals(receive(host, host.eth1, "8.8.8.8", "10.9.0.1"), "IP_RPFILTER");
  host.routes.add({ to: "default", via: "10.9.0.254" });
  assertEquals(receive(host, host.eth1, "8.8.8.8", "10.9.0.1"), "local lo");
  // The larger of the value of the device and that of all counts.
  host.net.sysctl.set("net.ipv4.conf.eth1.rp_filter", 0);
  host.net.sysctl.set("net.ipv4.conf.all.rp_filter", 1);
  assertEquals(receive(host, host.eth1, "8.8.8.8", "10.9.0.1"), "IP_RPFILTER");
  assertEquals(receive(host, host.eth0, "8.8.8.8", "10.9.0.1"), "local lo");
});

Deno.test("validateSource says the same without a packet", () => {
  using host = twoNets();
  host.net.sysctl.set("net.ipv4.conf.eth1.rp_filter", 1);
  const check = (saddr: number): string =>
    host.machine.reasons.get(host.routes.validateSource(saddr, 0, 0, host.eth1)).name;
  assertEquals(check(0x0a090007), "IP_RPFILTER");
  assertEquals(check(0x0a0a0007), "NOT_DROPPED_YET");
  assertEquals(check(0x0a090001), "IP_LOCAL_SOURCE");
});

Deno.test("groups are heard only when joined", () => {
  using host = twoNets();
  assertEquals(receive(host, host.eth0, "10.9.0.7", "224.0.0.1"), "multicast eth0");
  assertEquals(receive(host, host.eth0, "10.9.0.7", "239.1.2.3"), "IP_INVALID_DEST");
  host.addresses.joinGroup(host.eth0, 0xef010203 | 0);
  assertEquals(receive(host, host.eth0, "10.9.0.7", "239.1.2.3"), "multicast eth0");
  assertEquals(receive(host, host.eth1, "10.10.0.7", "239.1.2.3"), "IP_INVALID_DEST");
  assertEquals(receive(host, host.eth0, "0.0.0.0", "224.0.0.1"), "multicast eth0");
  assertEquals(receive(host, host.eth0, "0.0.0.0", "239.1.2.3"), "IP_INVALID_SOURCE");
  host.addresses.leaveGroup(host.eth0, 0xef010203 | 0);
  assertEquals(receive(host, host.eth0, "10.9.0.7", "239.1.2.3"), "IP_INVALID_DEST");
});

Deno.test("a redirect is due when a neighbour's packet leaves by the device it came in by", () => {
  using host = twoNets();
  host.net.sysctl.set("net.ipv4.ip_forward", 1);
  host.routes.add({ to: "default", via: "10.9.0.254" });
  host.routes.add({ to: "172.16.0.0/16", via: "10.9.0.253" });
  assertEquals(receive(host, host.eth0, "10.9.0.7", "8.8.8.8"), "unicast via 10.9.0.254 eth0 forward redirect");
  // Not to a source that is itself behind a gateway, nor to the other device.
  assertEquals(receive(host, host.eth0, "172.16.0.7", "8.8.8.8"), "unicast via 10.9.0.254 eth0 forward");
  assertEquals(receive(host, host.eth1, "10.10.0.7", "8.8.8.8"), "unicast via 10.9.0.254 eth0 forward");
  host.net.sysctl.set("net.ipv4.conf.all.send_redirects", 0);
  host.net.sysctl.set("net.ipv4.conf.eth0.send_redirects", 0);
  assertEquals(receive(host, host.eth0, "10.9.0.7", "8.8.8.8"), "unicast via 10.9.0.254 eth0 forward");
});

Deno.test("broadcasts are forwarded only with bc_forwarding of the device and of all", () => {
  using host = twoNets();
  host.net.sysctl.set("net.ipv4.ip_forward", 1);
  host.net.sysctl.set("net.ipv4.conf.eth0.bc_forwarding", 1);
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.10.0.255"), "broadcast eth0");
  host.net.sysctl.set("net.ipv4.conf.all.bc_forwarding", 1);
  assertEquals(receive(host, host.eth0, "10.9.0.7", "10.10.0.255"), "unicast eth1 forward");
});
