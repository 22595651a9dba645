/**
 * Runs inside `unshare -n`: a netpath host on a TAP, and the kernel's own programs at the other end. Its argument says what
 * is tried; it prints one JSON object of what was seen.
 *
 *   kernel 10.7.0.1 ── np0 ── 10.7.0.2 netpath (10.8.0.1 ── np1 ── 10.8.0.2 another kernel namespace)
 */
import { createHash } from "node:crypto";
import { createHost, type Host, Machine, realPlatform } from "../../mod.ts";
import { PcapBuffer, pcapTap } from "../../plugins/device/pcap/mod.ts";
import { tap } from "../../plugins/device/tap/mod.ts";
import { bodyHash, serve } from "./tcp_http.ts";
import { iperf3Once } from "./tcp_iperf3.ts";
import { Stream } from "../support/stream.ts";

const text = new TextDecoder();
const MB = 1_000_000;

/** A command of the kernel's side; stdout and stderr together. Bounded to two minutes. */
async function sh(command: string): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", `timeout 120 sh -c '${command.replaceAll("'", "'\\''")}'`],
    stdout: "piped",
    stderr: "piped",
    env: { LC_ALL: "C" },
  }).output();
  return text.decode(stdout) + text.decode(stderr);
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for something to become true, up to ten seconds. */
async function until(ready: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200 && !await ready(); i++) await sleep(50);
}

const [what, dir = "/tmp", ...sizes] = Deno.args;
const machine = new Machine({ platform: realPlatform(), debug: true });
const host: Host = createHost({ machine, name: "host", forwarding: what === "forward" });
const devices = [tap(host.net, { name: "np0" })];
await sh(
  "sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link set lo up; ip addr add 10.7.0.1/24 dev np0; ip link set np0 up",
);
host.addr.add("np0", "10.7.0.2/24");

const seen: Record<string, unknown> = {};

/** curl against the small server: one big file each way, 50 at once, several on one connection. */
async function http(): Promise<void> {
  const failed: unknown[] = [];
  const listener = host.listen({ port: 80 });
  const serving = serve(listener, failed);
  const [size, part] = sizes.map(Number);
  const url = "http://10.7.0.2";
  const file = `${dir}/upload`;
  seen.expected = bodyHash(size);
  await sh(`curl -s -o ${file} ${url}/${size}`);
  seen.download = (await sh(`sha256sum ${file}`)).split(" ")[0];
  seen.upload = (await sh(`curl -s -T ${file} ${url}/up`)).trim();
  await Deno.remove(file);
  const parts = Array.from({ length: 50 }, (_, i) => part + i);
  await Deno.mkdir(`${dir}/parallel`);
  await sh(
    `curl -s --parallel --parallel-immediate --parallel-max 50 -o ${dir}/parallel/#1 "${url}/[${parts[0]}-${
      parts[49]
    }]"`,
  );
  const sums = parts.map(async (n) => (await sh(`sha256sum ${dir}/parallel/${n}`)).split(" ")[0] === bodyHash(n));
  seen.parallel = (await Promise.all(sums)).filter((right) => right).length;
  const urls = [1000, 2000, 3000, 4000, 5000].map((n) => `-o /dev/null ${url}/${n}`).join(" ");
  seen.keepAlive = (await sh(`curl -s -w "%{num_connects} %{size_download}\\n" ${urls}`)).trim().split("\n");
  seen.failed = failed.map(String);
  listener.close();
  await serving.catch(() => {});
}

/** A short download and upload under capture, which tshark reads. */
async function capture(): Promise<void> {
  const file = new PcapBuffer();
  const failed: unknown[] = [];
  const listener = host.listen({ port: 80 });
  const serving = serve(listener, failed);
  {
    using _tap = pcapTap(host.link.get("np0"), file);
    seen.download = (await sh(`curl -s http://10.7.0.2/${3 * MB} | sha256sum`)).split(" ")[0] === bodyHash(3 * MB);
    await sh(`head -c ${2 * MB} /dev/zero > ${dir}/zeros`);
    seen.upload = (await sh(`curl -s -T ${dir}/zeros http://10.7.0.2/up`)).split(" ")[0];
    seen.refused = await sh("curl -sS http://10.7.0.2:81/ || true");
    const conn = await host.connect({ hostname: "10.7.0.1", port: 9 }).catch((error) => error);
    seen.ourRefused = conn instanceof Error ? conn.name : "connected";
  }
  await Deno.writeFile(`${dir}/netpath.pcap`, file.bytes());
  const options = "-o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE";
  const show = (filter: string): Promise<string> =>
    sh(`tshark -r ${dir}/netpath.pcap ${options} -Y '${filter}' 2>/dev/null | head -20`);
  seen.bad = await show(
    "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || _ws.expert.severity == 8388608",
  );
  seen.good = Number(
    await sh(`tshark -r ${dir}/netpath.pcap ${options} -Y 'tcp.checksum.status == 1' 2>/dev/null | wc -l`),
  );
  seen.strange = await show(
    "tcp.analysis.retransmission || tcp.analysis.ack_lost_segment || tcp.analysis.zero_window_probe",
  );
  seen.failed = failed.map(String);
  listener.close();
  await serving.catch(() => {});
}

/** Our connect() to Deno.listen() of the kernel, with bytes both ways and half-closes. */
async function toKernel(): Promise<void> {
  const [up, down] = [new Stream(1), new Stream(2)];
  const size = 20 * MB;
  const listener = Deno.listen({ hostname: "10.7.0.1", port: 5000 });
  const kernel = (async () => {
    const conn = await listener.accept();
    const buffer = new Uint8Array(65536);
    let got = 0, right = true;
    const reading = (async () => {
      for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
        right &&= up.holds(buffer, n, got);
        got += n;
      }
    })();
    for (let at = 0; at < size;) at += await conn.write(down.at(at, Math.min(65536, size - at)));
    await conn.closeWrite();
    await reading;
    const { remoteAddr } = conn;
    conn.close();
    return { got, right, from: (remoteAddr as Deno.NetAddr).hostname };
  })();
  const conn = await host.connect({ hostname: "10.7.0.1", port: 5000 });
  const buffer = new Uint8Array(65536);
  let got = 0, right = true;
  const reading = (async () => {
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
      right &&= down.holds(buffer, n, got);
      got += n;
    }
  })();
  for (let at = 0; at < size;) at += await conn.write(up.at(at, Math.min(65536, size - at)));
  await conn.closeWrite();
  await reading;
  conn.close();
  seen.size = size;
  seen.ours = { got, right };
  seen.kernel = await kernel;
  listener.close();
}

/** Reads nothing for `ms`, then all. */
async function slow(
  read: (p: Uint8Array) => Promise<number | null>,
  ms: number,
): Promise<{ bytes: number; hash: string }> {
  await sleep(ms);
  const hash = createHash("sha256");
  const buffer = new Uint8Array(65536);
  let bytes = 0;
  for (let n = await read(buffer); n !== null; n = await read(buffer)) {
    hash.update(buffer.subarray(0, n));
    bytes += n;
  }
  return { bytes, hash: hash.digest("hex") };
}

/** Two readers that let the window close for ten seconds: the kernel's of what we send, ours of what the kernel sends. */
async function slowReaders(): Promise<void> {
  const stream = new Stream(80);
  const size = 20 * MB;
  seen.expected = { bytes: size, hash: bodyHash(size) };
  const send = async (
    conn: { write(p: Uint8Array): Promise<number>; closeWrite(): Promise<void> },
  ): Promise<number> => {
    const start = performance.now();
    for (let at = 0; at < size;) at += await conn.write(stream.at(at, Math.min(65536, size - at)));
    await conn.closeWrite();
    return performance.now() - start;
  };
  const theirs = Deno.listen({ hostname: "10.7.0.1", port: 5001 });
  const ours = host.listen({ port: 5002 });
  const [a, b] = [
    host.connect({ hostname: "10.7.0.1", port: 5001 }),
    Deno.connect({ hostname: "10.7.0.2", port: 5002 }),
  ];
  const [kernelIn, weIn] = [await theirs.accept(), await ours.accept()];
  const [weOut, kernelOut] = [await a, await b];
  const sending = [send(weOut), send(kernelOut)];
  const reading = [slow((p) => kernelIn.read(p), 10_000), slow((p) => weIn.read(p), 10_000)];
  [seen.kernel, seen.ours] = await Promise.all(reading);
  seen.took = await Promise.all(sending);
  for (const conn of [kernelIn, weIn, weOut, kernelOut, theirs, ours]) conn.close();
}

/** iperf3's client of the kernel against our server, both ways, one stream and four: as many bytes each, however long it takes. */
async function iperf(): Promise<void> {
  const listener = host.listen({ port: 5201 });
  const runs: Record<string, unknown> = {};
  for (const [name, args] of [["in", ""], ["out", "-R"], ["in4", "-P 4"], ["out4", "-P 4 -R"]]) {
    const serving = iperf3Once(listener);
    const report = await sh(`iperf3 -c 10.7.0.2 -n ${sizes[0]} -J ${args}`);
    const bytes = await Promise.race([serving, sleep(10_000).then(() => -1)]);
    const parsed = JSON.parse(report);
    runs[name] = {
      bytes,
      error: parsed.error,
      sent: parsed.end?.sum_sent?.bytes,
      received: parsed.end?.sum_received?.bytes,
    };
  }
  seen.runs = runs;
  listener.close();
}

/** iperf3 between two kernels with us as the router between them. */
async function forward(): Promise<void> {
  const np1 = tap(host.net, { name: "np1" });
  devices.push(np1);
  const other = new Deno.Command("unshare", { args: ["-n", "sleep", "100"], stdin: "null", stdout: "null" }).spawn();
  const ns = (pid: number | "self"): string => Deno.readLinkSync(`/proc/${pid}/ns/net`);
  await until(() => ns(other.pid) !== ns("self"));
  const inside = (command: string): Promise<string> => sh(`nsenter -t ${other.pid} -n sh -c "${command}"`);
  seen.setup = await sh(`ip link set np1 netns ${other.pid}; ip route add 10.8.0.0/24 via 10.7.0.2`);
  seen.setup += await inside(
    "ip link set lo up; ip addr add 10.8.0.2/24 dev np1; ip link set np1 up; ip route add default via 10.8.0.1",
  );
  host.addr.add("np1", "10.8.0.1/24");
  await sleep(300);
  const received: Record<string, number> = {};
  for (const [name, args] of [["there", ""], ["back", "-R"]]) {
    const server = inside("iperf3 -s -1 -J");
    await until(async () => (await inside("ss -ltn")).includes(":5201"));
    const report = JSON.parse(await sh(`iperf3 -c 10.8.0.2 -n ${sizes[0]} -J ${args}`));
    if (report.error) throw new Error(report.error);
    received[name] = report.end.sum_received.bytes;
    await server;
  }
  seen.received = received;
  other.kill();
  await other.status;
}

const tries: Record<string, () => Promise<void>> = { http, capture, toKernel, slowReaders, iperf, forward };
await tries[what]();
// Sockets that wait for the last ACK of their close.
await sleep(200);
seen.drops = host.net.dropTable();
seen.errors = host.net.pluginErrors.map(({ who, error }) => `${who}: ${error}`);
for (const device of devices) await device[Symbol.asyncDispose]();
machine[Symbol.dispose]();
seen.faults = machine.skbs.faults();
console.log(JSON.stringify(seen));
Deno.exit(0);
