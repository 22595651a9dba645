/** VXLAN devices: what stands in the outer packet, the FDB, who is heard, and how deep frames may be nested. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { createHost, createNet, type Host } from "../../../mod.ts";
import { type Channel, channel } from "../../../plugins/device/channel/mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { bridge, bridgeDevice } from "../../../plugins/link/bridge/mod.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import {
  type Vxlan,
  vxlan,
  VXLAN_DEPTH,
  vxlanDevice,
  type VxlanOptions,
} from "../../../plugins/transport/vxlan/mod.ts";
import { concat, decode, type Decoded, eth, icmpEcho, ipv4, udp } from "../../support/frames/build.ts";
import { TestMachine, udpSocket } from "../../support/hosts.ts";

interface End {
  host: Host;
  vx: Vxlan;
}

/** Hosts 192.0.2.1 and so on, on one switch; vxlan0 is 10.0.0.1 and so on. */
function overlay(n: number, options: (i: number) => Partial<VxlanOptions>): { machine: TestMachine; ends: End[] } {
  const machine = new TestMachine();
  const sw = createNet({ machine, name: "sw", plugins: [ethernet(), bridge()] });
  const ends = Array.from({ length: n }, (_, i) => {
    const host = createHost({ machine, name: `h${i + 1}`, plugins: [vxlan()] });
    const cable = wire(machine);
    nic(host.net, "eth0", { wire: cable, address: `02:00:00:00:00:0${i + 1}` });
    nic(sw, `port${i}`, { wire: cable });
    host.addr.add("eth0", `192.0.2.${i + 1}/24`);
    const vx = vxlanDevice(host.net, "vxlan0", { id: 42, address: `02:00:00:00:0a:0${i + 1}`, ...options(i) });
    host.addr.add("vxlan0", `10.0.0.${i + 1}/24`);
    return { host, vx };
  });
  bridgeDevice(sw, "br0", { ports: ends.map((_, i) => `port${i}`), forwardDelay: 0 });
  machine.runUntilIdle(1e9);
  return { machine, ends };
}

const pair = (options: Partial<VxlanOptions> = {}): ReturnType<typeof overlay> =>
  overlay(2, (i) => ({ remote: `192.0.2.${2 - i}`, ...options }));

interface Outer extends Decoded {
  inner: Decoded;
  vxlan: Uint8Array;
}

/** The VXLAN packets that leave a device from now on. */
function outers(host: Host, dev = "eth0"): Outer[] {
  const list: Outer[] = [];
  host.net.device(dev)!.addTap((skb, _dev, outgoing) => {
    if (!outgoing) return;
    const frame = skb.bytes.slice(skb.data, skb.tail);
    const whole = [...frame];
    for (let i = 0; i < skb.nrFrags; i++) {
      const { slab, offset, size } = skb.frags[i];
      whole.push(...slab.bytes.slice(offset, offset + size));
    }
    const bytes = Uint8Array.from(whole);
    const outer = decode(bytes);
    if (outer.udp?.dport !== 4789) return;
    list.push({ ...outer, vxlan: bytes.slice(42, 50), inner: decode(bytes.slice(50)) });
  });
  return list;
}

async function ping(machine: TestMachine, host: Host, to: string, size?: number): Promise<number> {
  const reply = host.ping(to, { timeout: 2000, ...(size === undefined ? {} : { size }) });
  machine.runUntilIdle();
  return (await reply).ttl;
}

Deno.test("the outer packet: port 4789, the VNI, no checksum, TTL 64, no DF, and the frame as it is", async () => {
  const { machine, ends: [a, b] } = pair();
  const seen = outers(a.host);
  assertEquals(await ping(machine, a.host, "10.0.0.2"), 64);
  const [arp, echo] = seen;
  assertEquals(arp.inner.eth?.dst, "ff:ff:ff:ff:ff:ff");
  assertEquals([...echo.vxlan], [8, 0, 0, 0, 0, 0, 42, 0]);
  assertEquals([echo.ipv4?.src, echo.ipv4?.dst, echo.ipv4?.ttl, echo.ipv4?.tos], ["192.0.2.1", "192.0.2.2", 64, 0]);
  assertEquals([echo.ipv4?.df, echo.udp?.checksum, echo.udp?.dport], [false, 0, 4789]);
  assertEquals([echo.inner.ipv4?.src, echo.inner.icmp?.type], ["10.0.0.1", 8]);
  assertEquals([a.vx.dev.mtu, b.vx.vni], [1450, 42]);
  assertEquals(a.host.net.dropTable(), {});
  machine[Symbol.dispose]();
});

Deno.test("the source port: one for a flow, in its range, and spread over it", () => {
  const { machine, ends: [a] } = pair({ srcPorts: [40_000, 40_999] });
  const seen = outers(a.host);
  a.host.neigh.set("vxlan0", "10.0.0.2", "02:00:00:00:0a:02");
  const text = new Uint8Array(10);
  for (let port = 1000; port < 1200; port++) {
    const fd = udpSocket(a.host, port);
    for (let k = 0; k < 2; k++) {
      a.host.sys.sendmsg(fd, { addr: 0x0a000002, port: 9, buf: text, off: 0, len: 10, flags: 0 }, 0);
    }
    a.host.sys.close(fd);
  }
  machine.runUntilIdle();
  const ports = new Map<number, Set<number>>();
  for (const s of seen) {
    if (s.inner.udp === undefined) continue;
    assert(s.udp!.sport >= 40_000 && s.udp!.sport <= 40_999);
    ports.set(s.inner.udp.sport, (ports.get(s.inner.udp.sport) ?? new Set()).add(s.udp!.sport));
  }
  assertEquals([ports.size, Math.max(...[...ports.values()].map((p) => p.size))], [200, 1]);
  const used = new Set([...ports.values()].flatMap((p) => [...p]));
  // 200 balls in 1,000 boxes fill 181 on average.
  assert(used.size > 150, `${used.size} source ports for 200 flows`);
  machine[Symbol.dispose]();
});

Deno.test("TOS and TTL: given, inherited; ECN by RFC 6040 in both directions", async () => {
  const { machine, ends: [a] } = pair({ tos: 0x20, ttl: 9 });
  const seen = outers(a.host);
  await ping(machine, a.host, "10.0.0.2");
  assertEquals(new Set(seen.map((s) => [s.ipv4?.tos, s.ipv4?.ttl].join())), new Set(["32,9"]));
  machine[Symbol.dispose]();

  const other = pair({ tos: "inherit", ttl: "inherit", df: "inherit" });
  const [{ host }] = other.ends;
  const list = outers(host);
  host.neigh.set("vxlan0", "10.0.0.2", "02:00:00:00:0a:02");
  const fd = udpSocket(host, 1000);
  for (const tos of [0, 1, 2, 3, 0xb8, 0xbb]) {
    host.sys.setsockopt(fd, 0, 1, tos);
    host.sys.setsockopt(fd, 0, 2, 7);
    host.sys.sendmsg(fd, { addr: 0x0a000002, port: 9, buf: new Uint8Array(4), off: 0, len: 4, flags: 0 }, 0);
  }
  other.machine.runUntilIdle();
  const got = list.filter((s) => s.inner.udp !== undefined).map((
    s,
  ) => [s.inner.ipv4?.tos, s.ipv4?.tos, s.ipv4?.ttl, s.ipv4?.df]);
  // CE inside is ECT(0) outside.
  assertEquals(got, [[0, 0], [1, 1], [2, 2], [3, 2], [0xb8, 0xb8], [0xbb, 0xba]].map(([i, o]) => [i, o, 7, true]));
  other.machine[Symbol.dispose]();
});

/** A host behind a channel: 192.0.2.1, vxlan0 10.0.0.1; the test is 192.0.2.2. */
function behind(
  options: Partial<VxlanOptions> = {},
  debug = true,
): { machine: TestMachine; host: Host; ch: Channel; vx: Vxlan } {
  const machine = new TestMachine({ debug });
  const host = createHost({ machine, plugins: [vxlan()] });
  const ch = channel(host.net, "eth0", { address: "02:00:00:00:00:01" });
  host.addr.add("eth0", "192.0.2.1/24");
  const vx = vxlanDevice(host.net, "vxlan0", { id: 42, remote: "192.0.2.2", address: "02:00:00:00:0a:01", ...options });
  host.addr.add("vxlan0", "10.0.0.1/24");
  host.neigh.set("eth0", "192.0.2.2", "02:00:00:00:00:02");
  machine.runUntilIdle(1e9);
  ch.readAll();
  return { machine, host, ch, vx };
}

const LINK = { dst: "02:00:00:00:00:01", src: "02:00:00:00:00:02" };
const INNER = { dst: "02:00:00:00:0a:01", src: "02:00:00:00:0a:02" };

function tunnel(
  inner: Uint8Array,
  fields: { src?: string; vni?: number; flags?: number; last?: number; tos?: number } = {},
): Uint8Array {
  const { src = "192.0.2.2", vni = 42, flags = 8, last = 0, tos = 0 } = fields;
  const header = [flags, 0, 0, 0, vni >> 16, (vni >> 8) & 255, vni & 255, last];
  return ipv4({ src, dst: "192.0.2.1", tos }, udp({ sport: 50_000, dport: 4789 }, concat(header, inner)));
}

const echo = (fields: Record<string, unknown> = {}): Uint8Array =>
  eth(INNER, ipv4({ src: "10.0.0.2", dst: "10.0.0.1", ...fields }, icmpEcho({ id: 1, seq: 1 }, "hello")));

Deno.test("ECN on the way in: congestion is told inside, or the packet is dropped where it cannot be", () => {
  const { machine, host, ch } = behind();
  const seen: (number | undefined)[] = [];
  host.net.device("vxlan0")!.addTap((skb, _dev, outgoing) => {
    if (!outgoing && skb.protocol === 0x0800) seen.push(skb.bytes[skb.networkHeader + 1] & 3);
  });
  for (let inner = 0; inner < 4; inner++) {
    for (let outer = 0; outer < 4; outer++) ch.inject(eth(LINK, tunnel(echo({ tos: inner }), { tos: outer })));
  }
  // inner: not ECT (CE outside: dropped), ECT(1), ECT(0), CE; outer 0 to 3 each.
  assertEquals(seen, [0, 0, 0, 1, 1, 1, 3, 2, 1, 2, 3, 3, 3, 3, 3]);
  assertEquals(host.net.dropTable(), { IP_TUNNEL_ECN: 1 });
  machine[Symbol.dispose]();
});

Deno.test("[A14] decapsulates only from a configured peer, with a configured VNI; all else is dropped without an answer", () => {
  const { machine, host, ch, vx } = behind();
  const tries: Array<[string, Uint8Array]> = [
    ["VXLAN_UNKNOWN_PEER", tunnel(echo(), { src: "192.0.2.3" })],
    ["VXLAN_UNKNOWN_PEER", tunnel(echo(), { src: "198.51.100.7" })],
    ["VXLAN_VNI_NOT_FOUND", tunnel(echo(), { vni: 43 })],
    ["VXLAN_VNI_NOT_FOUND", tunnel(echo(), { vni: 42 << 8 })],
    ["VXLAN_INVALID_HDR", tunnel(echo(), { flags: 0 })],
    ["VXLAN_INVALID_HDR", tunnel(echo(), { flags: 0x88 })],
    ["VXLAN_INVALID_HDR", tunnel(echo(), { last: 1 })],
    ["MAC_INVALID_SOURCE", tunnel(eth({ ...INNER, src: "03:00:00:00:00:01" }, new Uint8Array(46)))],
    ["MAC_INVALID_SOURCE", tunnel(eth({ ...INNER, src: "00:00:00:00:00:00" }, new Uint8Array(46)))],
    ["LOCAL_MAC", tunnel(eth({ ...INNER, src: INNER.dst }, new Uint8Array(46)))],
    ["HDR_TRUNC", tunnel(new Uint8Array(13))],
  ];
  for (const [why, packet] of tries) {
    const before = host.net.dropped(why);
    ch.inject(eth(LINK, packet));
    assertEquals(host.net.dropped(why), before + 1, why);
  }
  assertEquals([vx.dev.stats.rxPackets, ch.readAll().length, vx.fdb().length], [0, 0, 1]);
  // A source that a frame was once sent to by hand is a peer, until it is forgotten.
  assertEquals(vx.fdbAdd("02:00:00:00:0a:03", "192.0.2.3"), 0);
  const third = (): void =>
    void ch.inject(
      eth(
        LINK,
        tunnel(
          eth({ ...INNER, src: "02:00:00:00:0a:03" }, ipv4({ src: "10.0.0.3", dst: "10.0.0.1" }, icmpEcho({}, ""))),
          { src: "192.0.2.3" },
        ),
      ),
    );
  third();
  assertEquals(vx.dev.stats.rxPackets, 1);
  assertEquals(vx.fdbDel("02:00:00:00:0a:03"), 0);
  third();
  assertEquals([vx.dev.stats.rxPackets, host.net.dropped("VXLAN_UNKNOWN_PEER")], [1, 3]);
  machine[Symbol.dispose]();
});

Deno.test("peers by prefix: a group needs them, 0.0.0.0/0 hears everybody as Linux does", () => {
  const { machine, host, ch, vx } = behind({ peers: ["198.51.100.0/25", "203.0.113.5"] });
  const heard = (src: string): boolean => {
    const before = vx.dev.stats.rxPackets;
    host.sysctl("net.ipv4.conf.eth0.rp_filter", 0);
    ch.inject(eth(LINK, tunnel(echo(), { src })));
    return vx.dev.stats.rxPackets > before;
  };
  host.route.add("default", { via: "192.0.2.2" });
  assertEquals(
    ["192.0.2.2", "198.51.100.0", "198.51.100.127", "198.51.100.128", "203.0.113.5", "203.0.113.4"].map(heard),
    [true, true, true, false, true, false],
  );
  assertThrows(() => vxlanDevice(host.net, "vxlan1", { id: 1, remote: "239.1.1.1" }), TypeError, "say in peers");
  const all = vxlanDevice(host.net, "vxlan1", { id: 1, remote: "239.1.1.1", peers: ["0.0.0.0/0"], local: "192.0.2.1" });
  ch.inject(
    eth(LINK, tunnel(eth({ ...INNER, dst: all.dev.address }, new Uint8Array(46)), { src: "203.0.113.99", vni: 1 })),
  );
  assertEquals(all.dev.stats.rxPackets, 1);
  machine[Symbol.dispose]();
});

Deno.test("[A13] VXLAN in VXLAN in VXLAN: bounded, 1 to 100 levels deep, both ways; no stack overflow and nothing is left", () => {
  const { machine, host, ch, vx } = behind();
  const answered: number[] = [];
  for (let levels = 1; levels <= 100; levels++) {
    let frame = echo();
    // Each level is addressed to this host, so that each would be taken out.
    for (let i = 0; i < levels; i++) frame = eth(i === levels - 1 ? LINK : INNER, tunnel(frame));
    // Outer packets longer than the MTU come in fragments; so does what a large MTU lets through here.
    if (frame.length > 1514 && host.net.device("eth0")!.mtu === 1500) host.link.set("eth0", { mtu: 9000 });
    ch.inject(frame);
    if (ch.readAll().length > 0 || host.net.dropped("RECURSION_LIMIT") === 0) answered.push(levels);
  }
  assertEquals(answered, Array.from({ length: VXLAN_DEPTH }, (_, i) => i + 1));
  assertEquals(host.net.dropped("RECURSION_LIMIT"), 100 - VXLAN_DEPTH);
  assertEquals(machine.faults, []);
  assert(vx.dev.stats.rxPackets > 0);
  machine[Symbol.dispose]();
});

Deno.test("[A13] a tunnel whose way leads through itself, or two through each other, sends nothing and ends", () => {
  const machine = new TestMachine();
  const host = createHost({ machine, plugins: [vxlan()] });
  const one = vxlanDevice(host.net, "vxlan1", { id: 1, remote: "10.0.1.9" });
  host.addr.add("vxlan1", "10.0.1.1/24");
  host.neigh.set("vxlan1", "10.0.1.9", "02:00:00:00:00:09");
  const fd = udpSocket(host, 1000);
  const say = (addr: number): number =>
    host.sys.sendmsg(fd, { addr, port: 9, buf: new Uint8Array(4), off: 0, len: 4, flags: 0 }, 0);
  say(0x0a000109);
  machine.runUntilIdle();
  assertEquals([one.dev.stats.txPackets, host.net.dropped("RECURSION_LIMIT")], [0, 1]);
  // 2 goes out by 3, and 3 by 2.
  vxlanDevice(host.net, "vxlan2", { id: 2, remote: "10.0.3.9" });
  vxlanDevice(host.net, "vxlan3", { id: 3, remote: "10.0.2.9" });
  for (const i of [2, 3]) {
    host.addr.add(`vxlan${i}`, `10.0.${i}.1/24`);
    host.neigh.set(`vxlan${i}`, `10.0.${i}.9`, "02:00:00:00:00:09");
  }
  say(0x0a000209);
  machine.runUntilIdle();
  assert(host.net.dropped("RECURSION_LIMIT") >= 2);
  assertEquals([machine.faults.length, machine.skbs.live], [0, 0]);
  machine[Symbol.dispose]();
});

Deno.test("the FDB: learns, floods what it does not know to all remotes, moves, forgets; what was said by hand stays", async () => {
  const { machine, ends } = overlay(
    3,
    (i) => ({ remote: [1, 2, 3].filter((k) => k !== i + 1).map((k) => `192.0.2.${k}`), ageing: 10 }),
  );
  const [a, b, c] = ends;
  const seen = outers(a.host);
  assertEquals(await ping(machine, a.host, "10.0.0.2"), 64);
  // The ARP request goes to both, the echo to one, and so does what comes later.
  assertEquals(seen.slice(0, 3).map((s) => s.ipv4?.dst), ["192.0.2.2", "192.0.2.3", "192.0.2.2"]);
  assertEquals(new Set(seen.slice(2).map((s) => s.ipv4?.dst)), new Set(["192.0.2.2"]));
  assertEquals(a.vx.fdb().filter((e) => !e.permanent), [{ mac: b.vx.dev.address, dst: "192.0.2.2", permanent: false }]);
  machine.advance(11e9);
  assertEquals(a.vx.fdb().filter((e) => !e.permanent), []);
  seen.length = 0;
  await ping(machine, a.host, "10.0.0.2");
  assertEquals(seen.filter((s) => s.inner.icmp !== undefined).map((s) => s.ipv4?.dst), ["192.0.2.2", "192.0.2.3"]);
  // Host 3 says that it is host 2.
  c.vx.dev.setAddress(b.vx.dev.address);
  assertEquals(await ping(machine, c.host, "10.0.0.1"), 64);
  assertEquals(a.vx.fdb().find((e) => e.mac === b.vx.dev.address)?.dst, "192.0.2.3");
  a.vx.fdbAdd(b.vx.dev.address, "192.0.2.2");
  const before = a.host.net.dropped("VXLAN_ENTRY_EXISTS");
  const lost = c.host.ping("10.0.0.1", { timeout: 100 }).then(() => "", (e) => e.name);
  machine.runUntilIdle();
  assertEquals(await lost, "TimedOut");
  assert(a.host.net.dropped("VXLAN_ENTRY_EXISTS") > before);
  assertEquals([
    a.vx.fdbAdd("x", "192.0.2.2"),
    a.vx.fdbAdd("02:00:00:00:00:01", "0.0.0.0"),
    a.vx.fdbDel("02:00:00:00:00:77"),
  ], [-22, -22, -2]);
  machine[Symbol.dispose]();
});

Deno.test("a flood of forged source addresses takes no more than its table", () => {
  const { machine, ch, vx } = behind({}, false);
  for (let i = 0; i < 70_000; i++) {
    const src = `02:01:${[i >> 24, i >> 16, i >> 8, i].map((b) => (b & 255).toString(16).padStart(2, "0")).join(":")}`;
    ch.inject(eth(LINK, tunnel(eth({ ...INNER, src }, new Uint8Array(46)))));
  }
  assertEquals(vx.fdb().length, 65_536 + 1);
  machine[Symbol.dispose]();
});

Deno.test("MTU: TCP fits the outer packet into 1500; with 1500 inside the outer one is fragmented and comes together again", async () => {
  const { machine, ends: [a, b] } = pair();
  let longest = 0;
  for (const { host } of [a, b]) host.net.device("eth0")!.addTap((skb) => void (longest = Math.max(longest, skb.len)));
  const listener = b.host.listen({ port: 80 });
  const serve = (async () => {
    using conn = await listener.accept();
    await conn.write(new Uint8Array(200_000));
  })();
  const conn = a.host.connect({ hostname: "10.0.0.2", port: 80 });
  const timer = setInterval(() => machine.runUntilIdle(), 0);
  let got = 0;
  const c = await conn;
  for (let n = await c.read(new Uint8Array(65_536)); n !== null; n = await c.read(new Uint8Array(65_536))) got += n;
  await serve;
  c.close();
  listener.close();
  clearInterval(timer);
  assertEquals([got, longest], [200_000, 1514]);
  assertEquals(a.host.net.dropTable(), {});
  for (const { host } of [a, b]) host.link.set("vxlan0", { mtu: 1500 });
  assertEquals(await ping(machine, a.host, "10.0.0.2", 1472), 64);
  machine.runUntilIdle();
  machine[Symbol.dispose]();
});

Deno.test("with udpCsum the other end verifies it", async () => {
  const { machine, ends: [a] } = pair({ udpCsum: true });
  const seen = outers(a.host);
  assertEquals(await ping(machine, a.host, "10.0.0.2"), 64);
  assert(seen.every((s) => s.udp!.checksum !== 0 && s.udp!.checksumOk !== false));
  machine[Symbol.dispose]();
});

Deno.test("bytes that are any: no throw, no leak, no answer but to a right echo", () => {
  const { machine, host, ch } = behind({ peers: ["0.0.0.0/0"] });
  const good = tunnel(echo());
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 29), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.nat(good.length),
      (edits, cut) => {
        const payload = good.slice(28);
        for (const [at, value] of edits) payload[at] = value;
        ch.inject(
          eth(
            LINK,
            ipv4({ src: "192.0.2.2", dst: "192.0.2.1" }, udp({ sport: 9, dport: 4789 }, payload.slice(0, cut))),
          ),
        );
        ch.readAll();
      },
    ),
    { numRuns: 2000, seed: 1 },
  );
  machine.runUntilIdle();
  assertEquals([machine.faults.length, host.net.dropped("NOT_SPECIFIED")], [0, 0]);
  machine[Symbol.dispose]();
});

Deno.test("two segments on one port are told apart; the last one closes it; the device below takes it along", async () => {
  const { machine, ends: [a, b] } = pair();
  const more = [a, b].map(({ host }, i) => {
    const vx = vxlanDevice(host.net, "vxlan9", { id: 9, remote: `192.0.2.${2 - i}`, dev: "eth0" });
    host.addr.add("vxlan9", `10.9.0.${i + 1}/24`);
    return vx;
  });
  assertEquals(await ping(machine, a.host, "10.9.0.2"), 64);
  assertEquals([more[1].dev.stats.rxPackets > 0, b.vx.dev.stats.rxPackets], [true, 0]);
  assertThrows(() => vxlanDevice(a.host.net, "vxlan8", { id: 9 }), TypeError, "vxlan9 has id 9 on port 4789 already");
  a.host.net.unregisterNetdevice(a.host.net.device("vxlan0")!);
  assertEquals(await ping(machine, a.host, "10.9.0.2"), 64);
  a.host.net.unregisterNetdevice(a.host.net.device("eth0")!);
  assertEquals(a.host.net.device("vxlan9"), undefined);
  // The port is free again.
  const fd = udpSocket(a.host, 4789);
  a.host.sys.close(fd);
  machine[Symbol.dispose]();
});

Deno.test("options that make no sense are refused, and leave nothing", () => {
  const machine = new TestMachine();
  const { net, sys } = createHost({ machine, plugins: [vxlan()] });
  const bad = (options: Partial<VxlanOptions>, text: string): void => {
    assertThrows(() => vxlanDevice(net, "vxlan0", { id: 1, ...options }), Error, text);
    assertEquals(net.device("vxlan0"), undefined);
  };
  bad({ id: 1 << 24 }, "id 16777216");
  bad({ port: 0 }, "port 0");
  bad({ ttl: 256 }, "ttl 256");
  bad({ remote: "10.0.0" }, "remote");
  bad({ peers: ["10.0.0.0/33"] }, "peer");
  bad({ remote: ["239.0.0.1", "239.0.0.2"] }, "one group");
  bad({ dev: "eth7" }, "no device eth7");
  bad({ srcPorts: [5, 4] }, "last source port 4");
  bad({ mtu: 10 }, "mtu 10");
  const fd = sys.socket(2, 2, 17);
  sys.bind(fd, 0, 4789);
  bad({}, "port 4789: address in use");
  machine[Symbol.dispose]();
});

Deno.test("a group: who joins it hears what is for all, and answers to one", async () => {
  const { machine, ends } = overlay(3, (i) => ({
    remote: "239.1.1.1",
    dev: "eth0",
    local: `192.0.2.${i + 1}`,
    peers: ["192.0.2.0/24"],
  }));
  const [a, b, c] = ends;
  const seen = outers(a.host);
  assertEquals(await ping(machine, a.host, "10.0.0.2"), 64);
  assertEquals(await ping(machine, a.host, "10.0.0.3"), 64);
  const toGroup = seen.filter((s) => s.ipv4?.dst === "239.1.1.1");
  assertEquals(toGroup.map((s) => [s.eth?.dst, s.ipv4?.ttl, s.inner.arp !== undefined]), [
    ["01:00:5e:01:01:01", 1, true],
    ["01:00:5e:01:01:01", 1, true],
  ]);
  assert(seen.some((s) => s.inner.icmp !== undefined && s.ipv4?.dst === "192.0.2.3"));
  // Down, it leaves the group; nobody of its own hears it.
  c.host.link.set("vxlan0", { up: false });
  const before = c.vx.dev.stats.rxPackets;
  const lost = b.host.ping("10.0.0.99", { timeout: 100 }).then(() => "", (e) => e.name);
  machine.runUntilIdle();
  await lost;
  assertEquals([c.vx.dev.stats.rxPackets - before, a.host.net.dropped("LOCAL_MAC")], [0, 0]);
  machine[Symbol.dispose]();
});

Deno.test("two labs are one: each has a switch with a VXLAN port, and a host on it", async () => {
  const machine = new TestMachine();
  const outside = wire(machine);
  const hosts = [1, 2].map((i) => {
    const gate = createHost({ machine, name: `gate${i}`, plugins: [vxlan(), bridge()] });
    nic(gate.net, "eth0", { wire: outside });
    gate.addr.add("eth0", `192.0.2.${i}/24`);
    const cable = wire(machine);
    nic(gate.net, "port0", { wire: cable, mtu: 1450 });
    vxlanDevice(gate.net, "vxlan0", { id: 7, remote: `192.0.2.${3 - i}` });
    bridgeDevice(gate.net, "br0", { ports: ["port0", "vxlan0"], forwardDelay: 0 });
    const host = createHost({ machine, name: `lab${i}` });
    nic(host.net, "eth0", { wire: cable, mtu: 1450 });
    host.addr.add("eth0", `10.0.0.${i}/24`);
    return host;
  });
  machine.runUntilIdle(1e9);
  assertEquals(await ping(machine, hosts[0], "10.0.0.2"), 64);
  assertEquals(await ping(machine, hosts[1], "10.0.0.1", 4000), 64);
  machine[Symbol.dispose]();
});
