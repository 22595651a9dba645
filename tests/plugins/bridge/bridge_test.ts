import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHost, createNet, type Host, type Net } from "../../../mod.ts";
import type { SkBuff } from "../../../core/mod.ts";
import { type Nic, nic, type Wire, wire } from "../../../plugins/device/nic/mod.ts";
import { type Bridge, bridge, bridgeDevice, type BridgeOptions } from "../../../plugins/link/bridge/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { TestMachine } from "../../support/hosts.ts";

interface Bed extends Disposable {
  machine: TestMachine;
  sw: Net;
  br: Bridge;
  hosts: Host[];
  wires: Wire[];
  /** Frames that left each port of the switch. */
  out: number[];
}

/** A switch with `n` hosts, 10.0.0.1 and so on, on its ports. */
function star(n: number, options: BridgeOptions = {}): Bed {
  const machine = new TestMachine();
  const sw = createNet({ machine, name: "sw", plugins: [ethernet(), bridge()] });
  const wires: Wire[] = [];
  const out: number[] = [];
  const hosts = Array.from({ length: n }, (_, i) => {
    const cable = wire(machine);
    const host = createHost({ machine, name: `h${i + 1}` });
    nic(host.net, "eth0", { wire: cable, address: `02:00:00:00:00:0${i + 1}` });
    host.addr.add("eth0", `10.0.0.${i + 1}/24`);
    const port = nic(sw, `p${i + 1}`, { wire: cable, address: `02:00:00:00:01:0${i + 1}` });
    out.push(0);
    port.dev.addTap((_skb: SkBuff, _dev, outgoing) => void (outgoing && out[i]++));
    wires.push(cable);
    return host;
  });
  const br = bridgeDevice(sw, "br0", { ports: hosts.map((_, i) => `p${i + 1}`), ...options });
  machine.runUntilIdle(1e9);
  return { machine, sw, br, hosts, wires, out, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

async function ping(machine: TestMachine, from: Host, to: string): Promise<boolean> {
  const reply = from.ping(to).then(() => true, () => false);
  for (let i = 0; i < 25; i++) {
    machine.advance(50e6);
    await Promise.resolve();
  }
  return await reply;
}

Deno.test("bridge: learns where addresses are: the first frame floods, the next goes to one port alone", async () => {
  using t = star(3);
  assertEquals(await ping(t.machine, t.hosts[0], "10.0.0.2"), true);
  const learnt = t.br.fdb().filter((e) => !e.local).map((e) => `${e.mac} ${e.dev}`).sort();
  assertEquals(learnt, ["02:00:00:00:00:01 p1", "02:00:00:00:00:02 p2"]);
  t.out.fill(0);
  assertEquals(await ping(t.machine, t.hosts[0], "10.0.0.2"), true);
  assertEquals(t.out, [1, 1, 0]);
});

Deno.test("bridge: a silent address is forgotten after its age, one that moves is found at its new port", async () => {
  using t = star(3, { ageing: 10 });
  await ping(t.machine, t.hosts[0], "10.0.0.2");
  t.machine.advance(30e9);
  assertEquals(t.br.fdb().filter((e) => !e.local), []);
  t.hosts[2].link.set("eth0", { address: "02:00:00:00:00:02" });
  t.wires[1].setUp(false);
  await ping(t.machine, t.hosts[2], "10.0.0.1");
  assertEquals(t.br.fdb().find((e) => e.mac === "02:00:00:00:00:02")?.dev, "p3");
});

Deno.test("bridge: the host itself is on it, with the lowest address of its ports", async () => {
  using t = star(2);
  assertEquals(t.br.dev.address, "02:00:00:00:01:01");
  const host = createHost({ machine: t.machine, name: "router", plugins: [bridge()] });
  const cable = wire(t.machine);
  nic(host.net, "eth0", { wire: cable, address: "02:00:00:00:02:01" });
  nic(t.sw, "p9", { wire: cable });
  t.br.addPort(t.sw.device("p9")!);
  bridgeDevice(host.net, "br0", { ports: ["eth0"] });
  host.addr.add("br0", "10.0.0.9/24");
  assertEquals(await ping(t.machine, t.hosts[0], "10.0.0.9"), true);
  assertEquals(await ping(t.machine, host, "10.0.0.2"), true);
});

Deno.test("bridge: link-local groups are never forwarded, a group's source and a frame larger than the port are refused", () => {
  using t = star(2);
  const frame = (dst: number[], src: number[], len = 46): Uint8Array =>
    Uint8Array.from([...dst, ...src, 8, 0, ...new Array<number>(len).fill(0)]);
  const p1 = t.sw.device("p1")!;
  t.out.fill(0);
  const before = t.sw.dropped("UNHANDLED_PROTO");
  p1.receive(frame([1, 0x80, 0xc2, 0, 0, 0xe], [2, 0, 0, 0, 0, 1]));
  p1.receive(frame([0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [1, 0, 0, 0, 0, 1]));
  t.sw.device("p2")!.setMtu(1000);
  p1.receive(frame([0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [2, 0, 0, 0, 0, 1], 1200));
  assertEquals(t.out, [0, 0]);
  const { DEV_HDR, PKT_TOO_BIG } = t.sw.dropTable();
  // The bridge's own device has no protocols here: of the two frames to all, it drops its copy too.
  assertEquals([t.sw.dropped("UNHANDLED_PROTO") - before, DEV_HDR, PKT_TOO_BIG], [2, 1, 1]);
});

Deno.test("bridge: VLAN filtering keeps access ports apart and carries both over a trunk", async () => {
  using t = star(3, { vlanFiltering: true });
  const port = (name: string) => t.sw.device(name)!;
  t.br.setVlans(port("p1"), { pvid: 10 });
  t.br.setVlans(port("p2"), { pvid: 10 });
  t.br.setVlans(port("p3"), { pvid: 20 });
  assertEquals(await ping(t.machine, t.hosts[0], "10.0.0.2"), true);
  assertEquals(await ping(t.machine, t.hosts[0], "10.0.0.3"), false);
  // A trunk to a second switch, where the other host of VLAN 20 is.
  const cable = wire(t.machine);
  const sw2 = createNet({ machine: t.machine, name: "sw2", plugins: [ethernet(), bridge()] });
  nic(t.sw, "trunk", { wire: cable });
  nic(sw2, "trunk", { wire: cable });
  const far = wire(t.machine);
  const host = createHost({ machine: t.machine, name: "h4" });
  nic(host.net, "eth0", { wire: far });
  host.addr.add("eth0", "10.0.0.4/24");
  nic(sw2, "p1", { wire: far });
  const br2 = bridgeDevice(sw2, "br0", { ports: ["trunk", "p1"], vlanFiltering: true });
  t.br.addPort(port("trunk"));
  t.br.setVlans(port("trunk"), { pvid: 0, tagged: [10, 20] });
  br2.setVlans(sw2.device("trunk")!, { pvid: 0, tagged: [10, 20] });
  br2.setVlans(sw2.device("p1")!, { pvid: 20 });
  assertEquals(await ping(t.machine, t.hosts[2], "10.0.0.4"), true);
  assertEquals(await ping(t.machine, t.hosts[0], "10.0.0.4"), false);
});

/** Three switches in a ring, a host on the first and on the last. */
function ring(stp: boolean): Bed & { bridges: Bridge[]; between: Wire[]; nics: Nic[] } {
  const machine = new TestMachine();
  const nets = [1, 2, 3].map((i) => createNet({ machine, name: `sw${i}`, plugins: [ethernet(), bridge()] }));
  const between = [wire(machine), wire(machine), wire(machine)];
  const nics: Nic[] = [];
  nets.forEach((net, i) => {
    nics.push(nic(net, "left", { wire: between[i], address: `02:00:00:00:0${i + 1}:01` }));
    nics.push(nic(net, "right", { wire: between[(i + 1) % 3], address: `02:00:00:00:0${i + 1}:02` }));
  });
  const hosts = [0, 2].map((at, i) => {
    const cable = wire(machine);
    const host = createHost({ machine, name: `h${i + 1}` });
    nic(host.net, "eth0", { wire: cable });
    host.addr.add("eth0", `10.0.0.${i + 1}/24`);
    nic(nets[at], "edge", { wire: cable });
    return host;
  });
  const bridges = nets.map((net, i) =>
    bridgeDevice(net, "br0", {
      stp,
      forwardDelay: 4,
      ports: i === 1 ? ["left", "right"] : ["left", "right", "edge"],
    })
  );
  return {
    machine,
    sw: nets[0],
    br: bridges[0],
    hosts,
    wires: between,
    out: [],
    bridges,
    between,
    nics,
    [Symbol.dispose]: () => machine[Symbol.dispose](),
  };
}

Deno.test("bridge: the spanning tree cuts a loop at one port, and mends it when a link fails", async () => {
  using t = ring(true);
  t.machine.advance(20e9);
  const states = (): string => t.bridges.flatMap((b) => b.ports().map((p) => `${p.role}/${p.state}`)).sort().join(" ");
  assertEquals(t.bridges.filter((b) => b.isRoot).length, 1);
  assertEquals(t.bridges[0].isRoot, true, "the lowest address is root");
  assertEquals(states().match(/alternate\/blocking/g)?.length, 1);
  assertEquals(states().match(/root\/forwarding/g)?.length, 2);
  assertEquals(await ping(t.machine, t.hosts[0], "10.0.0.2"), true);
  // The direct link between the two switches with hosts fails: traffic goes around within max age and twice the delay.
  t.between[0].setUp(false);
  t.machine.advance(40e9);
  assertEquals(states().includes("alternate"), false);
  assertEquals(await ping(t.machine, t.hosts[0], "10.0.0.2"), true);
  t.between[0].setUp(true);
  t.machine.advance(40e9);
  assertEquals(states().match(/alternate\/blocking/g)?.length, 1);
});

Deno.test("bridge: the root falls silent, another takes over", () => {
  using t = ring(true);
  t.machine.advance(20e9);
  t.between[0].setUp(false);
  t.between[1].setUp(false);
  t.machine.advance(60e9);
  assertEquals(t.bridges.map((b) => b.isRoot), [true, true, false]);
});

Deno.test("bridge: what is no port is refused with its reason", () => {
  using t = star(1);
  assertThrows(() => bridgeDevice(t.sw, "br1", { ports: ["p1"] }), TypeError, "it belongs to another device");
  assertThrows(() => bridgeDevice(t.sw, "br2", { ports: ["p7"] }), TypeError, "there is no such device");
  t.br.delPort(t.sw.device("p1")!);
  assertEquals(t.br.ports(), []);
  assert(t.br.dev.carrier === false);
});
