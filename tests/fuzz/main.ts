/**
 * `deno task fuzz [--seconds N] [--seed N]`: mutated frames of every kind into a host that forwards, with sockets open,
 * while time passes. No throw, no leak, no unbounded memory; a failure prints the seed that repeats it.
 */
import { parseArgs } from "@std/cli/parse-args";
import { createHost } from "../../mod.ts";
import { channel } from "../../plugins/device/channel/mod.ts";
import { needIp } from "../../plugins/network/inet/mod.ts";
import { msgHdr } from "../../plugins/transport/sock/mod.ts";
import { generateFrames, mutate } from "../support/frames/generate.ts";
import { Random } from "../support/frames/random.ts";
import { TestMachine, udpSocket } from "../support/hosts.ts";
import { ADDRESSES } from "./addresses.ts";

/** One run: frames of a seed, each mutated some times; returns how many went in. */
export function fuzzOnce(seed: number, frames: number): number {
  using machine = new TestMachine({ seed });
  const host = createHost({ machine, name: "fuzz", forwarding: true });
  const ch = channel(host.net, "ch0", { address: ADDRESSES.mac, mtu: 1500 });
  host.addr.add("ch0", `${ADDRESSES.ip}/24`);
  host.route.add("default", { via: ADDRESSES.gateway });
  const fds = ADDRESSES.open.map((port) => udpSocket(host, port));
  for (const c of ADDRESSES.frames.connected) {
    fds.push(udpSocket(host, c.port, { addr: needIp(c.peer, "address"), port: c.peerPort }));
  }
  const random = new Random(seed);
  const into = msgHdr(new Uint8Array(65536));
  let n = 0;
  for (const frame of generateFrames(seed, frames, ADDRESSES.frames)) {
    for (const f of [frame, mutate(frame, random), mutate(mutate(frame, random), random)]) {
      ch.inject(f.bytes);
      n++;
    }
    if (n % 50 === 0) {
      machine.advance(random.int(3) * 400e6);
      for (const fd of fds) {
        do into.len = 65536; while (host.sys.recvmsg(fd, into, 0) >= 0);
      }
      while (ch.read() !== null);
    }
  }
  machine.runUntilIdle(120e9);
  const held = machine.skbs.live;
  if (held > 4096) throw new Error(`${held} packets are still held after two minutes of silence`);
  return n;
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, { string: ["seconds", "seed"] });
  const seconds = Number(args.seconds ?? 10);
  let seed = Number(args.seed ?? 1);
  const end = performance.now() + seconds * 1000;
  let total = 0, runs = 0;
  do {
    try {
      total += fuzzOnce(seed, 500);
    } catch (error) {
      console.error(`fuzz: seed ${seed} failed; repeat with: deno task fuzz --seed ${seed} --seconds 1`);
      throw error;
    }
    seed++;
    runs++;
  } while (performance.now() < end);
  console.log(`fuzz: ${total} frames in ${runs} runs, no throw, no leak`);
}
