/** net.ipv4.conf.*: how all, default and the device play together; observed on Linux 6.18. */
import { assertEquals, assertThrows } from "@std/assert";
import { inDevGet } from "../../../plugins/network/devinet/mod.ts";
import { setForwarding } from "../../../plugins/network/devinet/contract.ts";
import { type Host, makeHost } from "../fib/host.ts";

const conf = (host: Host) => inDevGet(host.eth0)!.conf;

/** The field for the values 0 and 1 of all and of the device. */
function table(host: Host, name: string, field: keyof ReturnType<typeof conf>): string {
  const out: number[] = [];
  for (const all of [0, 1]) {
    for (const dev of [0, 1]) {
      host.net.sysctl.set(`net.ipv4.conf.all.${name}`, all);
      host.net.sysctl.set(`net.ipv4.conf.eth0.${name}`, dev);
      out.push(conf(host)[field]);
    }
  }
  return out.join("");
}

Deno.test("either is enough, both are needed, the larger counts, or the device alone", () => {
  using host = makeHost();
  assertEquals(table(host, "accept_local", "acceptLocal"), "0111");
  assertEquals(table(host, "route_localnet", "routeLocalnet"), "0111");
  assertEquals(table(host, "log_martians", "logMartians"), "0111");
  assertEquals(table(host, "send_redirects", "sendRedirects"), "0111");
  assertEquals(table(host, "proxy_arp", "proxyArp"), "0111");
  assertEquals(table(host, "arp_filter", "arpFilter"), "0111");
  assertEquals(table(host, "drop_unicast_in_l2_multicast", "dropUnicastInL2Multicast"), "0111");
  assertEquals(table(host, "promote_secondaries", "promoteSecondaries"), "0111");
  assertEquals(table(host, "shared_media", "sharedMedia"), "0111");
  assertEquals(table(host, "accept_source_route", "acceptSourceRoute"), "0001");
  assertEquals(table(host, "bc_forwarding", "bcForwarding"), "0001");
  assertEquals(table(host, "ignore_routes_with_linkdown", "ignoreRoutesWithLinkdown"), "0101");
  for (const [name, field] of [["rp_filter", "rpFilter"], ["arp_ignore", "arpIgnore"]] as const) {
    host.net.sysctl.set(`net.ipv4.conf.all.${name}`, 1);
    host.net.sysctl.set(`net.ipv4.conf.eth0.${name}`, 2);
    assertEquals(conf(host)[field], 2);
    host.net.sysctl.set(`net.ipv4.conf.eth0.${name}`, 0);
    assertEquals(conf(host)[field], 1);
  }
});

Deno.test("a host believes redirects where all or the device says so, a router where both do", () => {
  using host = makeHost();
  assertEquals(table(host, "accept_redirects", "acceptRedirects"), "0111");
  host.net.sysctl.set("net.ipv4.conf.eth0.forwarding", 1);
  assertEquals(table(host, "accept_redirects", "acceptRedirects"), "0001");
});

Deno.test("defaults are Linux's", () => {
  using host = makeHost();
  const c = conf(host);
  assertEquals([c.forwarding, c.rpFilter, c.acceptLocal, c.routeLocalnet, c.logMartians], [0, 0, 0, 0, 0]);
  assertEquals([c.acceptRedirects, c.sendRedirects, c.sharedMedia, c.secureRedirects], [1, 1, 1, 1]);
  assertEquals([c.arpIgnore, c.arpAnnounce, c.arpAccept, c.arpNotify, c.arpFilter, c.proxyArp], [0, 0, 0, 0, 0, 0]);
  assertEquals([c.acceptSourceRoute, c.arpEvictNocarrier], [0, 1]);
  assertEquals(host.net.sysctl.get("net.ipv4.conf.default.accept_source_route"), 1);
});

Deno.test("ip_forward sets every device, those to come, and stops redirects from being believed", () => {
  using host = makeHost();
  setForwarding(host.net, true);
  assertEquals(host.net.sysctl.get("net.ipv4.conf.eth0.forwarding"), 1);
  assertEquals(host.net.sysctl.get("net.ipv4.conf.default.forwarding"), 1);
  assertEquals(host.net.sysctl.get("net.ipv4.conf.all.accept_redirects"), 0);
  assertEquals(host.net.sysctl.get("net.ipv4.conf.eth0.accept_redirects"), 1);
  const eth2 = host.net.registerNetdev("eth2", { startXmit: (skb) => (skb.consume(), 0) });
  assertEquals(inDevGet(eth2)!.conf.forwarding, 1);
  host.net.sysctl.set("net.ipv4.conf.eth2.forwarding", 0);
  assertEquals([conf(host).forwarding, inDevGet(eth2)!.conf.forwarding], [1, 0]);
  host.net.sysctl.set("net.ipv4.conf.all.forwarding", 0);
  assertEquals([conf(host).forwarding, host.net.sysctl.get("net.ipv4.ip_forward")], [0, 0]);
});

Deno.test("default reaches the devices that were not set by hand; default.forwarding only those to come", () => {
  using host = makeHost();
  const { sysctl } = host.net;
  sysctl.set("net.ipv4.conf.default.rp_filter", 2);
  assertEquals(sysctl.get("net.ipv4.conf.eth0.rp_filter"), 2);
  sysctl.set("net.ipv4.conf.eth0.rp_filter", 1);
  sysctl.set("net.ipv4.conf.default.rp_filter", 0);
  assertEquals([sysctl.get("net.ipv4.conf.eth0.rp_filter"), sysctl.get("net.ipv4.conf.eth1.rp_filter")], [1, 0]);
  sysctl.set("net.ipv4.conf.default.forwarding", 1);
  assertEquals(sysctl.get("net.ipv4.conf.eth0.forwarding"), 0);
});

Deno.test("names that are not there are refused, all others are listed", () => {
  using host = makeHost();
  assertThrows(() => host.net.sysctl.set("net.ipv4.conf.eth7.rp_filter", 1), TypeError);
  assertThrows(() => host.net.sysctl.set("net.ipv4.conf.eth0.rp_filtre", 1), TypeError);
  const names = host.net.sysctl.list();
  for (const name of ["net.ipv4.conf.all.rp_filter", "net.ipv4.conf.eth1.arp_notify", "net.ipv4.ip_forward"]) {
    assertEquals(names.includes(name), true, name);
  }
  const seen: string[] = [];
  using _on = host.addresses.confChain.register((e) => void seen.push(`${e.dev?.name ?? "*"} ${e.name}`));
  host.net.sysctl.set("net.ipv4.conf.eth0.rp_filter", 1);
  host.net.sysctl.set("net.ipv4.ip_forward", 1);
  assertEquals(seen, ["eth0 rp_filter", "* forwarding"]);
});
