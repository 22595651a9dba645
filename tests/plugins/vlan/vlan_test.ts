import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHost, type Host } from "../../../mod.ts";
import { type Nic, nic, type Wire, wire } from "../../../plugins/device/nic/mod.ts";
import { vlan, vlanDevice } from "../../../plugins/link/vlan/mod.ts";
import { TestMachine } from "../../support/hosts.ts";
import { arp, eth, vlan as tag } from "../../support/frames/build.ts";

interface Bed extends Disposable {
  machine: TestMachine;
  cable: Wire;
  a: Host;
  b: Host;
  nics: Nic[];
}

function bed(): Bed {
  const machine = new TestMachine();
  const cable = wire(machine);
  const [a, b] = ["a", "b"].map((name) => createHost({ machine, name, plugins: [vlan()] }));
  const nics = [a, b].map((h, i) => nic(h.net, "eth0", { wire: cable, address: `02:00:00:00:00:0${i + 1}` }));
  for (const n of nics) n.dev.open();
  return { machine, cable, a, b, nics, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

/** `ping` while virtual time is moved by hand. */
async function ping(t: Bed, from: Host, to: string, size = 56): Promise<string> {
  const reply = from.ping(to, { size }).then((r) => `ttl ${r.ttl}, ${r.bytes} bytes`, (e: Error) => e.name);
  for (let i = 0; i < 40; i++) {
    t.machine.advance(50e6);
    await Promise.resolve();
  }
  return await reply;
}

Deno.test("vlan: two hosts talk over one VLAN of their wire, and not across VLANs", async () => {
  using t = bed();
  for (const [i, h] of [t.a, t.b].entries()) {
    for (const id of [10, 20]) {
      vlanDevice(h.net, `eth0.${id}`, "eth0", { id });
      h.addr.add(`eth0.${id}`, `10.0.${id}.${i + 1}/24`);
    }
  }
  assertEquals(await ping(t, t.a, "10.0.10.2"), "ttl 64, 56 bytes");
  assertEquals(await ping(t, t.a, "10.0.20.2", 3000), "ttl 64, 3000 bytes");
  const s = t.b.link.get("eth0.10").stats;
  assert(s.rxPackets >= 2 && s.txPackets >= 2 && s.rxBytes > 0);
  // The other's address in a VLAN that it does not have there.
  t.b.link.del("eth0.20");
  assertEquals(await ping(t, t.a, "10.0.20.2") === "ttl 64, 56 bytes", false);
  assert(t.b.net.dropped("VLAN_UNKNOWN") > 0);
});

Deno.test("vlan: the frame on the wire has the tag, the tap of the VLAN device sees it without", () => {
  using t = bed();
  const seen: string[] = [];
  vlanDevice(t.a.net, "v5", "eth0", { id: 5, egress: { 0: 3 } });
  vlanDevice(t.b.net, "v5", "eth0", { id: 5, ingress: { 3: 6 } });
  const hex = (bytes: Uint8Array): string => [...bytes].map((x) => x.toString(16).padStart(2, "0")).join("");
  using _a = t.b.net.device("eth0")!.addTap((skb) => {
    seen.push(`eth0 ${hex(skb.bytes.subarray(skb.macHeader, skb.macHeader + 18))}`);
  });
  using _b = t.b.net.device("v5")!.addTap((skb) => {
    seen.push(`v5 ${hex(skb.bytes.subarray(skb.macHeader, skb.data))} priority ${skb.priority}`);
  });
  t.a.addr.add("v5", "10.5.0.1/24");
  t.b.link.up("v5");
  const request = arp({ op: 1, sha: "02:00:00:00:00:01", spa: "10.5.0.1", tha: "00:00:00:00:00:00", tpa: "10.5.0.2" });
  t.nics[1].dev.receive(
    eth(
      { dst: "ff:ff:ff:ff:ff:ff", src: "02:00:00:00:00:01", type: 0x8100 },
      tag({ id: 5, priority: 3, type: 0x0806 }, request),
    ),
  );
  assertEquals(seen.slice(-2), [
    "eth0 ffffffffffff020000000001810060050806".slice(0, 41),
    "v5 ffffffffffff0200000000010806 priority 6",
  ]);
});

Deno.test("vlan: 802.1ad outside, 802.1Q inside", async () => {
  using t = bed();
  for (const [i, h] of [t.a, t.b].entries()) {
    vlanDevice(h.net, "outer", "eth0", { id: 100, protocol: "802.1ad" });
    vlanDevice(h.net, "inner", "outer", { id: 7 });
    h.addr.add("inner", `10.7.0.${i + 1}/24`);
  }
  assertEquals(await ping(t, t.a, "10.7.0.2"), "ttl 64, 56 bytes");
});

Deno.test("[A62] vlan: a tag that is cut, of an unknown id, or nested without end is dropped with its reason", () => {
  using t = bed();
  vlanDevice(t.b.net, "v5", "eth0", { id: 5 });
  t.b.link.up("v5");
  const inject = (payload: Uint8Array | number[]): void => {
    t.nics[1].dev.receive(eth({ dst: "02:00:00:00:00:02", src: "02:00:00:00:00:01", type: 0x8100 }, payload));
  };
  inject([0, 5]); // half a tag
  inject(tag({ id: 6, type: 0x0800 }, new Uint8Array(46)));
  let deep: Uint8Array = new Uint8Array(46);
  for (let i = 0; i < 100; i++) deep = tag({ id: 5, type: i === 0 ? 0x0800 : 0x8100 }, deep);
  inject(deep);
  const drops = t.b.net.dropTable();
  assertEquals(Object.values(drops).reduce((sum, n) => sum + n, 0), 3);
  assertEquals(drops["VLAN_UNKNOWN"], 2);
});

Deno.test("vlan: carrier, MTU and end follow the device below; a bad id and one that is taken are refused", () => {
  using t = bed();
  const v = vlanDevice(t.a.net, "v5", "eth0", { id: 5 });
  t.cable.setUp(false);
  assertEquals(v.carrier, false);
  t.cable.setUp(true);
  assertEquals(v.carrier, true);
  t.a.link.set("eth0", { mtu: 1000 });
  assertEquals(v.mtu, 1000);
  assertThrows(() => vlanDevice(t.a.net, "v6", "eth0", { id: 5 }), TypeError, "v5 has id 5 on eth0 already");
  assertThrows(() => vlanDevice(t.a.net, "v6", "eth0", { id: 4095 }), RangeError, "1 to 4094");
  assertThrows(() => vlanDevice(t.a.net, "v6", "eth9", { id: 6 }), TypeError, "there is no device eth9");
  t.a.link.del("eth0");
  assertEquals(t.a.net.device("v5"), undefined);
});
