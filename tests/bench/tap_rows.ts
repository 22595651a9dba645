/**
 * The rows over a TAP against the kernel. They run in a network namespace of their own (main.ts starts them with
 * `unshare -n`); the kernel's side is a second process with its own sockets, started by the row.
 */
import { createHost, type Host, Machine, realPlatform } from "../../mod.ts";
import { tap, type TapOptions } from "../../plugins/device/tap/mod.ts";
import { msgHdr } from "../../plugins/transport/sock/mod.ts";
import { needIp } from "../../plugins/network/inet/mod.ts";
import type { Row } from "./row.ts";

/** Our address on the TAP. */
export const TAP_NETPATH = "10.9.0.2";
const KERNEL = "10.9.0.1";

async function run(command: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("sh", { args: ["-c", command], stderr: "piped" }).output();
  if (!success) throw new Error(`${command}: ${new TextDecoder().decode(stderr)}`);
}

/** A host on a TAP whose other end is the kernel's, both with addresses. */
export async function tapHost(options: TapOptions = {}): Promise<Host & AsyncDisposable> {
  const machine = new Machine({ platform: realPlatform() });
  const host = createHost({ machine, name: "netpath" });
  const device = tap(host.net, { name: "npbench0", ...options });
  await run(
    `ip link set lo up; ip addr add ${KERNEL}/24 dev npbench0; ip link set npbench0 up txqueuelen 4000; ` +
      `sysctl -qw net.ipv6.conf.all.disable_ipv6=1`,
  );
  host.addr.add("npbench0", `${TAP_NETPATH}/24`);
  return Object.assign(host, {
    [Symbol.asyncDispose]: async () => {
      await device[Symbol.asyncDispose]();
      machine[Symbol.dispose]();
    },
  });
}

/** The kernel's side: another Deno in the same namespace. */
export function peer(script: string): Deno.ChildProcess {
  const url = new URL("./tap_peer.ts", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "-A", url, script, KERNEL, TAP_NETPATH],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

/** Echoes datagrams through the synchronous calls: what the peer counts is round trips. */
async function udpRr(rounds: number): Promise<number[]> {
  await using host = await tapHost();
  const fd = host.sys.socket(2, 2, 17);
  host.sys.bind(fd, needIp(TAP_NETPATH, "address"), 7);
  const msg = msgHdr(new Uint8Array(2048));
  host.sys.onReady(fd, () => {
    for (;;) {
      msg.len = 2048;
      const n = host.sys.recvmsg(fd, msg, 0);
      if (n < 0) return;
      msg.len = n;
      host.sys.sendmsg(fd, msg, 0);
    }
  });
  const child = peer(`rr:${rounds}`);
  const { stdout } = await child.output();
  return JSON.parse(new TextDecoder().decode(stdout)) as number[];
}

/** Counts datagrams of 64 bytes that a flooding peer sends. */
async function udpRx(rounds: number): Promise<number[]> {
  await using host = await tapHost();
  const fd = host.sys.socket(2, 2, 17);
  host.sys.setsockopt(fd, 1, 8, 1 << 20);
  host.sys.bind(fd, needIp(TAP_NETPATH, "address"), 7);
  const msg = msgHdr(new Uint8Array(2048));
  let got = 0;
  host.sys.onReady(fd, () => {
    for (;;) {
      msg.len = 2048;
      if (host.sys.recvmsg(fd, msg, 0) < 0) return;
      got++;
    }
  });
  const child = peer(`flood:${rounds}`);
  const done = child.output();
  for (let i = 0; got === 0; i++) {
    if (i > 500) throw new Error("no datagram arrived");
    await new Promise((r) => setTimeout(r, 20));
  }
  await new Promise((r) => setTimeout(r, 400));
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    const before = got;
    await new Promise((r) => setTimeout(r, 200));
    samples.push((got - before) / ((performance.now() - start) / 1000));
  }
  await done;
  // A reader that is starved reads nothing while the peer sends: no figure, but a defect.
  if (samples.includes(0)) throw new Error("nothing was read in a whole round of the flood");
  return samples;
}

/** The rows by name. */
export const tapRows: Record<string, Row> = {
  "tap.udp.rr": { unit: "transactions/s", device: "tap", run: udpRr, namespace: true },
  "tap.udp.rx": { unit: "packets/s", device: "tap", run: udpRx, namespace: true },
};
