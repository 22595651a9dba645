/**
 * TCP over a TAP in every way that it moves frames, byte for byte against the kernel's; run by tap_test.ts inside a
 * network namespace of its own: `unshare -n deno run stream_worker.ts CASE`. Exits 0, or prints what was wrong.
 *
 *   kernel 10.7.0.1 ── np0 ── 10.7.0.2 netpath (10.8.0.1 ── np1 ── 10.8.0.2 another kernel namespace)
 */
import { assert, assertEquals } from "@std/assert";
import { createHost, type Host, Machine, realPlatform } from "../../../mod.ts";
import { tap, type TapDevice, type TapOptions } from "../../../plugins/device/tap/mod.ts";
import { Stream } from "../../support/stream.ts";

const SIZE = 6_000_000;
const CHUNK = 65536;
const STREAM = new Stream(7);
/** What a frame carries on the average in a bulk transfer: a segment at most, or much more. */
const SEGMENT = 1460;
const SUPER = 6000;

interface Conn {
  read(p: Uint8Array): Promise<number | null>;
  write(p: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
}

async function sh(command: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("sh", { args: ["-c", command] }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(`${command}: ${text.decode(stderr)}`);
  return text.decode(stdout);
}

async function until(what: string, ready: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await ready()) return;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`waited in vain: ${what}`);
}

async function send(conn: Conn): Promise<void> {
  for (let at = 0; at < SIZE;) at += await conn.write(STREAM.at(at, Math.min(CHUNK, SIZE - at)));
  await conn.closeWrite();
}

async function receive(conn: Conn): Promise<void> {
  const buffer = new Uint8Array(CHUNK);
  let at = 0;
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
    assert(STREAM.holds(buffer, n, at), `bytes ${at} to ${at + n} are others`);
    at += n;
  }
  assertEquals(at, SIZE);
}

/** Bytes per frame that left and that came while `work` ran. */
async function perFrame(device: TapDevice, work: () => Promise<unknown>): Promise<{ tx: number; rx: number }> {
  const before = { ...device.dev.stats };
  await work();
  const now = device.dev.stats;
  return {
    tx: (now.txBytes - before.txBytes) / (now.txPackets - before.txPackets),
    rx: (now.rxBytes - before.rxBytes) / (now.rxPackets - before.rxPackets),
  };
}

interface Bed {
  machine: Machine;
  host: Host;
  np0: TapDevice;
}

async function bed(options: TapOptions, forwarding = false): Promise<Bed> {
  const machine = new Machine({ platform: realPlatform(), debug: true, strict: true });
  const host = createHost({ machine, name: "host", forwarding });
  const np0 = tap(host.net, { name: "np0", ...options });
  await sh("ip link set lo up; ip addr add 10.7.0.1/24 dev np0; ip link set np0 up");
  host.addr.add("np0", "10.7.0.2/24");
  await until("carrier", () => np0.dev.carrier);
  return { machine, host, np0 };
}

async function end({ machine, host }: Bed, ...devices: TapDevice[]): Promise<void> {
  const drops = host.net.dropTable();
  for (const device of devices) {
    assertEquals([device.dev.stats.rxErrors, device.dev.stats.txErrors, device.counters.rxAllocFailed], [0, 0, 0]);
    await device[Symbol.asyncDispose]();
  }
  machine[Symbol.dispose]();
  assertEquals(machine.skbs.faults(), []);
  assertEquals(machine.pages.slotsInUse(), 0);
  // A checksum that was left half done would show here.
  for (const name of ["TCP_CSUM", "IP_CSUM", "SKB_CSUM", "DEV_HDR"]) assert(!JSON.stringify(drops).includes(name));
}

/** What the namespace's kernel counts as wrong: checksums of TCP. */
async function kernelChecksumErrors(inside = ""): Promise<number> {
  const lines = (await sh(`${inside} grep ^Tcp: /proc/net/snmp`)).trim().split("\n").map((l) => l.split(" "));
  return Number(lines[1][lines[0].indexOf("InCsumErrors")]);
}

/** Both ways at once, then each alone. */
async function against(options: TapOptions): Promise<void> {
  const b = await bed(options);
  const lis = b.host.listen({ port: 5002 });
  const theirs = Deno.listen({ hostname: "10.7.0.1", port: 5001 });
  const pair = async (): Promise<Conn[]> => {
    const [kernelIn, weOut] = await Promise.all([
      theirs.accept(),
      b.host.connect({ hostname: "10.7.0.1", port: 5001 }),
    ]);
    return [kernelIn, weOut];
  };
  const [kernelIn, weOut] = await pair();
  const out = await perFrame(b.np0, () => Promise.all([send(weOut), receive(kernelIn)]));
  const [kernelOut, weIn] = await Promise.all([Deno.connect({ hostname: "10.7.0.2", port: 5002 }), lis.accept()]);
  const back = await perFrame(b.np0, () => Promise.all([send(kernelOut), receive(weIn)]));
  const [k2, w2] = await pair();
  await Promise.all([send(k2), receive(w2), send(w2), receive(k2)]);
  if (options.offloads === true) assert(out.tx > SUPER && back.rx > SUPER, JSON.stringify({ out, back }));
  else assert(out.tx < SEGMENT + 60 && back.rx < SEGMENT + 60, JSON.stringify({ out, back }));
  for (const c of [kernelIn, weOut, kernelOut, weIn, k2, w2, lis, theirs]) c.close();
  assertEquals(await kernelChecksumErrors(), 0);
  await end(b, b.np0);
}

/** A router between two kernels: what one TAP leaves whole or half summed, the other may have to finish. */
async function router(first: TapOptions, second: TapOptions): Promise<void> {
  const b = await bed(first, true);
  const np1 = tap(b.host.net, { name: "np1", ...second });
  const other = new Deno.Command("unshare", { args: ["-n", "sleep", "60"], stdin: "null", stdout: "null" }).spawn();
  const ns = (pid: number | "self"): string => Deno.readLinkSync(`/proc/${pid}/ns/net`);
  await until("a namespace", () => ns(other.pid) !== ns("self"));
  const inside = `nsenter -t ${other.pid} -n`;
  await sh(
    `ip link set np1 netns ${other.pid}; ip route add 10.8.0.0/24 via 10.7.0.2; ` +
      `${inside} sh -c "ip link set lo up; ip addr add 10.8.0.2/24 dev np1; ip link set np1 up; ` +
      `ip route add default via 10.8.0.1"`,
  );
  b.host.addr.add("np1", "10.8.0.1/24");
  const far = new Deno.Command("nsenter", {
    args: ["-t", `${other.pid}`, "-n", Deno.execPath(), "run", "--no-check", "-A", import.meta.url, "far"],
    stderr: "inherit",
  }).spawn();
  await until("the far end", async () => (await sh(`${inside} cat /proc/net/tcp`)).includes(":1389 00000000:0000 0A"));
  const conn = await Deno.connect({ hostname: "10.8.0.2", port: 5001 });
  await Promise.all([send(conn), receive(conn)]);
  conn.close();
  assert((await far.status).success);
  assertEquals([await kernelChecksumErrors(), await kernelChecksumErrors(inside)], [0, 0]);
  other.kill();
  await other.status;
  await end(b, b.np0, np1);
}

/** The far end of {@linkcode router}: a kernel's socket in the other namespace. */
async function far(): Promise<void> {
  const lis = Deno.listen({ hostname: "10.8.0.2", port: 5001 });
  const conn = await lis.accept();
  await Promise.all([send(conn), receive(conn)]);
  conn.close();
  lis.close();
}

const CASES: Record<string, () => Promise<void>> = {
  ring: () => against({ ioUring: true }),
  calls: () => against({ ioUring: false }),
  gro: () => against({ gro: true, ioUring: true }),
  offloads: () => against({ offloads: true, ioUring: true }),
  "offloads-calls": () => against({ offloads: true, gro: true, ioUring: false }),
  "route-plain": () => router({ ioUring: true }, { ioUring: true }),
  "route-offloads": () => router({ offloads: true }, { offloads: true }),
  "route-mixed": () => router({ offloads: true }, { gro: true }),
  far,
};

if (import.meta.main) {
  await sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
  await CASES[Deno.args[0]]();
  Deno.exit(0);
}
