/** A switch passes on super-packets of a host, and cuts them where the port cannot take them. */
import { assert, assertEquals } from "@std/assert";
import { createHost, createNet } from "../../../mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { vethPair } from "../../../plugins/device/veth/mod.ts";
import { bridge, bridgeDevice } from "../../../plugins/link/bridge/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { TestMachine } from "../../support/hosts.ts";
import { assertNothingLeft, tcpConnection } from "../../support/tcp.ts";

Deno.test("a switch without IP cuts the super-packets of a veth for a port that has no segmentation: none is lost", () => {
  using machine = new TestMachine({ slabBytes: 64 << 20 });
  const sw = createNet({ machine, name: "sw", plugins: [ethernet(), bridge()] });
  const [a, b] = ["a", "b"].map((name) => createHost({ machine, name }));
  const pair = vethPair(sw, "a", a.net, "eth0", { offloads: true });
  const cable = wire(machine, { delayNs: 100_000 });
  nic(b.net, "eth0", { wire: cable, rxRing: 1024 });
  nic(sw, "b", { wire: cable, txRing: 1024 });
  pair.a.open();
  bridgeDevice(sw, "br0", { ports: ["a", "b"] });
  a.addr.add("eth0", "10.0.0.1/24");
  b.addr.add("eth0", "10.0.0.2/24");
  machine.advance(1e9);
  const { client, server } = tcpConnection(machine, a, b, { address: "10.0.0.2" });
  let largest = 0;
  using _tap = pair.a.addTap((skb, _dev, outgoing) => {
    if (!outgoing) largest = Math.max(largest, skb.len);
  });
  server.run(0);
  client.run(2_000_000);
  machine.advance(60e9);
  assertEquals([server.received, server.eof], [2_000_000, true]);
  assert(largest > 20_000, `super-packets came to the switch: ${largest} bytes`);
  assertEquals([sw.dropped("SKB_GSO_SEG"), pair.a.stats.txDropped], [0, 0]);
  client.close();
  server.close();
  assertNothingLeft(machine, [a, b]);
});
