/**
 * One case over a real TAP, run by tap_test.ts inside a network namespace of its own: `unshare -n deno run worker.ts CASE`.
 * Exits 0, or prints what was wrong.
 */
import { createSocket } from "node:dgram";
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  CHECKSUM_PARTIAL,
  devAddPack,
  devAddTap,
  devQueueXmit,
  ERRNO,
  Machine,
  type Net,
  NETDEV_TX_BUSY,
  realPlatform,
  type SkBuff,
} from "../../../core/mod.ts";
import { DeviceError, tap as openTap, type TapOptions } from "../../../plugins/device/tap/mod.ts";
import type { Tap } from "../../../plugins/device/tap/state.ts";
import { tapXmit } from "../../../plugins/device/tap/output.ts";
import { hostPoller } from "../../../plugins/device/tap/poller.ts";
import { ethernet } from "../../../plugins/link/ethernet/mod.ts";
import { qdisc } from "../../../plugins/link/qdisc/mod.ts";
import { bytesOf, packet, pattern, TEST_TYPE } from "../../contracts/device_support.ts";
import { DEVICE_CASES, type DeviceFixture, runDeviceCase } from "../../contracts/device_suite.ts";
import { arp, eth, ipv4, udp } from "../../support/frames/build.ts";
import { PacketSocket } from "./packet_socket.ts";

const KERNEL = "02:00:00:00:00:01";
const OURS = "02:00:00:00:00:02";

async function run(command: string): Promise<string> {
  const out = await new Deno.Command("sh", { args: ["-c", command] }).output();
  const text = new TextDecoder().decode(out.stdout);
  if (!out.success) throw new Error(`${command}: ${new TextDecoder().decode(out.stderr)}`);
  return text;
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const received: Uint8Array[] = [];
const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Waits until it holds; a second at most. */
async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (holds()) return;
    await sleep(5);
  }
  throw new Error(`waited in vain: ${what}`);
}

/** With its inside, as the tests look there. */
function tap(net: Net, options: TapOptions): Tap {
  return openTap(net, options) as Tap;
}

function realMachine(): Machine {
  return new Machine({ platform: realPlatform(), debug: true, strict: true });
}

interface Live {
  machine: Machine;
  net: Net;
  t: Tap;
}

/** A TAP whose kernel side has 10.1.0.1/24 and is up. */
async function live(options: TapOptions = {}): Promise<Live> {
  const machine = realMachine();
  const net = machine.createNet({ plugins: [ethernet(), qdisc()] });
  const t = tap(net, { name: "tap0", address: OURS, ...options });
  t.dev.open();
  await run(
    `ip link set tap0 address ${KERNEL}; ip addr add 10.1.0.1/24 dev tap0; ip link set tap0 up`,
  );
  await until("carrier", () => t.dev.carrier);
  return { machine, net, t };
}

async function end({ machine, t }: Live): Promise<void> {
  await t[Symbol.asyncDispose]();
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
  assertEquals(machine.pages.slotsInUse(), 0);
}

/** Sends raw bytes as the stack would. */
function transmit(l: Live, frame: Uint8Array, prepare?: (skb: SkBuff) => void): void {
  const skb = l.machine.skbs.alloc(192)!;
  skb.reserve(128);
  const head = Math.min(frame.length, 60);
  const at = skb.put(head);
  for (let i = 0; i < head; i++) skb.bytes[at + i] = frame[i];
  for (let from = head; from < frame.length;) {
    const n = l.machine.skbs.addPage(skb, frame.length - from);
    const frag = skb.frags[skb.nrFrags - 1];
    for (let i = 0; i < n; i++) frag.slab.bytes[frag.offset + i] = frame[from + i];
    from += n;
  }
  prepare?.(skb);
  skb.dev = l.t.dev;
  l.machine.batch(() => devQueueXmit(skb));
}

/** CPU of this process as a share of one, over `ms`. */
async function cpuShare(ms: number): Promise<number> {
  const ticks = (): number => {
    const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1].split(" ");
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = ticks();
  await sleep(ms);
  return (ticks() - before) / (ms / 10);
}

/** With io_uring where the kernel has it, and with a system call for each frame. */
const BOTH_WAYS: readonly boolean[] = ["1", "2"].includes(ringForbidden()) ? [false] : [true, false];

function ringForbidden(): string {
  try {
    return Deno.readTextFileSync("/proc/sys/kernel/io_uring_disabled").trim();
  } catch {
    return "0";
  }
}

/** A frame of the test's own type from us to the kernel, which a packet socket sees; its number stands in front. */
function numbered(i: number, size: number): Uint8Array {
  const payload = pattern(size);
  new DataView(payload.buffer).setUint16(0, i);
  return eth({ dst: KERNEL, src: OURS, type: TEST_TYPE }, payload);
}

/** Makes every write of the TAP fail with `errno`, past the first `left`; undo it by calling what is returned. */
function kernelWithoutRoom(t: Tap, errno: number, left: number): () => void {
  const inside = t as { -readonly [K in keyof Tap]: Tap[K] };
  const { sys, libc, uring } = t;
  let failed = false;
  const limited = (write: (fd: number, at: Deno.PointerValue, n: number) => number) => {
    return (fd: number, at: Deno.PointerValue, n: number): number => {
      failed = left-- <= 0;
      return failed ? -1 : write(fd, at, n);
    };
  };
  inside.sys = Object.assign(Object.create(sys), { write: limited(sys.write), writev: limited(sys.writev) });
  inside.libc = Object.create(libc, { errno: { get: () => failed ? errno : libc.errno } });
  if (uring !== null) {
    inside.uring = Object.assign(Object.create(uring), {
      res: new Int32Array(64).fill(-errno),
      prepare: (...args: Parameters<typeof uring.prepare>) => uring.prepare(...args),
      submit(n: number): boolean {
        const taken = Math.min(n, left);
        if (taken > 0 && !uring.submit(taken)) return false;
        for (let i = 0; i < n; i++) this.res[i] = i < taken ? uring.res[i] : -errno;
        left -= taken;
        return true;
      },
    });
  }
  return () => Object.assign(inside, { sys, libc, uring });
}

const CASES: Record<string, () => Promise<void>> = {
  /** The device contract. */
  async suite() {
    for (const ioUring of BOTH_WAYS) {
      for (const c of DEVICE_CASES) {
        await runDeviceCase(c, () => suiteFixture(ioUring)).catch((error) => {
          throw new Error(`${c.name}, ioUring ${ioUring}: ${error instanceof Error ? error.stack : error}`);
        });
      }
    }
  },

  /** The kernel asks, we answer; the kernel believes it. */
  async arp() {
    const l = await live();
    const requests: Uint8Array[] = [];
    devAddTap(l.net, (skb, _dev, outgoing) => {
      if (!outgoing && skb.protocol === 0x0806) requests.push(bytesOf(skb));
    });
    const ping = new Deno.Command("ping", { args: ["-c1", "-W1", "10.1.0.2"], stdout: "null" }).spawn();
    await until("an ARP request", () => requests.length > 0);
    assertEquals([...requests[0].slice(0, 8)], [0, 1, 8, 0, 6, 4, 0, 1]);
    assertEquals([...requests[0].slice(24)], [10, 1, 0, 2]);
    transmit(
      l,
      eth({ dst: KERNEL, src: OURS }, arp({ op: 2, sha: OURS, spa: "10.1.0.2", tha: KERNEL, tpa: "10.1.0.1" })),
    );
    await sleep(20);
    const neigh = await run("ip neigh show dev tap0");
    assert(neigh.includes(`10.1.0.2 lladdr ${OURS} REACHABLE`), neigh);
    await ping.status;
    await end(l);
  },

  /** MTU and up or down of the kernel's interface are ours too. */
  async link() {
    const l = await live();
    assertEquals(l.t.dev.mtu, 1500);
    await run("ip link set tap0 mtu 1400");
    await until("mtu 1400", () => l.t.dev.mtu === 1400);
    await run("ip link set tap0 down");
    await until("no carrier", () => !l.t.dev.carrier);
    transmit(l, new Uint8Array(60));
    assertEquals(l.net.dropped("LINK_DOWN"), 1);
    await run("ip link set tap0 up");
    await until("carrier", () => l.t.dev.carrier);
    l.t.dev.close();
    await sleep(20);
    assert((await run("ip link show tap0")).includes("NO-CARRIER"));
    await end(l);
  },

  /** The kernel's interface is deleted under us. */
  async gone() {
    const l = await live();
    await run("ip link del tap0");
    await until("no carrier", () => !l.t.dev.carrier);
    transmit(l, new Uint8Array(60));
    assert(await cpuShare(500) < 0.05);
    await end(l);
  },

  /** An idle device parks. */
  async idle() {
    const l = await live();
    await sleep(200);
    const poller = hostPoller("");
    const parks = poller.parks;
    const share = await cpuShare(3000);
    assert(share < 0.01, `${share * 100} % of a CPU`);
    assert(poller.parks - parks <= 2, `${poller.parks - parks} parks`);
    await end(l);
  },

  /** 40 devices of 40 nets leave Deno's 32 blocking threads to others. */
  async forty() {
    const path = await Deno.makeTempFile();
    await Deno.writeTextFile(path, "x".repeat(1000));
    const machines = Array.from({ length: 40 }, () => realMachine());
    const taps = machines.map((m, i) => {
      const t = tap(m.createNet({ plugins: [ethernet()] }), { name: `tap${i}` });
      t.dev.open();
      return t;
    });
    assertEquals(hostPoller("").size, 40);
    await sleep(500);
    const slowest = async (): Promise<number> => {
      let worst = 0;
      for (let i = 0; i < 50; i++) {
        const t = performance.now();
        await Promise.all(Array.from({ length: 4 }, () => Deno.readFile(path)));
        worst = Math.max(worst, performance.now() - t);
      }
      return worst;
    };
    const worst = await slowest();
    assert(worst < 100, `${worst} ms for a file`);
    await sleep(500);
    assert(await cpuShare(2000) < 0.01);
    await Promise.all(taps.map((t) => t[Symbol.asyncDispose]()));
    for (const m of machines) m[Symbol.dispose]();
    await Deno.remove(path);
  },

  /** What the kernel says when it cannot be, in one line. */
  async errors() {
    const l = await live();
    const other = realMachine();
    const fails = (options: TapOptions): string => {
      const e = assertThrows(() => tap(other.createNet(), options), DeviceError);
      assertEquals(e.message.includes("\n"), false);
      return `${e.code}: ${e.message}`;
    };
    assert(fails({ name: "tap0" }).startsWith("EBUSY: Cannot open TAP tap0: another process has it open"));
    await run("ip link add veth0 type veth peer name veth1");
    assert(fails({ name: "veth0" }).startsWith("EINVAL: Cannot open TAP veth0: an interface of that name is no TAP"));
    assert(fails({ name: "a name" }).startsWith("EINVAL: Cannot open TAP a name: an interface name has"));
    other[Symbol.dispose]();
    await end(l);
  },

  /** IFF_VNET_HDR: checksums and super-packets, both ways. */
  async offloads() {
    const l = await live({ offloads: true });
    const server = createSocket("udp4");
    const datagrams: Uint8Array[] = [];
    server.on("message", (bytes) => datagrams.push(new Uint8Array(bytes)));
    await new Promise<void>((done) => server.bind(7000, "10.1.0.1", done));
    await run(`ip neigh replace 10.1.0.2 lladdr ${OURS} dev tap0`);

    // Ours to the kernel, the checksum partial: the field has the sum over the pseudo header only.
    const link = { dst: KERNEL, src: OURS };
    const hosts = { src: "10.1.0.2", dst: "10.1.0.1" };
    const datagram = (payload: Uint8Array): Uint8Array => {
      const frame = eth(link, ipv4(hosts, udp({ sport: 9, dport: 7000 }, payload)));
      const view = new DataView(frame.buffer);
      let sum = 0x0a01 + 2 + 0x0a01 + 1 + 17 + 8 + payload.length;
      sum = (sum & 0xffff) + (sum >>> 16);
      view.setUint16(40, sum);
      return frame;
    };
    const partial = (skb: SkBuff): void => {
      skb.ipSummed = CHECKSUM_PARTIAL;
      skb.csumStart = skb.data + 34;
      skb.csumOffset = 6;
      skb.protocol = 0x0800;
    };
    transmit(l, datagram(pattern(99)), partial);
    await until("a datagram", () => datagrams.length === 1);
    assertEquals(datagrams.pop(), pattern(99));

    // A super-packet: the kernel makes datagrams of it.
    transmit(l, datagram(pattern(30_000)), (skb) => {
      partial(skb);
      [skb.gsoSize, skb.gsoSegs, skb.gsoType] = [1000, 30, 1 << 17];
    });
    await until("30 datagrams", () => datagrams.length === 30);
    datagrams.forEach((bytes, i) => assertEquals(bytes, pattern(30_000).slice(i * 1000, i * 1000 + 1000)));

    // The kernel's to us.
    const got: { bytes: Uint8Array; summed: number; start: number; gso: number[] }[] = [];
    devAddPack(l.net, {
      type: 0x0800,
      dev: null,
      func: (skb) => {
        got.push({
          bytes: bytesOf(skb),
          summed: skb.ipSummed,
          start: skb.csumStart - skb.data,
          gso: [skb.gsoSize, skb.gsoSegs, skb.gsoType],
        });
        skb.consume();
      },
    });
    server.send(pattern(500), 9, "10.1.0.2");
    await until("a datagram", () => got.length === 1);
    assertEquals([got[0].summed, got[0].start, got[0].gso], [CHECKSUM_PARTIAL, 20, [0, 0, 0]]);
    assertEquals(got[0].bytes.slice(28), pattern(500));

    const socket = new PacketSocket("tap0", { vnet: true });
    socket.sendTso(pattern(40_000), 1000, { dst: OURS, src: KERNEL });
    await until("a super-packet", () => got.length === 2);
    assertEquals(got[1].gso, [1000, 40, 1]);
    assertEquals(got[1].bytes.slice(40), pattern(40_000));
    socket.close();
    server.close();
    await end(l);
  },

  /** A kernel without room: packets stay in order, the queue stops, the descriptor wakes it. */
  async busy() {
    for (const ioUring of BOTH_WAYS) {
      const l = await live({ ioUring });
      const socket = new PacketSocket("tap0", { type: TEST_TYPE });
      const again = kernelWithoutRoom(l.t, ERRNO.EAGAIN, 10);
      l.machine.batch(() => {
        for (let i = 0; i < 40; i++) transmit(l, numbered(i, 100));
      });
      const txq = l.t.dev.txq[0];
      assertEquals([l.t.dev.stats.txPackets, l.t.txCount, txq.stopped, l.t.events & 4], [10, 30, true, 4]);
      // What is sent meanwhile waits in the qdisc behind them.
      for (let i = 40; i < 50; i++) transmit(l, numbered(i, 100));
      assertEquals(txq.qdisc!.qlen + txq.qdisc!.requeued.qlen, 10);
      again();
      await until("the wake", () => !txq.stopped && l.t.txCount === 0);
      assertEquals([l.t.events & 4, l.t.dev.stats.txPackets, l.t.dev.stats.txErrors], [0, 50, 0]);
      assertEquals(socket.receiveAll().map((f) => new DataView(f.buffer).getUint16(14)), range(50));
      // A ring that is full gives the packet back.
      const full = kernelWithoutRoom(l.t, ERRNO.ENOBUFS, 0);
      l.machine.batch(() => {
        for (let i = 0; i < 64; i++) transmit(l, numbered(i, 60));
      });
      const skb = packet(l.net, [0x0200, 1], pattern(60));
      skb.dev = l.t.dev;
      assertEquals(tapXmit(l.t, skb, false), NETDEV_TX_BUSY);
      assertEquals([skb.live, l.t.txCount], [1, 64]);
      skb.consume();
      // It goes down before there is room: what waits is dropped and counted.
      l.t.dev.close();
      assertEquals([l.t.txCount, l.net.dropped("LINK_DOWN")], [0, 64]);
      full();
      socket.close();
      await end(l);
    }
  },

  /** Many frames in few system calls, in order, both ways, whatever their size and pieces. */
  async batches() {
    for (const ioUring of BOTH_WAYS) {
      const l = await live({ ioUring });
      assertEquals(l.t.ioUring, ioUring);
      const socket = new PacketSocket("tap0", { type: TEST_TYPE });
      const out = range(200).map((i) => numbered(i, 46 + i * 7));
      const { txBatches } = l.t.counters;
      l.machine.batch(() => out.forEach((frame) => transmit(l, frame)));
      assertEquals(l.t.dev.stats.txPackets, 200);
      assertEquals(l.t.counters.txBatches - txBatches, 4);
      await until("200 frames", () => (received.push(...socket.receiveAll()), received.length >= 200));
      assertEquals(received.splice(0), out);

      const got: Uint8Array[] = [];
      devAddPack(l.net, { type: TEST_TYPE, dev: null, func: (skb) => (got.push(bytesOf(skb)), skb.consume()) });
      const { rxBatches } = l.t.counters;
      const back = range(300).map((i) => eth({ dst: OURS, src: KERNEL, type: TEST_TYPE }, pattern(46 + i * 4)));
      back.forEach((frame) => socket.send(frame));
      await until("300 frames", () => got.length >= 300);
      assertEquals(got, back.map((frame) => frame.slice(14)));
      assert(l.t.counters.rxBatches - rxBatches < 60, `${l.t.counters.rxBatches - rxBatches} batches of 300 frames`);
      assertEquals(l.t.counters.rxAllocFailed, 0);
      socket.close();
      await end(l);
    }
  },

  /** The device goes down, or away, while a batch of frames is received. */
  async midway() {
    for (const ioUring of BOTH_WAYS) {
      const l = await live({ ioUring });
      const socket = new PacketSocket("tap0", { type: TEST_TYPE });
      let got = 0;
      devAddPack(l.net, {
        type: TEST_TYPE,
        dev: null,
        func: (skb) => {
          if (++got === 20) l.t.dev.close();
          if (got === 25) l.net.unregisterNetdevice(l.t.dev);
          skb.consume();
        },
      });
      const frame = eth({ dst: OURS, src: KERNEL, type: TEST_TYPE }, pattern(100));
      for (let i = 0; i < 60; i++) socket.send(frame);
      await until("20 frames", () => got >= 20);
      assertEquals(got, 20);
      l.t.dev.open();
      await until("carrier", () => l.t.dev.carrier);
      for (let i = 0; i < 60; i++) socket.send(frame);
      await l.t.closed;
      assertEquals(got, 25);
      socket.close();
      await end(l);
    }
  },

  /** Closing from inside, twice, and a machine that ends with its device open. */
  async dispose() {
    const l = await live();
    l.machine[Symbol.dispose]();
    await l.t.closed;
    assertEquals(l.machine.skbs.faults(), []);
    assertEquals((globalThis as Record<symbol, unknown>)[Symbol.for("netpath:host-poller:1")], undefined);
    const again = await live();
    await end(again);
  },

  /** Frames in packets per second, for a look: not asserted. */
  async rate() {
    const l = await live();
    const N = 900;
    const frame = eth(
      { dst: OURS, src: KERNEL },
      ipv4({ src: "10.1.0.1", dst: "10.1.0.2" }, udp({ sport: 1, dport: 2 }, pattern(22))),
    );
    const socket = new PacketSocket("tap0");
    let got = 0;
    devAddPack(l.net, { type: 0x0800, dev: null, func: (skb) => (got++, skb.consume()) });
    const rx: number[] = [];
    for (let k = 0; k < 30; k++) {
      got = 0;
      for (let i = 0; i < N; i++) socket.send(frame);
      const t = performance.now();
      while (got < N && performance.now() - t < 200) l.t.ready(1);
      rx.push((performance.now() - t) * 1e6 / got);
    }
    const out = eth(
      { dst: "02:99:00:00:00:01", src: OURS },
      ipv4({ src: "10.1.0.2", dst: "10.1.0.1" }, udp({ sport: 1, dport: 2 }, pattern(22))),
    );
    const tx: number[] = [];
    for (let k = 0; k < 30; k++) {
      const t = performance.now();
      for (let i = 0; i < 1000; i++) transmit(l, out.slice(0, 60));
      tx.push((performance.now() - t) * 1e6 / 1000);
    }
    const mid = (r: number[]): string => r.sort((a, b) => a - b)[r.length >> 1].toFixed(0);
    console.log(`read ${mid(rx)} ns, write ${mid(tx)} ns a frame`);
    socket.close();
    await end(l);
  },
};

/** The other end of the suite's TAP is a packet socket on the kernel's interface. */
async function suiteFixture(ioUring: boolean): Promise<DeviceFixture> {
  const machine = realMachine();
  const net = machine.createNet({ plugins: [ethernet()] });
  const t = tap(net, { name: "tap0", address: OURS, ioUring });
  await run(`ip link set tap0 address ${KERNEL}; ip link set tap0 up`);
  await until("carrier", () => t.dev.carrier);
  const socket = new PacketSocket("tap0", { type: TEST_TYPE });
  let up: Uint8Array[] = [];
  devAddPack(net, { type: TEST_TYPE, dev: null, func: (skb) => (up.push(bytesOf(skb)), skb.consume()) });
  return {
    machine,
    net,
    dev: t.dev,
    peer: [0x0200, 1],
    settle: () => sleep(30),
    received: () => socket.receiveAll(),
    deliver: (frame) => socket.send(frame),
    delivered() {
      const out = up;
      up = [];
      return out;
    },
    async close() {
      socket.close();
      await t[Symbol.asyncDispose]();
    },
  };
}

const name = Deno.args[0];
if (import.meta.main) {
  // Else the kernel talks of its own accord.
  await run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
  if (!(name in CASES)) throw new Error(`no case ${name}: ${Object.keys(CASES).join(" ")}`);
  await CASES[name]();
}
